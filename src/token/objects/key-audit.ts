/**
 * Checks existing keys against the key policy: one finding for each violation. It reads attributes
 * and uses no key.
 */
import { isRoca } from "../../keys/roca.js";
import type { TokenDetails } from "../session/token-info.js";
import { leakingDevice } from "./eucleak.js";
import { keyName } from "./halves.js";
import { findPrivateKey } from "./key-list.js";
import type { Session } from "../session/session.js";
import type { AttributeName } from "../modules/template.js";
import type { Finding, KeyInfo } from "../values.js";

/** Audits a key. The session must be logged in. */
export function auditKey(session: Session, key: KeyInfo, token: TokenDetails): Finding[] {
  const object = findPrivateKey(session, key);
  const signs = session.flag(object, "SIGN") ?? key.uses.includes("sign");
  return [
    ...auditNumbers(key),
    ...auditDevice(key, token, signs),
    ...auditAttributes(session, object, key),
  ];
}

/** Audits what shows without a PIN: the public half, and what the token is. */
export function auditPublicHalf(key: KeyInfo, token: TokenDetails): Finding[] {
  return [...auditNumbers(key), ...auditDevice(key, token, key.uses.includes("sign"))];
}

function auditDevice(key: KeyInfo, token: TokenDetails, signs: boolean): Finding[] {
  const device = key.publicKey?.type === "ec" && signs ? leakingDevice(token) : undefined;
  if (device === undefined) return [];
  const what = `signs with ECDSA on ${device}, which leaks the key to whoever holds it a while`;
  return [warning(key, "eucleak", what)];
}

function auditNumbers(key: KeyInfo): Finding[] {
  const { publicKey } = key;
  if (publicKey?.type !== "rsa") return [];
  const findings: Finding[] = [];
  if (publicKey.bits < MIN_RSA_BITS) {
    findings.push(
      danger(key, "weak-rsa", `has ${publicKey.bits} bits; the policy requires ${MIN_RSA_BITS}`),
    );
  }
  if (isRoca(publicKey.modulus)) {
    findings.push(
      danger(key, "roca", "was made by the faulty generator of CVE-2017-15361 and can be factored"),
    );
  }
  return findings;
}

const MIN_RSA_BITS = 2048;

function auditAttributes(session: Session, object: Buffer, key: KeyInfo): Finding[] {
  const flag = (attribute: AttributeName): boolean | undefined => session.flag(object, attribute);
  const is = (attribute: AttributeName): boolean => flag(attribute) === true;
  const isNot = (attribute: AttributeName): boolean => flag(attribute) === false;
  const signs = is("SIGN") || is("SIGN_RECOVER");
  const rules: readonly (readonly [boolean, Finding])[] = [
    [is("EXTRACTABLE"), danger(key, "extractable", "may be exported from the token, wrapped")],
    [isNot("SENSITIVE"), danger(key, "not-sensitive", "can be read from the token in the clear")],
    [
      flag("EXTRACTABLE") === undefined || flag("SENSITIVE") === undefined,
      warning(
        key,
        "not-told",
        "may be able to leave the token, which hides the attributes that would tell",
      ),
    ],
    [isNot("PRIVATE"), danger(key, "not-private", "can be used without a PIN")],
    [
      is("UNWRAP") && is("DECRYPT"),
      warning(key, "wrap-and-decrypt", "may unwrap and decrypt: what it unwraps can be read"),
    ],
    [
      signs && is("DECRYPT"),
      danger(
        key,
        "sign-and-decrypt",
        "may sign and decrypt: one operation can be abused for the other",
      ),
    ],
    [
      signs && is("UNWRAP"),
      danger(
        key,
        "sign-and-unwrap",
        "may sign and unwrap: one operation can be abused for the other",
      ),
    ],
    [signs && is("DERIVE"), warning(key, "sign-and-derive", "may sign and derive: two purposes")],
    [
      is("MODIFIABLE"),
      warning(key, "modifiable", "can be given other purposes later, by whoever has the PIN"),
    ],
    [is("COPYABLE"), warning(key, "copyable", "can be copied with other purposes")],
    [isNot("LOCAL"), warning(key, "not-local", "was not made on the token, or so the token says")],
    [
      isNot("ALWAYS_SENSITIVE"),
      warning(key, "not-always-sensitive", "was not sensitive at all times: a copy may exist"),
    ],
    [
      isNot("NEVER_EXTRACTABLE"),
      warning(key, "not-never-extractable", "was extractable once: a copy may exist"),
    ],
  ];
  return rules.filter(([applies]) => applies).map(([, finding]) => finding);
}

function danger(key: KeyInfo, rule: string, what: string): Finding {
  return { key: key.uri, rule, severity: "danger", message: `${keyName(key)} ${what}` };
}

function warning(key: KeyInfo, rule: string, what: string): Finding {
  return { key: key.uri, rule, severity: "warning", message: `${keyName(key)} ${what}` };
}
