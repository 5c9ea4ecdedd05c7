/**
 * The plan: which ways there are to use a key, in order, and why. It is made from what is known of the
 * key (its attributes), of the token (its mechanisms' flags) and of both's maker (`quirks.ts`), and is
 * a table of plain values: `rsa.ts`, `ec.ts` and `sign.ts` follow it step by step, and people are shown
 * the same one.
 */
import type { OaepHash } from "../../keys/key.js";
import { CKK, CKO, MECHANISM_FLAG } from "../modules/constants.js";
import { type Quirk, type QuirkInfo, told } from "./quirks.js";
import type { AttributeValues } from "../modules/template.js";

export interface Plan {
  /** What for. */
  readonly operation: PlanOperation;
  /** The key's URI. */
  readonly key: string;
  /** In the order in which they are tried: first those offered, then the doubted, last those left out. */
  readonly steps: readonly PlanStep[];
  /** RSA, to open: the OAEP hashes that the token is expected to undo, best first. */
  readonly oaep?: readonly OaepHash[];
  /** RSA, to open: the hash that it surely undoes, where that is known without a try. */
  readonly sureOaep?: OaepHash;
  /** CKA_ALWAYS_AUTHENTICATE: the PIN is sent again with every C_Decrypt and C_Sign. */
  readonly contextLogin: boolean;
  readonly quirks: readonly QuirkInfo[];
  /** What it rests on without being known, one sentence each. */
  readonly assumed: readonly string[];
}

/** What a key is planned for: opening messages, or signing. */
export type PlanOperation = "open" | "sign";

/** One way, offered or not. */
export interface PlanStep {
  /** As in `C_UnwrapKey CKM_RSA_PKCS_OAEP sha256`. */
  readonly way: string;
  readonly fn: "C_UnwrapKey" | "C_Decrypt" | "C_DeriveKey" | "C_Sign";
  /** With `CKM_`. */
  readonly mechanism: string;
  readonly oaep?: OaepHash;
  /** Who undoes the OAEP padding. */
  readonly padding?: "token" | "host";
  /** How the peer's point is encoded (PKCS#11 v2.40 §2.3.3). */
  readonly point?: "raw" | "der";
  /** Templates of the new secret, by name, in the order in which they are tried. */
  readonly templates?: readonly TemplateName[];
  /** Doubted: allowed by flags and attributes, but not known to work; tried last. */
  readonly standing: "offered" | "doubted" | "left out";
  readonly reason: string;
}

/** What a plan is made from. */
export interface Situation {
  readonly key: string;
  readonly type: "rsa" | "ec" | "x25519" | "ed25519";
  /** Flags of the mechanisms that matter (CK_MECHANISM_INFO); those absent the token does not have. */
  readonly mechanisms: Readonly<Partial<Record<PlanMechanism, number>>>;
  /** The private key's attributes; those absent are not told. */
  readonly attributes: Readonly<Partial<Record<PlanAttribute, boolean>>>;
  /** Whose attributes these are: without a PIN, often the public half is all there is to see. */
  readonly seen: "private key" | "public key" | "nothing";
  readonly quirks: readonly Quirk[];
}

export type PlanMechanism = "RSA_PKCS_OAEP" | "RSA_X_509" | "ECDH1_DERIVE" | SignMechanism;
type SignMechanism = "RSA_PKCS_PSS" | "ECDSA" | "EDDSA";
export type PlanUse = "UNWRAP" | "DECRYPT" | "DERIVE" | "SIGN";
export type PlanAttribute = PlanUse | "ALWAYS_AUTHENTICATE";

/** Best first: this is also the order in which hashes are proposed to senders. */
export const OAEP_HASHES = ["sha256", "sha384", "sha512", "sha1"] as const satisfies OaepHash[];

