/**
 * A plan lists the ways to use a key, in order, with reasons. It is made from the key's attributes,
 * the flags of the token's mechanisms, and the known quirks of their maker (`quirks.ts`). It is a
 * table of plain values: `rsa.ts`, `ec.ts` and `token-signer.ts` follow it step by step, and users
 * are shown the same table.
 */
import { defined } from "../../defined.js";
import type { OaepHash, OaepParameters } from "../../keys/key.js";
import { MECHANISM_FLAG } from "../modules/constants.js";
import { type Quirk, type QuirkInfo, told } from "./quirks.js";
import { type TemplateName, templatesFor } from "./secret-template.js";

export interface Plan {
  /** What the key is to do. */
  readonly operation: PlanOperation;
  /** The key's URI. */
  readonly key: string;
  /**
   * In the order in which they are tried: those offered, then those in doubt, of which the unlisted
   * ones come last; then those left out.
   */
  readonly steps: readonly PlanStep[];
  /**
   * RSA keys that open messages: the OAEP hashes that the token is expected to undo, best first.
   */
  readonly oaep?: readonly OaepHash[];
  /**
   * RSA keys that open messages: the hash that the token certainly undoes, if one is known without
   * a try.
   */
  readonly sureOaep?: OaepHash;
  /** CKA_ALWAYS_AUTHENTICATE: the PIN is sent again with every C_Decrypt and C_Sign. */
  readonly contextLogin: boolean;
  readonly quirks: readonly QuirkInfo[];
  /** What the plan assumes without evidence, one sentence each. */
  readonly assumed: readonly string[];
}

/**
 * What a plan is for: opening or signing messages; signing as X.509 does; for CryptoAPI, RSA with
 * PKCS#1 v1.5 padding.
 */
export type PlanOperation = "open" | "sign" | "sign-x509" | "decrypt-pkcs1" | "sign-pkcs1";

/** One way, offered or not. */
export interface PlanStep {
  /** As in `C_UnwrapKey CKM_RSA_PKCS_OAEP sha256`. */
  readonly way: string;
  readonly fn: "C_UnwrapKey" | "C_Decrypt" | "C_DeriveKey" | "C_Sign";
  /** With `CKM_`. */
  readonly mechanism: string;
  readonly oaep?: OaepHash;
  /** Who undoes RSA's padding. */
  readonly padding?: "token" | "host";
  /** How the peer's point is encoded (PKCS#11 v2.40 §2.3.3). */
  readonly point?: "raw" | "der";
  /** Templates of the new secret, by name, in the order in which they are tried. */
  readonly templates?: readonly TemplateName[];
  /** `doubted`: allowed by flags and attributes, but not known to work; tried last. */
  readonly standing: "offered" | "doubted" | "left out";
  readonly reason: string;
  /**
   * The token does not list the mechanism for this function. Some tokens have it all the same, so
   * it is tried once, on input of our own, after every other way.
   */
  readonly unlisted?: true;
}

/** What a plan is made from. */
export interface Situation {
  readonly key: string;
  readonly type: "rsa" | "ec" | "x25519" | "ed25519";
  /**
   * Flags of the relevant mechanisms (CK_MECHANISM_INFO); absent if the token lacks the mechanism.
   */
  readonly mechanisms: Readonly<Partial<Record<PlanMechanism, number>>>;
  /** The private key's attributes; absent if the token does not reveal them. */
  readonly attributes: Readonly<Partial<Record<PlanAttribute, boolean>>>;
  /** Where the attributes were read: without a PIN, often only the public half is visible. */
  readonly seen: "private key" | "public key" | "nothing";
  readonly quirks: readonly Quirk[];
  /** Another key shows under its names: which private key is its own, only a use of it can tell. */
  readonly sharesNames?: boolean;
}

export type PlanMechanism =
  "RSA_PKCS_OAEP" | "RSA_PKCS" | "RSA_X_509" | "ECDH1_DERIVE" | SignMechanism;
type SignMechanism = "RSA_PKCS_PSS" | "ECDSA" | "EDDSA";
export type PlanUse = "UNWRAP" | "DECRYPT" | "DERIVE" | "SIGN";
export type PlanAttribute = PlanUse | "ALWAYS_AUTHENTICATE";

