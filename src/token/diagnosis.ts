/**
 * Everything that can be said about modules, tokens and keys without a PIN, gathered as plain
 * values that JSON can carry: `p11seal doctor` prints it.
 */
import { toHex } from "../bytes.js";
import { TokenError } from "../errors.js";
import { auditKey, auditNumbers } from "./objects/key-audit.js";
import { type ConfigurationFault, configurationFault } from "./modules/configuration.js";
import type { Discovery } from "./modules/discover.js";
import type { TokenFinder } from "./session/find.js";
import { listKeys } from "./objects/key-list.js";
import { requireTriable } from "./session/login.js";
import { type Plan, planFor } from "./use/plan.js";
import { makerOf, type QuirkInfo, quirksOf, told } from "./use/quirks.js";
import type { Session } from "./session/session.js";
import { isForSigning, situationOf, visiblePrivateKey } from "./use/situation.js";
import type { Token } from "./session/token.js";
import type { Finding, KeyInfo, KeyUse, ModuleInfo, TokenInfo } from "./values.js";
import { matchesObject, type Pkcs11Uri } from "./uri.js";

/** What was found, module by module, in the order of preference. */
export interface Diagnosis {
  readonly modules: readonly ModuleDiagnosis[];
}

export interface ModuleDiagnosis extends ModuleInfo {
  /** Where it did not start, or shows no token: what is wrong around it. */
  readonly configuration?: ConfigurationFault;
  readonly tokens: readonly TokenDiagnosis[];
}

export interface TokenDiagnosis {
  readonly token: TokenInfo;
  /** Why nobody could log in now; no PIN would be sent. */
  readonly obstacle?: ErrorTold;
  readonly keys: readonly KeyDiagnosis[];
  readonly quirks: readonly QuirkInfo[];
  /** Why its keys could not be listed. */
  readonly error?: ErrorTold;
}

export interface KeyDiagnosis {
  readonly uri: string;
  readonly label: string;
  /** CKA_ID, hexadecimal. */
  readonly id: string;
  readonly kind: string;
  readonly uses: readonly KeyUse[];
  /**
   * SHA-256 of the SubjectPublicKeyInfo, hexadecimal; absent where the public half is not known.
   */
  readonly fingerprint?: string;
  readonly seenAs: KeyInfo["seenAs"];
  readonly plan: Plan;
  /** Against the key policy, as far as it shows. */
  readonly findings: readonly Finding[];
}

/** An error as plain values. */
export interface ErrorTold {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

/** Looks at the modules, tokens and keys that a URI leaves. Sends no PIN, and uses no key. */
export async function diagnose(
  finder: TokenFinder,
  where: Discovery,
  uri: Pkcs11Uri,
): Promise<Diagnosis> {
  const tokens = await finder.all(uri);
  const modules: ModuleDiagnosis[] = [];
  for (const module of await finder.modulesFor(uri)) {
    const own = tokens.filter(({ info }) => info.module === module.path);
    const diagnosed: TokenDiagnosis[] = [];
    for (const token of own) diagnosed.push(await diagnoseToken(token, uri));
    const fault = own.length === 0 ? configurationFault(module.path, where) : undefined;
    modules.push({
      ...module,
      ...(fault === undefined ? {} : { configuration: fault }),
      tokens: diagnosed,
    });
  }
  return { modules };
}

async function diagnoseToken(token: Token, uri: Pkcs11Uri): Promise<TokenDiagnosis> {
  const { info } = token;
  const obstacle = toldBy(() => {
    if (info.loginRequired) requireTriable(info, false);
  });
  const quirks = quirksOf(makerOf(token.module, token.details)).map(told);
  const about = { token: info, ...(obstacle === undefined ? {} : { obstacle }), quirks };
  try {
    const keys = await token.session("read", (session) =>
      listKeys(session, info)
        .filter((key) => matchesObject(uri, key))
        .map((key) => diagnoseKey(token, session, key)),
    );
    return { ...about, keys };
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    return { ...about, keys: [], error: errorTold(error) };
  }
}

function diagnoseKey(token: Token, session: Session, key: KeyInfo): KeyDiagnosis {
  const object = visiblePrivateKey(session, key);
  const { uri, label, kind, uses, seenAs, publicKey } = key;
  return {
    ...{ uri, label, id: toHex(key.id), kind, uses, seenAs },
    ...(publicKey === undefined ? {} : { fingerprint: toHex(publicKey.fingerprint) }),
    plan: planFor(isForSigning(key) ? "sign" : "open", situationOf(token, session, key, object)),
    findings: object === undefined ? auditNumbers(key) : auditKey(session, key),
  };
}

function toldBy(run: () => void): ErrorTold | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    return errorTold(error);
  }
}

function errorTold({ code, message, hint }: TokenError): ErrorTold {
  return { code, message, ...(hint === undefined ? {} : { hint }) };
}
