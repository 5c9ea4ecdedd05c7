/**
 * Public keys on tokens, in the form that key files are read to. A PIN is asked for only to look
 * for a key that does not show.
 */
import { defined } from "../../defined.js";
import { AGE_SSH_OAEP } from "../../keys/formats/ssh.js";
import type { KeyFile } from "../../keys/formats/key-file.js";
import { publicHalf } from "../../token/objects/halves.js";
import {
  doubtIn,
  isOffered,
  type Plan,
  type PlanStep,
  reasonsAgainst,
  stepsToTry,
} from "../../token/use/plan.js";
import type { TokenService } from "../../token/service.js";
import type { KeyInfo } from "../../token/values.js";
import { newest } from "./certificates.js";
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
  const certificate = newest(key.certificates);
  return { publicKey: publicHalf(key), warnings: [], ...defined({ use, certificate }) };
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
  const certificate = newest(key.certificates);
  if (isSignOnly(key)) {
    const warnings = ["the token shows it as a key for signatures"];
    return { publicKey, warnings, ...defined({ certificate }) };
  }
  const plan = await access.plan(key, "open");
  const doubt = doubtOf(key, plan);
  const warnings = doubt === undefined ? [] : [doubt];
  return { publicKey, warnings, ...defined({ oaep: plan.sureOaep, certificate }) };
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

/** Why the key's token may not open what is sealed to it, by a plan made without a PIN. */
export function doubtOf(key: KeyInfo, plan: Plan): string | undefined {
  if (isOffered(plan)) return undefined;
  const doubt = doubtIn(plan);
  const isSure = doubt === undefined;
  return doubtText(key, "is sealed", isSure, isSure ? reasonsAgainst(plan) : doubt);
}

/** Why the key's token cannot, or may not, open what age seals to the key: only RSA has doubts. */
export async function ageDoubtOf(key: KeyInfo, access: TokenService): Promise<string | undefined> {
  if (key.publicKey?.type !== "rsa") return undefined;
  const plan = await access.plan(key, "open", AGE_SSH_OAEP);
  const doubt = ageDoubtIn(plan);
  return doubt && doubtText(key, "age seals", ageWay(plan) === undefined, doubt);
}

function doubtText({ token }: KeyInfo, what: string, isSure: boolean, reason: string): string {
  const opens = (can: string): string =>
    `token "${token.label}" ${can} open what ${what} to this key`;
  return isSure
    ? `${opens("cannot")}: ${reason}`
    : `whether ${opens("can")} is not certain: ${reason}`;
}

/** The first way that a plan made for age's `ssh-rsa` has. */
export function ageWay(plan: Plan): PlanStep | undefined {
  return stepsToTry(plan, AGE_SSH_OAEP.hash)[0];
}

/** Why a plan made for age's `ssh-rsa` has no way, or one that may not work. */
export function ageDoubtIn(plan: Plan): string | undefined {
  const way = ageWay(plan);
  if (way === undefined) return reasonsAgainst(plan);
  // Most RSA keys may only unwrap: that it may decrypt is more than a guess only if it shows so.
  const isGuess = way.fn === "C_Decrypt" && plan.assumed.length > 0;
  if (isGuess) return `it would have to ${way.way}, and ${way.reason}`;
  return way.standing === "doubted" ? way.reason : undefined;
}

/** As its public object says. */
export function isSignOnly({ uses }: KeyInfo): boolean {
  return uses.includes("sign") && !uses.includes("exchange");
}

/** The record of what a key is for; none of a key that does both, or shows neither. */
export function signOnlyOf({ uses }: KeyInfo): boolean | undefined {
  return uses.includes("sign") === uses.includes("exchange") ? undefined : uses.includes("sign");
}