/** Every way there is, best first. What a key may only unwrap can't be abused to decrypt. */
const WAYS: readonly {
  readonly operation: PlanOperation;
  readonly types: readonly Situation["type"][];
  readonly fn: PlanStep["fn"];
  readonly mechanism: PlanMechanism;
  readonly flag: number;
  readonly use: PlanUse;
  readonly padding?: "token" | "host";
  readonly point?: "raw" | "der";
}[] = [
  {
    operation: "open",
    types: ["rsa"],
    fn: "C_UnwrapKey",
    mechanism: "RSA_PKCS_OAEP",
    flag: MECHANISM_FLAG.UNWRAP,
    use: "UNWRAP",
    padding: "token",
  },
  {
    operation: "open",
    types: ["rsa"],
    fn: "C_Decrypt",
    mechanism: "RSA_PKCS_OAEP",
    flag: MECHANISM_FLAG.DECRYPT,
    use: "DECRYPT",
    padding: "token",
  },
  {
    operation: "open",
    types: ["rsa"],
    fn: "C_Decrypt",
    mechanism: "RSA_X_509",
    flag: MECHANISM_FLAG.DECRYPT,
    use: "DECRYPT",
    padding: "host",
  },
  ...(["raw", "der"] as const).map((point) => ({
    operation: "open" as const,
    types: ["ec", "x25519"] as const,
    fn: "C_DeriveKey" as const,
    mechanism: "ECDH1_DERIVE" as const,
    flag: MECHANISM_FLAG.DERIVE,
    use: "DERIVE" as const,
    point,
  })),
  ...(
    [
      ["rsa", "RSA_PKCS_PSS"],
      ["ec", "ECDSA"],
      ["ed25519", "EDDSA"],
    ] as const
  ).map(([type, mechanism]) => ({
    operation: "sign" as const,
    types: [type],
    fn: "C_Sign" as const,
    mechanism,
    flag: MECHANISM_FLAG.SIGN,
    use: "SIGN" as const,
  })),
];

/** Mechanisms whose flags a plan wants to know. */
export const PLAN_MECHANISMS: readonly PlanMechanism[] = [
  ...new Set(WAYS.map(({ mechanism }) => mechanism)),
];

/** What to do, in which order, and why. */
export function planFor(operation: PlanOperation, situation: Situation): Plan {
  const steps = WAYS.filter(
    (way) => way.operation === operation && way.types.includes(situation.type),
  ).flatMap((way) =>
    way.padding === undefined
      ? [stepOf(way, situation)]
      : OAEP_HASHES.map((hash) => stepOf(way, situation, hash)),
  );
  const ordered = STANDINGS.flatMap((standing) => steps.filter((one) => one.standing === standing));
  const isRsa = operation === "open" && situation.type === "rsa";
  const sure = isRsa ? sureHash(ordered, situation.quirks) : undefined;
  return {
    operation,
    key: situation.key,
    steps: ordered,
    ...(isRsa ? { oaep: hashesOf(ordered) } : {}),
    ...(sure === undefined ? {} : { sureOaep: sure }),
    contextLogin: situation.attributes.ALWAYS_AUTHENTICATE === true,
    quirks: situation.quirks.map(told),
    assumed: assumptions(operation, situation),
  };
}

/** The steps that are tried. With a hash, those for it. */
export function stepsToTry({ steps }: Plan, hash?: OaepHash): PlanStep[] {
  return steps.filter(
    ({ standing, oaep }) => standing !== "left out" && (hash === undefined || oaep === hash),
  );
}

/** Why nothing can be tried: each reason once. */
export function reasonsAgainst({ steps }: Plan): string {
  const reasons = steps
    .filter(({ standing }) => standing === "left out")
    .map(({ reason }) => reason);
  return [...new Set(reasons)].join("; ");
}

/** A plan as lines: ways that differ in nothing but the hash share one. */
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

// ── Templates of the new secret ─────────────────────────────────────────────────────────────────

/**
 * SoftHSM makes a key that can be read only when told so; openCryptoki refuses to be told; Luna and
 * MyEID want the length; a few tokens know AES keys only. SENSITIVE and EXTRACTABLE concern the
 * secret's copy, which leaves the token in any case, and lives in a session object for a moment.
 */
export type TemplateName = `${"generic" | "AES"} ${"readable" | "bare" | "readable, with length"}`;

/** A template by its name, for a secret of so many bytes. */
export function secretTemplate(name: TemplateName, bytes: number): AttributeValues {
  const bare = {
    CLASS: CKO.SECRET_KEY,
    KEY_TYPE: name.startsWith("AES") ? CKK.AES : CKK.GENERIC_SECRET,
    TOKEN: false,
  };
  if (name.endsWith("bare")) return bare;
  const readable = { ...bare, SENSITIVE: false, EXTRACTABLE: true };
  return name.endsWith("length") ? { ...readable, VALUE_LEN: bytes } : readable;
}

const UNWRAP_TEMPLATES: readonly TemplateName[] = [
  "generic readable",
  "generic bare",
  "generic readable, with length",
  "AES readable",
  "AES bare",
  "AES readable, with length",
];

/** The length first: what a token returns without one is its own choice. */
const DERIVE_TEMPLATES: readonly TemplateName[] = [
  "generic readable, with length",
  "generic readable",
  "generic bare",
];

