/**
 * jest's `globalSetup`: one token for the whole run. jest's workers inherit the variables that
 * describe it, for their tests and for native code alike; what a test sets itself would not reach
 * native code, because jest gives tests a copy of the environment.
 *
 * @packageDocumentation
 */
import { testToken, type TestToken, type TestTokenOptions } from "./test-token.js";

/** What is needed of jest's configuration of a project. */
export interface JestProject {
  readonly globals?: { readonly p11sealToken?: TestTokenOptions };
}

/**
 * Makes the token that `globals.p11sealToken` in jest's configuration describes. It is removed when
 * jest ends; in watch mode, before the next run.
 */
export default async function setUp(_config: unknown, project: JestProject = {}): Promise<void> {
  await current?.close();
  current = await testToken(project.globals?.p11sealToken);
  Object.assign(process.env, current.env);
}

let current: TestToken | undefined;
