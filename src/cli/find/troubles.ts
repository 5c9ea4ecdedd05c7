/**
 * What keeps tokens and their keys from being seen (`TokenService.troubles`), told alike by every
 * command: a module that can't be used, a slot or a token that can't be read.
 */
import { defined } from "../../defined.js";
import { TokenError } from "../../errors.js";
import { mayHideKeys } from "../../token/hiding.js";
import type { TokenService } from "../../token/service.js";
import type { Pkcs11Uri } from "../../token/uri.js";
import type { Trouble } from "../../token/values.js";

type Fault = Pick<Trouble, "at" | "name" | "error">;

/** As in `token "alice": the token has no session left`. */
export function troubleText({ at, name, error }: Fault): string {
  // The others' messages name the module or the token.
  return at === "slot" ? `${name}: ${error.message}` : error.message;
}

export function troubleError(trouble: Fault): TokenError {
  const { code, hint } = trouble.error;
  return new TokenError(code, troubleText(trouble), defined({ hint }));
}

/** What a module does not look at, with how to use it. */
export function overlookedText(troubles: readonly Fault[]): string[] {
  return troubles
    .filter(({ at }) => at === "configuration")
    .map(({ error }) => (error.hint ? `${error.message}; ${error.hint}` : error.message));
}

/**
 * Why a list of what matches `uri` is empty, in a line. That a token is absent is no fault.
 *
 * @throws TokenError: any other reason why no token was found
 */
export async function whyEmpty(uri: Pkcs11Uri, access: TokenService): Promise<string | undefined> {
  try {
    await access.findToken(uri);
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    if (error.code === "ERR_TOKEN_NOT_FOUND") return error.message;
    if (error.code !== "ERR_TOKEN_NOT_UNIQUE") throw error;
  }
  return undefined;
}

/**
 * Which tokens may have keys that show only after login, a line for each.
 *
 * @param remedy - what to do, by the token's URI
 */
export async function silentTokens(
  access: TokenService,
  remedy: (uri: string) => string,
): Promise<string[]> {
  const shown = new Set((await access.keys()).map(({ token }) => token.uri));
  return (await access.tokens())
    .filter((token) => mayHideKeys(token) && !shown.has(token.uri))
    .map(
      ({ label, uri }) =>
        `token "${label}" shows no key without a PIN; if it may have the key: ${remedy(uri)}`,
    );
}

/**
 * The trouble to report where nothing else was found. A broken module that the user did not name
 * is none: a system may list modules for hardware that was never connected.
 */
export function decisive(troubles: readonly Trouble[]): Trouble | undefined {
  return (
    troubles.find(({ at, isNamed }) => at === "module" && isNamed) ??
    troubles.find(({ at }) => at === "slot" || at === "token")
  );
}
