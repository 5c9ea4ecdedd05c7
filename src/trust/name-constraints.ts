/**
 * Name constraints (RFC 5280 §4.2.1.10): which names the authorities of a path may certify. Each
 * authority's list holds for all certificates below it, so a name must lie in every list of
 * permitted subtrees of its kind, and in none of the excluded ones.
 *
 * A constraint or a constrained name that can't be understood refuses the path.
 */
import { equal } from "../bytes.js";
import type { PolicyError } from "../errors.js";
import { printable } from "../printable.js";
import type { Certificate } from "../x509/certificate.js";
import type { NameConstraints } from "../x509/extensions.js";
import { generalNameKind, type GeneralName } from "../x509/general-name.js";
import { ATTRIBUTE, attributeTexts, isEmptyName, isWithin } from "../x509/name.js";
import type { Effort } from "./effort.js";
import { certificateLabel, nameLabel, trustFault } from "./faults.js";

/** The constraints of the authorities of a path so far. */
export class ConstraintSet {
  readonly #effort: Effort;
  /** One list per authority and kind of name. */
  readonly #permitted: (readonly GeneralName[])[] = [];
  readonly #excluded: GeneralName[] = [];

  constructor(effort: Effort) {
    this.#effort = effort;
  }

  /** @throws PolicyError `ERR_CERTIFICATE_NAME`: a constraint that is malformed. */
  add(constraints: NameConstraints, authority: Certificate): void {
    const { permitted, excluded } = constraints;
    for (const base of [...permitted, ...excluded]) {
      if (isSoundConstraint(base)) continue;
      throw trustFault(
        "ERR_CERTIFICATE_NAME",
        `${certificateLabel(authority)} has a malformed name constraint: ${shown(base)}`,
      );
    }
    for (const kind of new Set(permitted.map(constraintKind))) {
      this.#permitted.push(permitted.filter((base) => constraintKind(base) === kind));
    }
    this.#excluded.push(...excluded);
  }

  /** @throws PolicyError `ERR_CERTIFICATE_NAME`, `ERR_CERTIFICATE_EFFORT`. */
  check(certificate: Certificate): void {
    const lists = this.#permitted.length + this.#excluded.length;
    if (lists === 0) return;
    const names = namesOf(certificate);
    const bases = this.#permitted.reduce((sum, { length }) => sum + length, 0);
    this.#effort.comparisons(names.length * (bases + this.#excluded.length));
    for (const name of names) {
      const kind = constraintKind(name);
      for (const list of this.#permitted) {
        if (constraintKind(list[0] as GeneralName) !== kind) continue;
        if (!list.some((base) => isInside(name, base))) {
          throw outside(certificate, name, "outside what its authorities may certify");
        }
      }
      const banned = this.#excluded.find((base) => {
        return constraintKind(base) === kind && mayOverlap(name, base);
      });
      if (banned !== undefined) {
        throw outside(certificate, name, "excluded by one of its authorities");
      }
    }
  }
}

/** All names that constraints apply to. */
function namesOf({ subject, subjectAltNames = [] }: Certificate): GeneralName[] {
  const subjectNames: GeneralName[] = isEmptyName(subject)
    ? []
    : [{ type: "directory", name: subject }];
  // RFC 5280 applies mail constraints to the subject only if there is no alternative name. Here the
  // address in the subject counts as one in any case, so it is constrained in any case.
  const mails = attributeTexts(subject, ATTRIBUTE.emailAddress).map((text) => {
    return { type: "email", text } as const;
  });
  return [...subjectNames, ...subjectAltNames, ...mails];
}

/** Names of one kind are compared with constraints of that kind; other names by their OID, too. */
function constraintKind(name: GeneralName): string {
  return name.type === "other" ? `other ${name.oid}` : name.type;
}

function outside(certificate: Certificate, name: GeneralName, why: string): PolicyError {
  return trustFault(
    "ERR_CERTIFICATE_NAME",
    `${certificateLabel(certificate)}: ${shown(name)} is ${why}`,
  );
}

function shown(name: GeneralName): string {
  const kind = generalNameKind(name);
  if (name.type === "directory") return `${kind} ${nameLabel(name.name)}`;
  return "text" in name ? `${kind} ${printable(name.text.slice(0, 200))}` : kind;
}

// ── Constraints that can be understood ──

function isSoundConstraint(base: GeneralName): boolean {
  switch (base.type) {
    case "email": {
      const at = base.text.lastIndexOf("@");
      return at < 0 ? isHostConstraint(base.text) : mailbox(base) !== undefined;
    }
    case "dns":
      return base.text === "" || isHostName(base.text);
    case "uri":
      return isHostConstraint(base.text);
    case "ip":
      return (base.bytes.length === 8 || base.bytes.length === 32) && isMask(maskOf(base.bytes));
    case "directory":
    case "registeredId":
    case "other":
    case "x400":
    case "ediParty":
      return true;
  }
}

/** A host, or all hosts below a domain, written with a point first. */
function isHostConstraint(text: string): boolean {
  return text === "" || isHostName(text.replace(/^\./, ""));
}