/** Best first; hashes are proposed to senders in this order. */
export const OAEP_HASHES = ["sha256", "sha384", "sha512", "sha1"] as const satisfies OaepHash[];

interface WayKind {
  readonly operation: PlanOperation;
  readonly types: readonly Situation["type"][];
  readonly fn: PlanStep["fn"];
  readonly mechanism: PlanMechanism;
  readonly flag: number;
  /**
   * The attribute that allows it; if absent, the token is asked regardless of the key's attributes.
   */
  readonly use?: PlanUse;
  readonly padding?: "token" | "host";
  readonly point?: "raw" | "der";
}

/**
 * Every way, best first. Unwrapping comes before decrypting, since a key that may only unwrap
 * cannot be misused to decrypt.
 */
const WAYS: readonly WayKind[] = [
  ...rsaDecryption("open", "RSA_PKCS_OAEP"),
  ...rsaDecryption("decrypt-pkcs1", "RSA_PKCS"),
  ...(["raw", "der"] as const).map((point): WayKind => ({
    operation: "open",
    types: ["ec", "x25519"],
    fn: "C_DeriveKey",
    mechanism: "ECDH1_DERIVE",
    flag: MECHANISM_FLAG.DERIVE,
    use: "DERIVE",
    point,
  })),
  ...(
    [
      ["sign", "rsa", "RSA_PKCS_PSS"],
      ["sign", "ec", "ECDSA"],
      ["sign", "ed25519", "EDDSA"],
      ["sign-x509", "rsa", "RSA_PKCS"],
      ["sign-x509", "rsa", "RSA_PKCS_PSS"],
      ["sign-x509", "ec", "ECDSA"],
      ["sign-x509", "ed25519", "EDDSA"],
    ] as const
  ).map(([operation, type, mechanism]): WayKind => ({
    operation,
    types: [type],
    fn: "C_Sign",
    mechanism,
    flag: MECHANISM_FLAG.SIGN,
    use: "SIGN",
  })),
  {
    operation: "sign-pkcs1",
    types: ["rsa"],
    fn: "C_Sign",
    mechanism: "RSA_PKCS",
    flag: MECHANISM_FLAG.SIGN,
  },
];

function rsaDecryption(operation: PlanOperation, padded: PlanMechanism): WayKind[] {
  const { UNWRAP: unwrap, DECRYPT: decrypt } = MECHANISM_FLAG;
  const [rsa, token] = [{ operation, types: ["rsa"] } as const, { padding: "token" } as const];
  const fn = "C_Decrypt";
  return [
    { ...rsa, fn: "C_UnwrapKey", mechanism: padded, flag: unwrap, use: "UNWRAP", ...token },
    { ...rsa, fn, mechanism: padded, flag: decrypt, use: "DECRYPT", ...token },
    { ...rsa, fn, mechanism: "RSA_X_509", flag: decrypt, use: "DECRYPT", padding: "host" },
  ];
}

/** The mechanisms whose flags a plan depends on. */
export const PLAN_MECHANISMS: readonly PlanMechanism[] = [
  ...new Set(WAYS.map(({ mechanism }) => mechanism)),
];

/**
 * Plans an operation with a key.
 *
 * @param oaep - for opening: how OAEP was applied, if known; by default with an empty label and the
 *   same hash for MGF1.
 */
export function planFor(
  operation: PlanOperation,
  situation: Situation,
  oaep?: OaepParameters,
): Plan {
  const { type, quirks } = situation;
  const isRsa = operation === "open" && type === "rsa";
  const hashes = isRsa ? OAEP_HASHES : [undefined];
  const isUnusual = oaep !== undefined && !isUsual(oaep);
  const steps = WAYS.filter(
    (way) => way.operation === operation && way.types.includes(type),
  ).flatMap((way) => hashes.map((hash) => stepOf(way, situation, hash, isUnusual)));
  const ordered = [...steps].sort((one, other) => rank(one) - rank(other));
  return {
    operation,
    key: situation.key,
    steps: ordered,
    ...defined({
      oaep: isRsa ? hashesOf(ordered) : undefined,
      sureOaep: isRsa ? sureHash(ordered, quirks) : undefined,
    }),
    contextLogin: situation.attributes.ALWAYS_AUTHENTICATE === true,
    quirks: quirks.map(told),
    assumed: assumptions(operation, situation),
  };
}

