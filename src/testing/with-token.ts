/**
 * A test token for the length of one test, in the forms that test runners call. None of them is
 * imported: their types fit by shape.
 */
import { testToken, type TestToken, type TestTokenOptions } from "./test-token.js";

/** A test that gets a token besides what its runner gives it: node:test's `t`, vitest's context. */
export type TokenTest<Context> = (context: Context, token: TestToken) => unknown;

/**
 * A test with a token of its own, which is closed when the test ends. For node:test and all runners
 * that call a function and wait for its promise. Options of the token may come first.
 */
export function withToken<Context>(
  body: TokenTest<Context>,
): (context: Context) => Promise<undefined>;
export function withToken<Context>(
  options: TestTokenOptions,
  body: TokenTest<Context>,
): (context: Context) => Promise<undefined>;
export function withToken<Context>(
  ...given:
    | readonly [body: TokenTest<Context>]
    | readonly [options: TestTokenOptions, body: TokenTest<Context>]
): (context: Context) => Promise<undefined> {
  const [options, body] = given.length === 1 ? [{}, given[0]] : given;
  // Runners count the parameters: where there is one too many, they wait for a callback.
  return async (...[context]) => {
    const token = await testToken(options);
    try {
      await body(context, token);
    } finally {
      await token.close();
    }
    return undefined;
  };
}

/** A fixture for vitest's `test.extend`: each test that takes it gets a token of its own. */
export function tokenFixture(
  options: TestTokenOptions = {},
): (context: object, use: (token: TestToken) => Promise<void>) => Promise<void> {
  // vitest reads the names of other fixtures out of this function's text: the braces have to stay.
  // eslint-disable-next-line no-empty-pattern
  return async ({}, use) => {
    const token = await testToken(options);
    try {
      await use(token);
    } finally {
      await token.close();
    }
  };
}