function templatesFor(fn: PlanStep["fn"], quirks: readonly Quirk[]): readonly TemplateName[] {
  const ladder = fn === "C_DeriveKey" ? DERIVE_TEMPLATES : UNWRAP_TEMPLATES;
  if (!quirks.some(({ effect }) => effect.template === "bare")) return ladder;
  const bare = ladder.filter((name) => name.endsWith("bare"));
  return [...bare, ...ladder.filter((name) => !bare.includes(name))];
}

// ── Steps ───────────────────────────────────────────────────────────────────────────────────────

const STANDINGS = ["offered", "doubted", "left out"] as const;

function stepOf(way: (typeof WAYS)[number], situation: Situation, hash?: OaepHash): PlanStep {
  const { fn, padding, point } = way;
  const mechanism = `CKM_${way.mechanism}`;
  const makesKey = fn === "C_UnwrapKey" || fn === "C_DeriveKey";
  return {
    way: wayName(fn, mechanism, way, hash),
    fn,
    mechanism,
    ...(hash === undefined ? {} : { oaep: hash }),
    ...(padding === undefined ? {} : { padding }),
    ...(point === undefined ? {} : { point }),
    ...(makesKey ? { templates: templatesFor(fn, situation.quirks) } : {}),
    ...standingOf(way, situation, hash),
  };
}

function wayName(
  fn: string,
  mechanism: string,
  { padding, point }: Pick<PlanStep, "padding" | "point">,
  hash: OaepHash | undefined,
): string {
  if (padding === "host") return `${fn} ${mechanism}, OAEP ${hash ?? ""} on the host`;
  if (hash !== undefined) return `${fn} ${mechanism} ${hash}`;
  return point === "der" ? `${fn} ${mechanism}, point in DER` : `${fn} ${mechanism}`;
}

function standingOf(
  way: (typeof WAYS)[number],
  { mechanisms, attributes, seen, quirks }: Situation,
  hash: OaepHash | undefined,
): Pick<PlanStep, "standing" | "reason"> {
  const { fn, mechanism, use, flag, padding, point } = way;
  const flags = mechanisms[mechanism];
  const doing = DOING[fn];
  if (flags === undefined) {
    return { standing: "left out", reason: `the token does not have CKM_${mechanism}` };
  }
  if ((flags & flag) === 0) {
    return { standing: "left out", reason: `the token does not ${doing} with CKM_${mechanism}` };
  }
  if (attributes[use] === false) {
    const who = seen === "private key" ? `(CKA_${use} is false)` : "by what its public half says";
    return { standing: "left out", reason: `the key may not ${doing} ${who}` };
  }
  const tooFar = quirks.find(({ effect }) => point && effect.points?.includes(point) === false);
  if (tooFar !== undefined) return { standing: "left out", reason: tooFar.fact };
  const doubt = quirks.find(
    ({ effect }) => padding === "token" && hash && effect.oaep?.includes(hash) === false,
  );
  if (doubt !== undefined) return { standing: "doubted", reason: doubt.fact };
  const known = seen === "private key" && attributes[use] === true;
  const reason = known
    ? `token and key may ${doing}`
    : `the token may ${doing}; of the key not told`;
  return { standing: "offered", reason };
}

const DOING: Readonly<Record<PlanStep["fn"], string>> = {
  C_UnwrapKey: "unwrap",
  C_Decrypt: "decrypt",
  C_DeriveKey: "derive",
  C_Sign: "sign",
};

function hashesOf(steps: readonly PlanStep[]): OaepHash[] {
  return OAEP_HASHES.filter((hash) =>
    steps.some(({ oaep, standing }) => oaep === hash && standing === "offered"),
  );
}

/** Of a token that undoes one hash by itself, that one. */
function sureHash(steps: readonly PlanStep[], quirks: readonly Quirk[]): OaepHash | undefined {
  const [only, ...more] = quirks.find(({ effect }) => effect.oaep)?.effect.oaep ?? [];
  if (only === undefined || more.length > 0) return undefined;
  const isOffered = steps.some(({ oaep, standing }) => oaep === only && standing === "offered");
  return isOffered ? only : undefined;
}

function assumptions(operation: PlanOperation, { seen, attributes }: Situation): string[] {
  if (seen === "private key") return [];
  const uses: readonly PlanUse[] =
    operation === "sign" ? ["SIGN"] : ["UNWRAP", "DECRYPT", "DERIVE"];
  const isTold = uses.some((use) => attributes[use] !== undefined);
  return [
    isTold
      ? "the private key may do what its public half suggests; it shows itself after the PIN"
      : "the private key may do what the token can; it shows itself after the PIN",
  ];
}
