/**
 * Keys that show only after login: on tokens that hide everything until then, and private keys
 * without a public half. A URI on the command line may start a login to look for them, if it names
 * one token and there is a PIN to be had. A URI from a file never does.
 */
import { defined } from "../../defined.js";
import { TokenError } from "../../errors.js";
import type { PublicKey } from "../../keys/key.js";
import type { TokenService } from "../../token/service.js";
import type { KeyInfo } from "../../token/values.js";
import type { Pkcs11Uri } from "../../token/uri.js";
import type { Tokens } from "./tokens.js";

/** The one key that a URI names, wherever it is hidden. @throws as `findKey`, `logIn` */
export function keyAt(uri: Pkcs11Uri, tokens: Tokens): Promise<KeyInfo> {
  return lookedFor(uri, tokens, (access) => access.findKey(uri));
}

/** As `keyAt`, with its public half, if that can be had. Of copies on several tokens, the first. */
export async function wholeKeyAt(uri: Pkcs11Uri, tokens: Tokens): Promise<KeyInfo> {
  const [key] = await lookedFor(uri, tokens, (access) => access.findCopies(uri));
  if (key.publicKey !== undefined || (await tokens.depth(uri)).kind !== "login") return key;
  const whole = await withHalf(key, await tokens.candidateHalves(), await tokens.access());
  return whole ?? key;
}

function lookedFor<T>(
  uri: Pkcs11Uri,
  tokens: Tokens,
  find: (access: TokenService) => Promise<T>,
): Promise<T> {
  return tokens.find(uri, async (access) => {
    try {
      return await find(access);
    } catch (error) {
      if (!isKeyAbsent(error)) throw error;
      const depth = await tokens.depth(uri);
      if (depth.kind !== "login") throw advised(error, depth.reason);
      await access.logIn(uri);
      return find(access);
    }
  });
}

/** The keys that a URI matches. If none shows, those that show after login. */
export function keysAt(uri: Pkcs11Uri, tokens: Tokens): Promise<readonly KeyInfo[]> {
  return tokens.access().then(async (access) => {
    const shown = await access.keys(uri);
    if (shown.length > 0 || (await tokens.depth(uri)).kind !== "login") return shown;
    await access.logIn(uri);
    return access.keys(uri);
  });
}

/** The key with the candidate that is its public half; undefined if none is. Logs in. */
export async function withHalf(
  key: KeyInfo,
  candidates: readonly PublicKey[],
  access: TokenService,
): Promise<KeyInfo | undefined> {
  // Any RSA key may have the usual exponent.
  if (candidates.length === 0 && !key.kind.startsWith("RSA")) return undefined;
  return access.withPublicHalf(key, candidates);
}

export function isKeyAbsent(error: unknown): error is TokenError {
  return error instanceof TokenError && error.code === "ERR_KEY_NOT_FOUND";
}

/** The error, with why no login was tried. */
export function advised(error: TokenError, reason: string | undefined): TokenError {
  const hints = [error.hint, reason].filter((one) => one !== undefined);
  const hint = hints.length === 0 ? undefined : hints.join("; ");
  return new TokenError(error.code, error.message, defined({ hint }));
}
