/**
 * Predicts, without a PIN, how opening a message with the keys at hand will go: how the token will
 * do it, or why it can't. `inspect -i` and `doctor` show it.
 */
import type { MessageInfo, RecipientInfo } from "../../envelope/message-info.js";
import { matchesRecipient } from "../../envelope/messages.js";
import { defined } from "../../defined.js";
import { NoMatchError, P11SealError, PolicyError, TokenError } from "../../errors.js";
import type { OaepHash } from "../../keys/key.js";
import type { TokenService } from "../../token/service.js";
import { doubtIn, type Plan, planLines, reasonsAgainst, stepsToTry } from "../../token/use/plan.js";
import type { KeyInfo, TokenInfo } from "../../token/values.js";
import type { Certificate } from "../../x509/certificate.js";
import type { ExchangeIdentity } from "./identity-source.js";
import { isOf } from "./own-certificate.js";
import type { Tokens } from "./tokens.js";

/** What to expect of one key that the message was sealed to. */
export interface Prospect {
  /** A `pkcs11:` URI, or a file's name. */
  readonly name: string;
  /** What people call the key, where its name does not say it. */
  readonly label?: string;
  /** Absent for a private key file. */
  readonly token?: TokenInfo;
  readonly plan?: Plan;
  /** The ways that will be tried, the likeliest first. */
  readonly ways: readonly string[];
  /** Why it will not open. */
  readonly cause?: P11SealError;
}

/**
 * One for every identity that the message was sealed to, in their order; and for those that it may
 * be sealed to by a certificate, where none is at hand.
 *
 * @param given - certificates of any keys
 * @throws P11SealError
 */
export async function prospectsOf(
  info: MessageInfo,
  identities: readonly ExchangeIdentity[],
  given: readonly Certificate[],
  tokens: Tokens,
): Promise<Prospect[]> {
  const prospects: Prospect[] = [];
  for (const identity of identities) {
    const { name, label, publicKey, certificates: beside = [] } = identity;
    const key = tokens.keyOf(identity);
    const alike = info.recipients.filter((recipient) => recipient.matches(publicKey));
    if (alike.length === 0) continue;
    const own = given.filter((one) => isOf(one, publicKey)).map(({ der }) => der);
    const certificates = [...beside, ...own];
    const wrapped = alike.filter((recipient) => recipient.matches(publicKey, certificates));
    if (wrapped.length === 0) {
      if (certificates.length > 0) continue;
      const about = defined({ label, token: key?.token });
      prospects.push({ name, ...about, ways: [], cause: lacksCertificate() });
      continue;
    }
    if (key === undefined) {
      prospects.push({ name, ways: ["a private key file: no token is needed"] });
      continue;
    }
    prospects.push({ ...(await prospectOf(name, key, wrapped, tokens)), ...defined({ label }) });
  }
  return prospects;
}

/** True where a message names certificates, and a key of a recipient's kind is at hand. */
export function mayHaveOther(info: MessageInfo, identities: readonly ExchangeIdentity[]): boolean {
  return identities.some(
    ({ publicKey }) =>
      matchesRecipient(info, publicKey) &&
      !info.recipients.some((recipient) => recipient.matches(publicKey, [])),
  );
}

function lacksCertificate(): NoMatchError {
  const fact = "the message names certificates, and none of this key is at hand";
  return new NoMatchError("ERR_NO_MATCH", fact, { hint: "give the key's with --cert FILE" });
}

/** True if nothing of it is a guess. Most tokens hide private keys, and their uses, until login. */
export function isCertain({ plan }: Prospect): boolean {
  return plan === undefined || isPlanCertain(plan);
}

export function isPlanCertain(plan: Plan): boolean {
  return plan.assumed.length === 0 && stepsToTry(plan)[0]?.standing === "offered";
}

/** A prospect for `--json`. */
export function prospectData({ name, plan, ways, cause }: Prospect): object {
  return {
    key: name,
    ways,
    cause: cause === undefined ? null : causeData(cause),
    plan: plan ?? null,
  };
}