/** Labels of letters, digits, hyphens and underscores (RFC 1034 §3.5; underscores do occur). */
function isHostName(text: string): boolean {
  return text.length <= 253 && text.split(".").every((label) => LABEL.test(label));
}

/** Ones, then zeros. */
function isMask(mask: Uint8Array): boolean {
  const bits = [...mask].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  return /^1*0*$/.test(bits);
}

function maskOf(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(bytes.length / 2);
}

// ── A name and a constraint of its kind ──

/** True if the name surely lies in the subtree. */
function isInside(name: GeneralName, base: GeneralName): boolean {
  if (name.type === "dns" && base.type === "dns") {
    const host = dnsHost(name);
    return host !== undefined && isDnsWithin(host, base.text);
  }
  return matches(name, base) === true;
}

/**
 * True if the name may lie in the subtree: also if it can't be told, and if only some of the names
 * that a wildcard stands for do.
 */
function mayOverlap(name: GeneralName, base: GeneralName): boolean {
  if (name.type === "dns" && base.type === "dns") {
    const host = dnsHost(name);
    if (host === undefined || isDnsWithin(host, base.text)) return true;
    // A wildcard stands for one label: for that of a constraint just below its domain, too.
    return name.text.startsWith("*.") && isDnsWithin(base.text, host);
  }
  return matches(name, base) !== false;
}

/** Undefined if it can't be told. */
function matches(name: GeneralName, base: GeneralName): boolean | undefined {
  switch (name.type) {
    case "email":
      return base.type === "email" ? mailMatches(name, base) : undefined;
    case "uri":
      return base.type === "uri" ? uriMatches(name, base) : undefined;
    case "ip":
      return base.type === "ip" ? ipMatches(name.bytes, base.bytes) : undefined;
    case "directory":
      return base.type === "directory" ? isWithin(name.name, base.name) : undefined;
    case "registeredId":
      return base.type === "registeredId" && name.oid === base.oid ? true : undefined;
    case "dns":
    case "other":
    case "x400":
    case "ediParty":
      return undefined;
  }
}

function isDnsWithin(host: string, domain: string): boolean {
  if (domain === "") return true;
  const [h, d] = [host.toLowerCase(), domain.toLowerCase()];
  return h === d || h.endsWith(`.${d}`);
}

function hostMatches(host: string, constraint: string): boolean {
  if (constraint === "") return true;
  const [h, c] = [host.toLowerCase(), constraint.toLowerCase()];
  return c.startsWith(".") ? h.endsWith(c) : h === c;
}

function mailMatches(name: TextName, base: TextName): boolean | undefined {
  const [found, exact] = [mailbox(name), mailbox(base)];
  if (found === undefined) return undefined;
  if (exact === undefined) return hostMatches(found.host, base.text);
  return found.local === exact.local && found.host === exact.host;
}

function uriMatches(name: TextName, base: TextName): boolean | undefined {
  const host = uriHost(name);
  return host === undefined ? undefined : hostMatches(host, base.text);
}

function ipMatches(address: Uint8Array, range: Uint8Array): boolean | undefined {
  if (address.length !== 4 && address.length !== 16) return undefined;
  if (range.length !== 2 * address.length) return false;
  const mask = maskOf(range);
  const masked = (bytes: Uint8Array): Uint8Array =>
    bytes.map((byte, at) => byte & (mask[at] as number));
  return equal(masked(address), masked(range.subarray(0, address.length)));
}

// ── The parts of a name ──

type TextName = Extract<GeneralName, { readonly text: string }>;

/** The parts of an address (RFC 5321 §4.1.2), the host in lower case; undefined: malformed. */
const mailbox = once((text) => {
  const at = text.lastIndexOf("@");
  const [local, host] = [text.slice(0, Math.max(at, 0)), text.slice(at + 1).toLowerCase()];
  const isLocal = DOT_STRING.test(local) || QUOTED_STRING.test(local);
  return isLocal && isHostName(host) ? { local, host } : undefined;
});

/** A DNS name without a wildcard before it; undefined: malformed. */
const dnsHost = once((text) => {
  const host = text.replace(/^\*\./, "");
  return isHostName(host) ? host : undefined;
});

/** A URI's host; undefined without a name there, which alone can be compared (§4.2.1.10). */
const uriHost = once((text) => {
  const host = URI_HOST.exec(text)?.[1];
  return host !== undefined && isHostName(host) && !/^[\d.]+$/.test(host) ? host : undefined;
});

/** Takes a name apart only once: it may be long, and is compared with each of many constraints. */
function once<T>(parse: (text: string) => T): (name: TextName) => T {
  const known = new WeakMap<TextName, { readonly parts: T }>();
  return (name) => {
    let found = known.get(name);
    if (found === undefined) {
      found = { parts: parse(name.text) };
      known.set(name, found);
    }
    return found.parts;
  };
}

const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/i;
const DOT_STRING = /^[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*$/;
const QUOTED_STRING = /^"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])*"$/;
const URI_HOST = /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#@]*@)?([^/?#:@]*)(?::\d*)?(?:[/?#]|$)/i;
