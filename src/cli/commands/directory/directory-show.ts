/** `p11seal senders`, `custodians` and `recipients`: list and show. */
import { toBase64 } from "../../../bytes.js";
import { defined } from "../../../defined.js";
import type { PublicKey } from "../../../keys/key.js";
import { fingerprintGroups, fingerprintText, HYBRID_PARTS } from "../../../keys/public-key.js";
import { directoryPath, readDirectory } from "../../../records/directory/directory-file.js";
import {
  formatMoment,
  requireEntry,
  spokenFingerprint,
  type DirectoryEntry,
  type DirectoryKind,
} from "../../../records/directory/directory.js";
import type { Run } from "../../command.js";
import { certificateData, certificateLine } from "../../find/certificates.js";
import { homeOf } from "../../io/home.js";
import { write } from "../../io/io.js";
import { json, table } from "../../io/table.js";
import { readableCertificates } from "../../../x509/certificate-file.js";

export function listOf(kind: DirectoryKind): Run {
  return async (args, { io, report }) => {
    const home = homeOf(io);
    const entries = await readDirectory(home, kind);
    const nowMs = Date.now();
    const rows = entries.map((entry) => [
      entry.name,
      keyKind(entry.publicKey),
      STATUS_TEXT[statusOf(entry, nowMs)],
      fingerprintText(entry.publicKey),
      entry.source,
    ]);
    const data = { [kind]: entries.map((entry) => asData(entry, nowMs)) };
    await write(io.stdout, args.flag("json") ? json(data) : table(rows, io.stdout.columns));
    if (entries.length === 0) report.note(`nobody in ${directoryPath(home, kind)}`);
    return undefined;
  };
}

export function showFrom(kind: DirectoryKind): Run {
  return async (args, { io }) => {
    const [name = ""] = args.operands;
    const entry = requireEntry(await readDirectory(homeOf(io), kind), name);
    const nowMs = Date.now();
    const text = args.flag("json") ? json(asData(entry, nowMs)) : describe(entry, nowMs);
    await write(io.stdout, text);
    return undefined;
  };
}

type Status = "valid" | "expired" | "not-yet-valid";

const STATUS_TEXT: Readonly<Record<Status, string>> = {
  valid: "valid",
  expired: "expired",
  "not-yet-valid": "not yet valid",
};

function statusOf({ notBeforeMs, notAfterMs }: DirectoryEntry, nowMs: number): Status {
  if (notBeforeMs !== undefined && nowMs < notBeforeMs) return "not-yet-valid";
  return notAfterMs !== undefined && nowMs > notAfterMs ? "expired" : "valid";
}

function describe(entry: DirectoryEntry, nowMs: number): string {
  const { notBeforeMs, notAfterMs, oaep, certificates = [] } = entry;
  return table([
    ["name", entry.name],
    ["key", keyKind(entry.publicKey)],
    ...fingerprintRows(entry),
    ["from", entry.source],
    ["added", formatMoment(entry.addedMs)],
    ["not before", notBeforeMs === undefined ? "no limit" : formatMoment(notBeforeMs)],
    ["not after", notAfterMs === undefined ? "no limit" : formatMoment(notAfterMs)],
    ["now", STATUS_TEXT[statusOf(entry, nowMs)]],
    ...(oaep === undefined ? [] : [["OAEP", oaep]]),
    ...readableCertificates(certificates).map((one, at) => [
      at === 0 ? "certificate" : "its issuer",
      certificateLine(one),
    ]),
  ]);
}

/** As in `keys list`: "RSA-3072", "P-256", "Ed25519". */
function keyKind(key: PublicKey): string {
  switch (key.type) {
    case "rsa":
      return `RSA-${key.bits}`;
    case "ec":
      return key.curve;
    case "x25519":
      return "X25519";
    case "ed25519":
      return "Ed25519";
    case "hybrid":
      return HYBRID_PARTS[key.kem].name;
  }
}

/** Two lines of eight groups, to be read out one by one. */
export function fingerprintRows({ publicKey }: DirectoryEntry): readonly (readonly string[])[] {
  const groups = fingerprintGroups(publicKey);
  return [
    ["fingerprint", groups.slice(0, 8).join(" ")],
    ["", groups.slice(8).join(" ")],
  ];
}

function asData(entry: DirectoryEntry, nowMs: number): unknown {
  const { name, publicKey, source, addedMs, notBeforeMs, notAfterMs, oaep } = entry;
  const [certificate] = readableCertificates(entry.certificates ?? []);
  return {
    name,
    kind: keyKind(publicKey),
    fingerprint: fingerprintText(publicKey),
    spoken: spokenFingerprint(publicKey),
    spki: toBase64(publicKey.spki),
    source,
    added: formatMoment(addedMs),
    notBefore: notBeforeMs === undefined ? null : formatMoment(notBeforeMs),
    notAfter: notAfterMs === undefined ? null : formatMoment(notAfterMs),
    status: statusOf(entry, nowMs),
    ...defined({ oaep, certificate: certificate && certificateData(certificate) }),
  };
}