/**
 * True for the form that every token with OAEP supports: no label, and one hash for both purposes.
 */
function isUsual({ hash, mgfHash = hash, label }: OaepParameters): boolean {
  return mgfHash === hash && (label === undefined || label.length === 0);
}

/** The steps to try; given a hash, only those for it. */
export function stepsToTry({ steps }: Plan, hash?: OaepHash): PlanStep[] {
  return steps.filter(
    ({ standing, oaep }) => standing !== "left out" && (hash === undefined || oaep === hash),
  );
}

/** Function and mechanism of a step that the token does not list. */
export function unlistedIn({ fn, mechanism, unlisted }: PlanStep): string | undefined {
  return unlisted === true ? `${fn} ${mechanism}` : undefined;
}

/** True if there is a way that is expected to work. */
export function isOffered({ steps }: Plan): boolean {
  return steps.some(({ standing }) => standing === "offered");
}

/** Why the first way may not work, if there is one and that is so. */
export function doubtIn(plan: Plan): string | undefined {
  const [first] = stepsToTry(plan);
  return first?.standing === "doubted" ? first.reason : undefined;
}

/** Why steps were left out: each reason once. */
export function reasonsAgainst({ steps }: Plan): string {
  const reasons = steps
    .filter(({ standing }) => standing === "left out")
    .map(({ reason }) => reason);
  return [...new Set(reasons)].join("; ");
}

/** A plan as lines of text; ways that differ only in the hash share a line. */
export function planLines(plan: Plan, hashes: readonly OaepHash[] = OAEP_HASHES): string[] {
  const rows = new Map<string, { text: string; hashes: OaepHash[] }>();
  for (const { way, oaep, standing, reason } of plan.steps) {
    if (oaep !== undefined && !hashes.includes(oaep)) continue;
    const bare = oaep === undefined ? way : way.replace(` ${oaep}`, "");
    const key = `${bare} ${standing} ${reason}`;
    const row = rows.get(key) ?? { text: `${standing}: ${bare}`, hashes: [] };
    if (oaep !== undefined) row.hashes.push(oaep);
    rows.set(key, row);
    row.text = `${standing}: ${bare}${row.hashes.length > 0 ? ` (${row.hashes.join(", ")})` : ""}: ${reason}`;
  }
  return [
    ...[...rows.values()].map(({ text }) => text),
    ...(plan.contextLogin ? ["the PIN is sent again with every C_Decrypt and C_Sign"] : []),
    ...plan.assumed.map((one) => `assumed: ${one}`),
  ];
}

// ── Steps ──

/** Steps of a lower rank come first. */
function rank({ standing, unlisted }: PlanStep): number {
  if (standing === "offered") return 0;
  if (standing === "left out") return 3;
  return unlisted === true ? 2 : 1;
}

function stepOf(
  way: WayKind,
  situation: Situation,
  hash: OaepHash | undefined,
  isUnusual: boolean,
): PlanStep {
  const { fn, padding, point } = way;
  const mechanism = `CKM_${way.mechanism}`;
  const makesKey = fn === "C_UnwrapKey" || fn === "C_DeriveKey";
  return {
    way: wayName(fn, mechanism, way, hash),
    fn,
    mechanism,
    ...defined({
      oaep: hash,
      padding,
      point,
      templates: makesKey ? templatesFor(fn, situation.quirks) : undefined,
    }),
    ...standingOf(way, situation, hash, isUnusual),
  };
}

function wayName(
  fn: string,
  mechanism: string,
  { padding, point }: Pick<PlanStep, "padding" | "point">,
  hash: OaepHash | undefined,
): string {
  if (padding === "host") {
    return `${fn} ${mechanism}, ${hash === undefined ? "PKCS#1 v1.5" : `OAEP ${hash}`} on the host`;
  }
  if (hash !== undefined) return `${fn} ${mechanism} ${hash}`;
  return point === "der" ? `${fn} ${mechanism}, point in DER` : `${fn} ${mechanism}`;
}

