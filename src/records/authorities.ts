/**
 * Records: the authorities below which the user believes certificates, one file each in the data
 * folder: `trust/NAME.pem`, a certificate that other programs read too, after lines for people.
 *
 * ```text
 * # trusted by p11seal for the certificates below it; p11seal trust remove example-ca
 * # subject: CN=Example CA,O=Example
 * # fingerprint: 3F:2A:99:B1:…
 * # source: ca.pem
 * # added: 2026-11-23T10:20:30Z
 * -----BEGIN CERTIFICATE-----
 * ```
 *
 * The fingerprint, SHA-256 of the certificate, is what the user compared: it must match. Files of
 * other names are left alone.
 */
import { createHash } from "node:crypto";
import { readdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import { ascii, equal } from "../bytes.js";
import { FormatError, P11SealError, PolicyError, UsageError } from "../errors.js";
import { oneLine } from "../printable.js";
import { readWhole, writeWhole } from "../store/files.js";
import { makeFolder } from "../store/make-folder.js";
import { syncFolder, syncIfPossible } from "../store/flush.js";
import { withLock } from "../store/lock.js";
import { errno, fileError, quoted } from "../store/system-error.js";
import type { Certificate } from "../x509/certificate.js";
import { certificatePem, certificatesIn } from "../x509/certificate-file.js";
import { nameText } from "../x509/name.js";
import { formatMoment, momentOf } from "./directory/directory.js";
import { isRecipientName } from "./directory/recipients-file.js";

export interface Authority {
  /** 1 to 64 letters, digits and `. _ @ + -`; unique, regardless of case. */
  readonly name: string;
  readonly certificate: Certificate;
  /** Where it came from: the name of a file. */
  readonly source: string;
  /** When it was added, milliseconds since 1970-01-01T00:00Z; whole seconds. */
  readonly addedMs: number;
}

/** The folder in the data folder. */
export function authoritiesPath(folder: string): string {
  return join(folder, "trust");
}

/** SHA-256 of a certificate, as other programs print it: `3F:2A:…`. */
export function certificateFingerprint({ der }: Certificate): string {
  const hex = createHash("sha256").update(der).digest("hex").toUpperCase();
  return (hex.match(/../g) ?? []).join(":");
}

/**
 * All authorities, by name; none if there is no folder.
 *
 * @throws FormatError `ERR_AUTHORITY`; PolicyError `ERR_UNSAFE_FILE`; FileError `ERR_READ`
 */
export async function readAuthorities(folder: string): Promise<Authority[]> {
  const path = authoritiesPath(folder);
  const found: Authority[] = [];
  for (const name of await namesIn(path)) {
    const file = join(path, `${name}${ENDING}`);
    const bytes = await readWhole(file, MAX_BYTES);
    if (bytes !== undefined) found.push(parseAuthority(bytes, name, file));
  }
  return found;
}

/**
 * Adds an authority. What is said of one that is there, or not there, holds on the disk, too: a
 * killed run may have added or removed it.
 *
 * @returns false if it was there already, under that name
 * @throws UsageError `ERR_NAME`; PolicyError `ERR_AUTHORITY_CHANGED`: the name has another;
 *   `ERR_AUTHORITY_KNOWN`: it has another name; else as `readAuthorities`; FileError `ERR_WRITE`,
 *   `ERR_LOCKED`
 */
export async function addAuthority(folder: string, authority: Authority): Promise<boolean> {
  const { name, certificate } = authority;
  if (!isRecipientName(name)) {
    throw new UsageError("ERR_NAME", `not a name: "${name}"`, {
      hint: "use 1 to 64 letters, digits and . _ @ + -, and start with a letter or digit",
    });
  }
  const path = authoritiesPath(folder);
  await makeFolder(path);
  return withLock(join(folder, "trust.lock"), async (lock) => {
    const known = await readAuthorities(folder);
    const same = known.find((one) => equal(one.certificate.der, certificate.der));
    const named = findAuthority(known, name);
    if (named !== undefined && named === same) {
      await syncIfPossible(path);
      return false;
    }
    if (named !== undefined) {
      throw new PolicyError("ERR_AUTHORITY_CHANGED", `"${named.name}" is another authority`, {
        hint: `it is ${certificateFingerprint(named.certificate)}; remove it first, or choose another name`,
      });
    }
    if (same !== undefined) {
      throw new PolicyError("ERR_AUTHORITY_KNOWN", `this authority is "${same.name}" already`);
    }
    await lock.confirm();
    await writeWhole(join(path, `${name}${ENDING}`), ascii(formatAuthority(authority)));
    return true;
  });
}

/**
 * Removes an authority and returns it.
 *
 * @throws UsageError `ERR_NAME_UNKNOWN`; else as `addAuthority`
 */
export async function removeAuthority(folder: string, name: string): Promise<Authority> {
  const path = authoritiesPath(folder);
  await makeFolder(path);
  return withLock(join(folder, "trust.lock"), async (lock) => {
    const known = await readAuthorities(folder);
    if (findAuthority(known, name) === undefined) await syncIfPossible(path);
    const authority = requireAuthority(known, name);
    await lock.confirm();
    const file = join(path, `${authority.name}${ENDING}`);
    await unlink(file).catch((error: unknown) => {
      throw fileError("ERR_WRITE", file, error);
    });
    await syncFolder(path);
    return authority;
  });
}

/** The authority of that name, regardless of case. @throws UsageError `ERR_NAME_UNKNOWN` */
export function requireAuthority(known: readonly Authority[], name: string): Authority {
  const found = findAuthority(known, name);
  if (found !== undefined) return found;
  throw new UsageError("ERR_NAME_UNKNOWN", `no authority is called "${name}" here`, {
    hint: "p11seal trust list shows the names",
  });
}

export function findAuthority(known: readonly Authority[], name: string): Authority | undefined {
  const folded = name.toLowerCase();
  return known.find((one) => one.name.toLowerCase() === folded);
}

// ── Details ──

const ENDING = ".pem";
const MAX_BYTES = 256 * 1024;

async function namesIn(path: string): Promise<string[]> {
  const files = await readdir(path).catch((error: unknown) => {
    if (errno(error) === "ENOENT") return [];
    throw fileError("ERR_READ", path, error);
  });
  return files
    .filter((file) => file.endsWith(ENDING))
    .map((file) => file.slice(0, -ENDING.length))
    .filter(isRecipientName)
    .sort();
}

function formatAuthority({ name, certificate, source, addedMs }: Authority): string {
  return certificatePem(certificate, [
    `# trusted by p11seal for the certificates below it; p11seal trust remove ${name}`,
    `# subject: ${oneLine(nameText(certificate.subject))}`,
    `# fingerprint: ${certificateFingerprint(certificate)}`,
    `# source: ${oneLine(source)}`,
    `# added: ${formatMoment(addedMs)}`,
  ]);
}

function parseAuthority(bytes: Uint8Array, name: string, file: string): Authority {
  const malformed = (fact: string): FormatError =>
    new FormatError("ERR_AUTHORITY", `${quoted(file)}: ${fact}`, {
      hint: `undo what was changed in the file by hand, or: p11seal trust remove ${name}`,
    });
  const certificate = onlyCertificate(bytes, malformed);
  const lines = new TextDecoder("utf-8").decode(bytes).split(/\r?\n/);
  const field = (wanted: string): string | undefined =>
    lines.find((line) => line.startsWith(wanted))?.slice(wanted.length);
  if (field("# fingerprint: ") !== certificateFingerprint(certificate)) {
    throw malformed("the fingerprint does not match the certificate");
  }
  const addedMs = momentOf(field("# added: ") ?? "");
  if (addedMs === undefined) throw malformed("it does not say when it was added");
  return { name, certificate, source: field("# source: ") ?? "", addedMs };
}

function onlyCertificate(bytes: Uint8Array, malformed: (fact: string) => FormatError): Certificate {
  let certificates;
  try {
    certificates = certificatesIn(bytes);
  } catch (error) {
    if (error instanceof P11SealError) throw malformed(error.message);
    throw error;
  }
  const [certificate, ...more] = certificates;
  if (certificate === undefined || more.length > 0) throw malformed("more than one certificate");
  return certificate;
}
