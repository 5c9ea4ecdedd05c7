/**
 * Finds keys on tokens: all that a URI matches, the one that it names, and what may be in the way.
 * A lookup finds exactly one key, or copies of one on several tokens, or throws.
 */
import { equal } from "../../bytes.js";
import { defined } from "../../defined.js";
import { TokenError, UsageError } from "../../errors.js";
import { errorReport, origin } from "../modules/call.js";
import { list, type TokenFinder } from "../session/find.js";
import type { Token } from "../session/token.js";
import { formatUri, type Pkcs11Uri } from "../uri.js";
import { lacksPercents, matchesByType, matchesKey } from "../uri-match.js";
import type { KeyInfo, Trouble } from "../values.js";
import { keyName } from "./halves.js";
import { listKeys } from "./key-list.js";
import { howToTellApart } from "./telling-apart.js";

export class KeyFinder {
  readonly #tokens: TokenFinder;
  readonly #trace: (line: string) => void;

  constructor(tokens: TokenFinder, trace: (line: string) => void) {
    this.#tokens = tokens;
    this.#trace = trace;
  }

  /** As `TokenService.keys`. */
  async all(uri: Pkcs11Uri): Promise<KeyInfo[]> {
    requireKeyType(uri);
    return (await this.#keysOfTokens(uri)).filter((key) => matchesKey(uri, key));
  }

  /** As `TokenService.findKey`. */
  async one(uri: Pkcs11Uri): Promise<KeyInfo> {
    const [key, ...copies] = await this.copies(uri);
    if (copies.length > 0) throw notUnique(uri, [key, ...copies]);
    return key;
  }

  /** As `TokenService.findCopies`. */
  async copies(uri: Pkcs11Uri): Promise<[KeyInfo, ...KeyInfo[]]> {
    const matching = await this.all(uri);
    const exact = matching.filter((key) => matchesByType(uri, key));
    const [key, ...others] = exact.length > 0 ? exact : matching;
    if (key === undefined) throw await this.#noKey(uri);
    const all = [key, ...others];
    const tokens = new Set(all.map(({ token }) => token.uri));
    const areCopies = tokens.size === all.length && others.every((one) => isSameKey(one, key));
    if (areCopies) return [key, ...others];
    throw notUnique(uri, all);
  }

  /** As `TokenService.troubles`. */
  async troubles(uri: Pkcs11Uri, depth: "tokens" | "keys"): Promise<Trouble[]> {
    const { tokens, troubles: seen } = await this.#tokens.survey(uri);
    // A token that the URI names and that is there is not behind a fault of other hardware.
    const isThere = tokens.length > 0 && (uri.token !== undefined || uri.serial !== undefined);
    const troubles = isThere ? seen.filter(({ isNamed }) => isNamed) : [...seen];
    for (const token of depth === "keys" ? tokens : []) {
      try {
        await listed(token);
      } catch (error) {
        if (!(error instanceof TokenError)) throw error;
        const { label, module } = token.info;
        const about = { at: "token", name: `token "${label}"`, module, isNamed: false } as const;
        troubles.push({ ...about, error: errorReport(error) });
      }
    }
    const overlooked = await this.#tokens.overlooked(uri);
    return [...troubles, ...(overlooked === undefined ? [] : [overlooked])];
  }

  /** Every key of the matching tokens; what the URI says about the key is ignored. */
  async #keysOfTokens(uri: Pkcs11Uri): Promise<KeyInfo[]> {
    const keys: KeyInfo[] = [];
    for (const token of await this.#tokens.all(uri)) {
      try {
        keys.push(...(await listed(token)));
      } catch (error) {
        // One of several tokens may fail, but not one that the URI names.
        const isNamed = uri.token !== undefined || uri.serial !== undefined;
        if (isNamed || !(error instanceof TokenError)) throw error;
        this.#trace(error.message);
      }
    }
    return keys;
  }

  async #noKey(uri: Pkcs11Uri): Promise<TokenError> {
    const tokens = await this.#tokens.all(uri);
    if (tokens.length === 0) return this.#tokens.none(uri);
    const keys = await this.#keysOfTokens(uri);
    const meant = keys.find(({ id }) => uri.id !== undefined && lacksPercents(uri.id, id));
    const when = tokens.every((token) => token.showsAll()) ? "" : " without a PIN";
    const names = keys.map((key) => nameFor(uri, key));
    const overlooked = await this.#tokens.overlookedHints(uri);
    const visible =
      names.length === 0
        ? `the matching tokens show no key${when}`
        : `visible${when}: ${list(names)}`;
    return new TokenError("ERR_KEY_NOT_FOUND", `no key matches ${formatUri(uri)}`, {
      hint: [
        meant === undefined ? visible : `write each byte of the id with %: ${idText(meant)}`,
        ...overlooked,
      ].join("; "),
    });
  }
}

/** The keys that a token shows now. An error names the token. */
export async function listed(token: Token): Promise<KeyInfo[]> {
  const { info } = token;
  try {
    return await token.session("read", (session) => listKeys(session, info));
  } catch (error) {
    if (!(error instanceof TokenError) || error.ckr === undefined) throw error;
    const message = `token "${info.label}": ${error.message}`;
    throw new TokenError(error.code, message, {
      ...defined({ hint: error.hint }),
      ...origin(error),
    });
  }
}

/** A URI may name a key pair by its private key, public key or certificate. */
export function requireKeyType(uri: Pkcs11Uri): void {
  if (uri.type !== "secret-key" && uri.type !== "data") return;
  throw new UsageError("ERR_URI_TYPE", `type=${uri.type} does not name a key pair`, {
    hint: "use type=private, or leave it out",
  });
}

/** A key's name, with its id where the URI asks for one. */
function nameFor(uri: Pkcs11Uri, key: KeyInfo): string {
  const name = keyName(key);
  return uri.id === undefined || key.label === "" ? name : `${name} (${idText(key)})`;
}

/** As in `id=%9D%EB`. */
function idText({ id }: KeyInfo): string {
  return formatUri({ id }).slice("pkcs11:".length);
}

function isSameKey({ publicKey }: KeyInfo, other: KeyInfo): boolean {
  if (publicKey === undefined || other.publicKey === undefined) return false;
  return equal(publicKey.fingerprint, other.publicKey.fingerprint);
}

function notUnique(uri: Pkcs11Uri, keys: readonly KeyInfo[]): TokenError {
  return new TokenError("ERR_KEY_NOT_UNIQUE", `${keys.length} keys match ${formatUri(uri)}`, {
    hint: howToTellApart(uri, keys),
  });
}