function standingOf(
  { fn, mechanism, use, flag, padding, point }: WayKind,
  { mechanisms, attributes, seen, quirks }: Situation,
  hash: OaepHash | undefined,
  isUnusual: boolean,
): Pick<PlanStep, "standing" | "reason" | "unlisted"> {
  const leftOut = (reason: string) => ({ standing: "left out", reason }) as const;
  const flags = mechanisms[mechanism];
  const doing = DOING[fn];
  const missing = quirks.find(({ effect }) => effect.missing?.includes(mechanism));
  if (flags === undefined && missing !== undefined) return leftOut(missing.fact);
  if (use !== undefined && attributes[use] === false) {
    const who = seen === "private key" ? `(CKA_${use} is false)` : "(its public half says so)";
    return leftOut(`the key may not ${doing} ${who}`);
  }
  const tooFar = quirks.find(({ effect }) => point && effect.points?.includes(point) === false);
  if (tooFar !== undefined) return leftOut(tooFar.fact);
  const onToken = padding === "token" ? hash : undefined;
  if (onToken !== undefined) {
    if (isUnusual && quirks.some(({ effect }) => effect.oaepLabels === false)) {
      return leftOut("the token takes no OAEP label, and no MGF1 hash but OAEP's own");
    }
  }
  if (flags === undefined || (flags & flag) === 0) {
    const lacks = flags === undefined ? `CKM_${mechanism}` : `CKM_${mechanism} to ${doing} with`;
    return { standing: "doubted", reason: `the token does not list ${lacks}`, unlisted: true };
  }
  if (onToken !== undefined) {
    const doubt = quirks.find(({ effect }) => effect.oaep?.includes(onToken) === false);
    if (doubt !== undefined) return { standing: "doubted", reason: doubt.fact };
  }
  const known = seen === "private key" && use !== undefined && attributes[use] === true;
  const reason = known
    ? `token and key may ${doing}`
    : `the token may ${doing}; the key does not say if it may`;
  return { standing: "offered", reason };
}

const DOING: Readonly<Record<PlanStep["fn"], string>> = {
  C_UnwrapKey: "unwrap",
  C_Decrypt: "decrypt",
  C_DeriveKey: "derive",
  C_Sign: "sign",
};

/** Those of the ways offered; where there are none, those of the ways that are not listed. */
function hashesOf(steps: readonly PlanStep[]): OaepHash[] {
  const offered = steps.filter(({ standing }) => standing === "offered");
  const hopeful = offered.length > 0 ? offered : steps.filter(({ unlisted }) => unlisted === true);
  return OAEP_HASHES.filter((hash) => hopeful.some(({ oaep }) => oaep === hash));
}

/** The hash of a token that undoes only one. */
function sureHash(steps: readonly PlanStep[], quirks: readonly Quirk[]): OaepHash | undefined {
  const [only, ...more] = quirks.find(({ effect }) => effect.oaep)?.effect.oaep ?? [];
  if (only === undefined || more.length > 0) return undefined;
  const isOffered = steps.some(({ oaep, standing }) => oaep === only && standing === "offered");
  return isOffered ? only : undefined;
}

/** Among what a plan assumes. */
export const SHARED_NAMES =
  "the private key found by id or label is its own, although another key has the same; " +
  "a use would tell, and different ids would rule it out";

function assumptions(operation: PlanOperation, situation: Situation): string[] {
  const shared = situation.sharesNames === true ? [SHARED_NAMES] : [];
  return [...shared, ...unseen(operation, situation)];
}

function unseen(operation: PlanOperation, { seen, attributes }: Situation): string[] {
  if (seen === "private key") return [];
  const uses: readonly PlanUse[] = operation.startsWith("sign")
    ? ["SIGN"]
    : ["UNWRAP", "DECRYPT", "DERIVE"];
  const isTold = uses.some((use) => attributes[use] !== undefined);
  return [
    isTold
      ? "the private key may do what its public half suggests; it shows itself after the PIN"
      : "the private key may do what the token can; it shows itself after the PIN",
  ];
}