export function causeData({ code, message, hint }: P11SealError): object {
  return { code, message, hint: hint ?? null };
}

/** A prospect as lines for people; none where the key can't open the message. */
export function prospectLines({ plan, ways, cause }: Prospect): string[] {
  if (cause !== undefined) return [];
  const [first = "", ...others] = ways;
  return [
    `way: ${first}`,
    ...others.map((way) => `else: ${way}`),
    ...inDoubt(plan),
    ...(plan?.assumed ?? []).map((one) => `assumed: ${one}`),
    ...(plan?.contextLogin === true ? planLines(plan).filter((l) => l.startsWith("the PIN")) : []),
  ];
}

/** What makes the first way doubtful, and what would tell. */
export function inDoubt(plan: Plan | undefined): string[] {
  const doubt = plan && doubtIn(plan);
  if (plan === undefined || doubt === undefined) return [];
  const would = plan.operation === "sign" ? "signing" : "opening a message";
  return [`in doubt: ${doubt}; ${would} tries it all the same, and tells`];
}

async function prospectOf(
  name: string,
  key: KeyInfo,
  wrapped: readonly RecipientInfo[],
  tokens: Tokens,
): Promise<Prospect> {
  const access = await tokens.access();
  const labels = wrapped.map(({ oaepLabel }) => oaepLabel);
  // A label makes it harder: it counts only where no wrap is without.
  const label = labels.includes(undefined) ? undefined : labels[0];
  const hashes = wrapped.flatMap(({ oaep }) => oaep ?? []);
  const [hash] = hashes;
  const oaep = hash !== undefined && label !== undefined ? { hash, label } : undefined;
  const plan = await access.plan(key, "open", oaep);
  const about = { name, token: key.token, plan };
  try {
    await requireLogin(key.token, access);
    return { ...about, ways: waysFor(plan, hashes, oaep !== undefined, key) };
  } catch (cause) {
    if (!(cause instanceof P11SealError)) throw cause;
    return { ...about, ways: [], cause };
  }
}

/** @throws TokenError: why a login to the token would fail before a PIN is sent */
export async function requireLogin(token: TokenInfo, access: TokenService): Promise<void> {
  const obstacle = await access.obstacle(token);
  if (obstacle === undefined) return;
  const { code, message, hint } = obstacle;
  throw new TokenError(code, message, defined({ hint }));
}

/** Chooses the OAEP hash as opening does: the best that the token is expected to undo. */
function waysFor(
  plan: Plan,
  hashes: readonly OaepHash[],
  labelled: boolean,
  { token, label }: KeyInfo,
): string[] {
  const tried = stepsToTry(plan);
  if (tried.length === 0 && labelled) {
    throw new PolicyError(
      "ERR_OAEP_HASH",
      `sealed with RSA-OAEP ${hashes.join(", ")} and a label; with "${label}", token ` +
        `"${token.label}" undoes none: ${reasonsAgainst(plan)}`,
      { hint: "have it sealed in p11seal's own format, or to another key" },
    );
  }
  if (tried.length === 0) {
    throw new TokenError(
      "ERR_MECHANISM",
      `"${label}" on token "${token.label}" cannot open messages: ${reasonsAgainst(plan)}`,
      { hint: "it may have been made for signing, or the token lacks what its kind needs" },
    );
  }
  if (plan.oaep === undefined) return tried.map(({ way }) => way);
  const hash = plan.oaep.find((one) => hashes.includes(one));
  if (hash === undefined) {
    const can = plan.oaep.join(", ") || "none for sure";
    throw new PolicyError(
      "ERR_OAEP_HASH",
      `sealed with RSA-OAEP ${hashes.join(", ")}; token "${token.label}" undoes ${can}`,
      {
        hint: `have it sealed again with --oaep ${plan.oaep.at(-1) ?? "sha1"}, or to another key`,
      },
    );
  }
  return stepsToTry(plan, hash).map(({ way }) => way);
}
