/**
 * What to open with: the identities that `-i` names, or without it every exchange key on every
 * token present. No PIN is asked for before one of them is known to match.
 */
import { FormatError, NoMatchError, type P11SealError } from "../../errors.js";
import type { ExchangePublicKey, Identity } from "../../keys/key.js";
import type { TokenService } from "../../token/service.js";
import type { KeyInfo, TokenInfo } from "../../token/values.js";
import { matchesToken } from "../../token/uri-match.js";
import { isPkcs11Uri, type Pkcs11Uri } from "../../token/uri.js";
import { readSmall } from "../io/inputs.js";
import { identityInFile } from "./identity-at.js";
import type { Tokens } from "./tokens.js";
import { decisive, troubleError, troubleText } from "./troubles.js";
import type { Context } from "../command.js";

export type ExchangeIdentity = Identity<ExchangePublicKey>;

export interface Identities {
  /** Looks for the keys, also on tokens. Called once a message was read. */
  readonly find: () => Promise<readonly ExchangeIdentity[]>;
  /**
   * Why none of them matches a message, as far as can be told: a module, slot or token that can't
   * be read, or else `error` with the tokens that may have the key.
   */
  readonly whyNone: (error: NoMatchError) => Promise<P11SealError>;
}

/** A part of what `-i` names. */
interface Source {
  readonly find: () => Promise<readonly ExchangeIdentity[]>;
  /** Which tokens it looks at. */
  readonly uri?: Pkcs11Uri;
}

/**
 * Reads what `-i` names, so that a fault in it is reported once, and before any message is read.
 * Tokens are looked at only when `find` is called, and once.
 *
 * @param words - the values of `-i`.
 */
export async function prepareIdentities(
  words: readonly string[],
  tokens: Tokens,
  context: Context,
): Promise<Identities> {
  const sources: Source[] = [];
  for (const text of words) {
    if (isPkcs11Uri(text)) sources.push(onToken(text, tokens));
    else sources.push(...(await fromFile(text, tokens, context)));
  }
  if (words.length === 0) sources.push({ find: () => everyKeyPresent(tokens), uri: {} });

  let found: Promise<readonly ExchangeIdentity[]> | undefined;
  const find = async (): Promise<readonly ExchangeIdentity[]> => {
    const identities: ExchangeIdentity[] = [];
    for (const one of sources) identities.push(...(await one.find()));
    return identities;
  };
  return {
    find: () => (found ??= find()),
    whyNone: (error) =>
      whyNone(
        error,
        sources.flatMap(({ uri }) => uri ?? []),
        tokens,
      ),
  };
}

/** `uris`: where the keys were looked for. */
async function whyNone(
  error: NoMatchError,
  uris: readonly Pkcs11Uri[],
  tokens: Tokens,
): Promise<P11SealError> {
  if (uris.length === 0) return error;
  const access = await tokens.access();
  const troubles = (await Promise.all(uris.map((uri) => access.troubles(uri)))).flat();
  const trouble = decisive(troubles);
  if (trouble !== undefined) return troubleError(trouble);
  const silent = await silentTokens(uris, access);
  const broken = new Set(troubles.map(troubleText));
  const advice = [
    ...(error.hint === undefined ? [] : [error.hint]),
    ...silent.map(({ label }) => `token "${label}" shows no key without a PIN`),
    ...[...broken].slice(0, 2),
  ];
  return new NoMatchError(error.code, error.message, { hint: advice.join("; ") });
}

/** Tokens that may have keys which show after login. */
async function silentTokens(
  uris: readonly Pkcs11Uri[],
  access: TokenService,
): Promise<readonly TokenInfo[]> {
  const shown = new Set((await access.keys()).map(({ token }) => token.uri));
  return (await access.tokens()).filter(
    (token) =>
      token.loginRequired && !shown.has(token.uri) && uris.some((uri) => matchesToken(uri, token)),
  );
}

async function everyKeyPresent(tokens: Tokens): Promise<ExchangeIdentity[]> {
  return tokens.find({}, async (access) => {
    const keys = await access.keys();
    // Throws the reason why there is no token.
    if (keys.length === 0 && (await access.tokens()).length === 0) await access.findToken({});
    return keys.filter(canOpen).map((key) => tokens.identity(access, key));
  });
}

/**
 * A URI that names an object must match exactly one key. One that names a token stands for all its
 * keys. `inFile`: as for `Tokens.uri`.
 */
function onToken(text: string, tokens: Tokens, inFile?: string): Source {
  const uri = tokens.uri(text, inFile);
  const find = (): Promise<ExchangeIdentity[]> =>
    tokens.find(uri, async (access) => {
      if (uri.object !== undefined || uri.id !== undefined) {
        return [tokens.identity(access, await access.findKey(uri))];
      }
      await access.findToken(uri);
      return (await access.keys(uri)).filter(canOpen).map((key) => tokens.identity(access, key));
    });
  return { find, uri };
}

/** Without its public half a key can't be matched to a message; Ed25519 can only sign. */
function canOpen(key: KeyInfo): boolean {
  return key.publicKey !== undefined && key.publicKey.type !== "ed25519";
}

async function fromFile(path: string, tokens: Tokens, context: Context): Promise<Source[]> {
  const bytes = await readSmall(path, context.io);
  const text = new TextDecoder("utf-8").decode(bytes);
  if (text.includes("-----BEGIN ")) {
    const identity = await identityInFile(bytes, path, "open", context);
    bytes.fill(0);
    return [{ find: () => Promise.resolve([identity]) }];
  }
  const lines = text
    .split(/\r?\n/)
    .map((line, at) => ({ uri: line.trim(), where: `${path}:${at + 1}` }))
    .filter(({ uri }) => uri !== "" && !uri.startsWith("#"));
  // The file may be a secret: nothing of it is quoted.
  if (lines.length === 0 || !lines.every(({ uri }) => isPkcs11Uri(uri))) {
    throw new FormatError("ERR_IDENTITY_FILE", `"${path}" holds neither a key nor pkcs11: URIs`, {
      hint: "an identity file has one pkcs11: URI a line and # comments, or is a private key in PEM",
    });
  }
  return lines.map(({ uri, where }) => onToken(uri, tokens, where));
}
