/**
 * What to open with: the identities that `-i` names, or without it every exchange key on every
 * token present. No PIN is asked for before one of them is known to match.
 */
import { FormatError, TokenError } from "../../errors.js";
import type { ExchangePublicKey, Identity } from "../../keys/key.js";
import type { KeyInfo } from "../../token/values.js";
import { isPkcs11Uri } from "../../token/uri.js";
import { readSmall } from "../io/inputs.js";
import { identityInFile } from "./identity-at.js";
import type { Tokens } from "./tokens.js";
import type { Context } from "../command.js";

export type ExchangeIdentity = Identity<ExchangePublicKey>;

/** Looks for the keys, also on tokens. Called once a message was read. */
export type FindIdentities = () => Promise<readonly ExchangeIdentity[]>;

/**
 * Reads what `-i` names, so that a fault in it is reported once, and before any message is read.
 * Tokens are looked at only when the result is called, and once.
 *
 * @param words - the values of `-i`.
 */
export async function prepareIdentities(
  words: readonly string[],
  tokens: Tokens,
  context: Context,
): Promise<FindIdentities> {
  const finders: FindIdentities[] = [];
  for (const text of words) {
    if (isPkcs11Uri(text)) finders.push(onToken(text, tokens));
    else finders.push(...(await fromFile(text, tokens, context)));
  }
  if (words.length === 0) finders.push(() => everyKeyPresent(tokens));

  let found: Promise<readonly ExchangeIdentity[]> | undefined;
  const find = async (): Promise<readonly ExchangeIdentity[]> => {
    const identities: ExchangeIdentity[] = [];
    for (const one of finders) identities.push(...(await one()));
    return identities;
  };
  return () => (found ??= find());
}

async function everyKeyPresent(tokens: Tokens): Promise<ExchangeIdentity[]> {
  return tokens.find({}, async (access) => {
    const keys = await access.keys();
    if (keys.length === 0 && (await access.tokens()).length === 0) {
      throw new TokenError("ERR_TOKEN_NOT_FOUND", "no token is present", {
        hint: "insert one, or see what p11seal tokens finds; for a key file use -i",
      });
    }
    return keys.filter(canOpen).map((key) => tokens.identity(access, key));
  });
}

/**
 * A URI that names an object must match exactly one key. One that names a token stands for all its
 * keys. `inFile`: as for `Tokens.uri`.
 */
function onToken(text: string, tokens: Tokens, inFile?: string): FindIdentities {
  const uri = tokens.uri(text, inFile);
  return () =>
    tokens.find(uri, async (access) => {
      if (uri.object !== undefined || uri.id !== undefined) {
        return [tokens.identity(access, await access.findKey(uri))];
      }
      await access.findToken(uri);
      return (await access.keys(uri)).filter(canOpen).map((key) => tokens.identity(access, key));
    });
}

/** Without its public half a key can't be matched to a message; Ed25519 can only sign. */
function canOpen(key: KeyInfo): boolean {
  return key.publicKey !== undefined && key.publicKey.type !== "ed25519";
}

async function fromFile(path: string, tokens: Tokens, context: Context): Promise<FindIdentities[]> {
  const bytes = await readSmall(path, context.io);
  const text = new TextDecoder("utf-8").decode(bytes);
  if (text.includes("-----BEGIN ")) {
    const identity = await identityInFile(bytes, path, "open", context);
    bytes.fill(0);
    return [() => Promise.resolve([identity])];
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
