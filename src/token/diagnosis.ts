/**
 * All that modules, tokens and keys reveal without a PIN, as values that JSON can represent.
 * `p11seal doctor` prints it.
 */
import { toHex } from "../bytes.js";
import { defined } from "../defined.js";
import { TokenError } from "../errors.js";
import { AGE_SSH_OAEP } from "../keys/formats/ssh.js";
import { auditKey, auditPublicHalf } from "./objects/key-audit.js";
import { errorReport } from "./modules/call.js";
import { type ConfigurationFault, configurationFault } from "./modules/configuration.js";
import type { Discovery } from "./modules/discover.js";
import { loadBinding } from "./modules/load-binding.js";
import type { TokenFinder } from "./session/find.js";
import { listKeys } from "./objects/key-list.js";
import { requirePads } from "./session/pin-pad.js";
import { requireTriable } from "./session/pin-refusals.js";
import { type Plan, planFor } from "./use/plan.js";
import { makerOf, type QuirkInfo, quirksOf, told } from "./use/quirks.js";
import type { Session } from "./session/session.js";
import { isForSigning, shownSituation, visiblePrivateKey } from "./use/situation.js";
import type { Token } from "./session/token.js";
import type { ErrorReport, Finding, KeyInfo, KeyUse, ModuleInfo, TokenInfo } from "./values.js";
import type { Pkcs11Uri } from "./uri.js";
import { matchesKey } from "./uri-match.js";

/** The modules in the order of preference. */
export interface Diagnosis {
  /** The package that calls them; absent where none can be loaded. */
  readonly binding?: "pkcs11js" | "koffi";
  readonly modules: readonly ModuleDiagnosis[];
}

export interface ModuleDiagnosis extends ModuleInfo {
  /** For a module that did not start or shows no token: the fault in its environment. */
  readonly configuration?: ConfigurationFault;
  /** Tokens that the module does not look at, and how to use them. */
  readonly overlooked?: ErrorReport;
  /** Slots with a token that it can't read. */
  readonly unread: readonly UnreadDiagnosis[];
  readonly tokens: readonly TokenDiagnosis[];
}

export interface UnreadDiagnosis {
  /** As in `slot "Reader 00 00"`. */
  readonly name: string;
  readonly error: ErrorReport;
}

export interface TokenDiagnosis {
  readonly token: TokenInfo;
  /** Why a login would fail before a PIN is sent. */
  readonly obstacle?: ErrorReport;
  readonly keys: readonly KeyDiagnosis[];
  readonly quirks: readonly QuirkInfo[];
  /** Why its keys could not be listed. */
  readonly error?: ErrorReport;
}

export interface KeyDiagnosis {
  readonly uri: string;
  readonly label: string;
  /** CKA_ID, hexadecimal. */
  readonly id: string;
  readonly kind: string;
  readonly uses: readonly KeyUse[];
  /** SHA-256 of the SubjectPublicKeyInfo, hexadecimal; absent where the public key is unknown. */
  readonly fingerprint?: string;
  readonly seenAs: KeyInfo["seenAs"];
  readonly plan: Plan;
  /** RSA keys that open messages: how they would open age's `ssh-rsa`, OAEP with a label. */
  readonly agePlan?: Plan;
  /** Violations of the key policy, as far as they are visible. */
  readonly findings: readonly Finding[];
}

/** Examines the modules, tokens and keys that match `uri`. Sends no PIN and uses no key. */
export async function diagnose(
  finder: TokenFinder,
  where: Discovery,
  uri: Pkcs11Uri,
): Promise<Diagnosis> {
  const { tokens, troubles } = await finder.survey(uri);
  const modules: ModuleDiagnosis[] = [];
  const overlooked = await finder.overlooked(uri);
  for (const module of await finder.modulesFor(uri)) {
    const own = tokens.filter(({ info }) => info.module === module.path);
    const diagnosed: TokenDiagnosis[] = [];
    for (const token of own) diagnosed.push(await diagnoseToken(token, uri));
    const broken = troubles.find(({ at, module: path }) => at === "module" && path === module.path);
    const error = module.error ?? broken?.error;
    const isUnseen = own.length === 0 && error?.code !== "ERR_NATIVE_MISSING";
    const fault = isUnseen ? configurationFault(module.path, where) : undefined;
    const unread = troubles
      .filter(({ at, module: path }) => at === "slot" && path === module.path)
      .map(({ name, error }) => ({ name, error }));
    const about = {
      ...module,
      ...defined({
        error,
        configuration: fault,
        overlooked: overlooked?.module === module.path ? overlooked.error : undefined,
      }),
    };
    modules.push({ ...about, unread, tokens: diagnosed });
  }
  const binding = await loadBinding().then(
    ({ name }) => name,
    () => undefined,
  );
  return { ...defined({ binding }), modules };
}

async function diagnoseToken(token: Token, uri: Pkcs11Uri): Promise<TokenDiagnosis> {
  const { info } = token;
  const obstacle = await obstacleTo(token);
  const quirks = quirksOf(makerOf(token.module, token.details)).map(told);
  const about = { token: info, ...defined({ obstacle }), quirks };
  try {
    const keys = await token.session("read", (session) =>
      listKeys(session, info)
        .filter((key) => matchesKey(uri, key))
        .map((key) => diagnoseKey(token, session, key)),
    );
    return { ...about, keys };
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    return { ...about, keys: [], error: errorReport(error) };
  }
}

function diagnoseKey(token: Token, session: Session, key: KeyInfo): KeyDiagnosis {
  const object = visiblePrivateKey(session, key);
  const { uri, label, kind, uses, seenAs, publicKey } = key;
  const situation = shownSituation(token, session, key);
  const operation = isForSigning(key) ? "sign" : "open";
  const isForAge = operation === "open" && publicKey?.type === "rsa";
  return {
    ...{ uri, label, id: toHex(key.id), kind, uses, seenAs },
    plan: planFor(operation, situation),
    ...defined({
      fingerprint: publicKey && toHex(publicKey.fingerprint),
      agePlan: isForAge ? planFor(operation, situation, AGE_SSH_OAEP) : undefined,
    }),
    findings:
      object === undefined
        ? auditPublicHalf(key, token.details)
        : auditKey(session, key, token.details),
  };
}

/** Why a login would fail before a PIN is sent. */
export async function obstacleTo({ info, module }: Token): Promise<ErrorReport | undefined> {
  if (!info.loginRequired) return undefined;
  try {
    requireTriable(info, false);
    if (info.pinPad) await requirePads(module, info);
    return undefined;
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    return errorReport(error);
  }
}
