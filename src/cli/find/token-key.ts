/**
 * Public keys on tokens, in the form that key files are read to. A PIN is asked for only to look
 * for a key that does not show.
 */
import { defined } from "../../defined.js";
import { AGE_SSH_OAEP } from "../../keys/formats/ssh.js";
import type { OaepHash } from "../../keys/key.js";
import type { KeyFile } from "../../keys/formats/key-file.js";
import { publicHalf } from "../../token/objects/halves.js";
import { doubtIn, isOffered, reasonsAgainst, stepsToTry } from "../../token/use/plan.js";
import type { TokenService } from "../../token/service.js";
import type { KeyInfo } from "../../token/values.js";
import { wholeKeyAt } from "./hidden-keys.js";
import type { Tokens } from "./tokens.js";

/**
 * A key to check signatures with, and whether its token shows it as one for exchange.
 *
 * @throws TokenError `ERR_PUBLIC_KEY_MISSING`; as `findKey`
 */
export async function signerOnToken(
  text: string,
  tokens: Tokens,
  inFile?: string,
): Promise<KeyFile> {
  const { key } = await foundBy(text, tokens, inFile);
  const use = signOnlyOf(key) === false ? ("exchange" as const) : undefined;
  return { publicKey: publicHalf(key), warnings: [], ...defined({ use }) };
}

/**
 * A key to seal to, with its OAEP record if that is certain, and with doubts about its token.
 * Throws as `signerOnToken`.
 */
export async function recipientOnToken(
  text: string,
  tokens: Tokens,
  inFile?: string,
): Promise<KeyFile> {
  const { key, access } = await foundBy(text, tokens, inFile);
  const publicKey = publicHalf(key);
  if (isSignOnly(key)) {
    return { publicKey, warnings: ["the token shows it as a key for signatures"] };
  }
  const oaep = await sureOaep(key, access);
  const doubt = await doubtOf(key, access);
  return { publicKey, warnings: doubt === undefined ? [] : [doubt], ...defined({ oaep }) };
}

async function foundBy(
  text: string,
  tokens: Tokens,
  inFile?: string,
): Promise<{ readonly key: KeyInfo; readonly access: TokenService }> {
  const uri = tokens.uri(text, inFile);
  const access = await tokens.access();
  return { key: await wholeKeyAt(uri, tokens), access };
}

/** The OAEP hash that the key's token is known to undo, without trying it. */
export async function sureOaep(key: KeyInfo, access: TokenService): Promise<OaepHash | undefined> {
  if (key.publicKey?.type !== "rsa") return undefined;
  return (await access.plan(key, "open")).sureOaep;
}

/** Why the key's token may not open what is sealed to it, as far as can be seen without a PIN. */
export async function doubtOf(key: KeyInfo, access: TokenService): Promise<string | undefined> {
  const plan = await access.plan(key, "open");
  if (isOffered(plan)) return undefined;
  const token = `token "${key.token.label}"`;
  const doubt = doubtIn(plan);
  return doubt === undefined
    ? `${token} cannot open what is sealed to this key: ${reasonsAgainst(plan)}`
    : `whether ${token} can open what is sealed to this key is not certain: ${doubt}`;
}

/** Why the key's token cannot, or may not, open what age seals to the key: only RSA has doubts. */
export async function ageDoubtOf(key: KeyInfo, access: TokenService): Promise<string | undefined> {
  if (key.publicKey?.type !== "rsa") return undefined;
  const plan = await access.plan(key, "open", AGE_SSH_OAEP);
  const token = `token "${key.token.label}"`;
  const [way] = stepsToTry(plan, AGE_SSH_OAEP.hash);
  if (way === undefined) {
    return `${token} cannot open what age seals to this key: ${reasonsAgainst(plan)}`;
  }
  // Most RSA keys may only unwrap: that it may decrypt is more than a guess only if it shows so.
  const isGuess = way.fn === "C_Decrypt" && plan.assumed.length > 0;
  const doubt = isGuess ? `it would have to ${way.way}, and ${way.reason}` : doubtIn(plan);
  return doubt === undefined
    ? undefined
    : `whether ${token} can open what age seals to this key is not certain: ${doubt}`;
}

/** As its public object says. */
export function isSignOnly({ uses }: KeyInfo): boolean {
  return uses.includes("sign") && !uses.includes("exchange");
}

/** The record of what a key is for; none of a key that does both, or shows neither. */
export function signOnlyOf({ uses }: KeyInfo): boolean | undefined {
  return uses.includes("sign") === uses.includes("exchange") ? undefined : uses.includes("sign");
}
