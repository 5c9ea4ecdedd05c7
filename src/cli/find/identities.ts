/**
 * What to open with: `-i` to identities; without it, every exchange key on every token present. Looking
 * for keys asks for no PIN; that waits until one of them is known to match.
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

/** Looks for the keys, on tokens too; called when a message is at hand. */
export type FindIdentities = () => Promise<readonly ExchangeIdentity[]>;

/**
 * Reads what `-i` names, so that a fault in it is told once and before any message is read. Tokens are
 * left alone until the result is called, and looked at once.
 *
 * @param given - the values of `-i`.
 */
export async function prepareIdentities(
  given: readonly string[],
  tokens: Tokens,
  context: Context,
): Promise<FindIdentities> {
  const finders: FindIdentities[] = [];
  for (const text of given) {
    if (isPkcs11Uri(text)) finders.push(onToken(text, tokens));
    else finders.push(...(await fromFile(text, tokens, context)));
  }
  if (given.length === 0) finders.push(() => everyKeyPresent(tokens));

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
        hint: "insert it, or see what is found with: p11seal tokens; for a key file use -i",
      });
    }
    return keys.filter(canOpen).map((key) => tokens.identity(access, key));
  });
}

/** A URI that names an object must find exactly one key; one that names a token offers all its keys. */
function onToken(text: string, tokens: Tokens): FindIdentities {
  const uri = tokens.uri(text);
  return () =>
    tokens.find(uri, async (access) => {
      if (uri.object !== undefined || uri.id !== undefined) {
        return [tokens.identity(access, await access.findKey(uri))];
      }
      await access.findToken(uri);
      return (await access.keys(uri)).filter(canOpen).map((key) => tokens.identity(access, key));
    });
}

/** Without its public half nobody can tell what was sealed to a key; Ed25519 can only sign. */
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
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  // The file may be a secret: nothing of it is quoted.
  if (lines.length === 0 || !lines.every(isPkcs11Uri)) {
    throw new FormatError("ERR_IDENTITY_FILE", `"${path}" holds neither a key nor pkcs11: URIs`, {
      hint: "an identity file has one pkcs11: URI a line and # comments, or is a private key in PEM",
    });
  }
  return lines.map((line) => onToken(line, tokens));
}
