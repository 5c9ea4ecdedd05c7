/** `p11seal senders` and `p11seal recipients`: add, list, show and remove. */
import { toBase64 } from "../../../bytes.js";
import {
  addEntry,
  directoryPath,
  readDirectory,
  removeEntry,
} from "../../../records/directory/directory-file.js";
import {
  findEntry,
  formatMoment,
  parseMoment,
  requireEntry,
  spokenFingerprint,
  withEntry,
  type DirectoryEntry,
  type DirectoryKind,
} from "../../../records/directory/directory.js";
import { PolicyError, UnsupportedError, UsageError } from "../../../errors.js";
import { requireRecipient } from "../../../keys/formats/key-file.js";
import { fingerprintGroups, fingerprintText } from "../../../keys/public-key.js";
import { auditFiles, auditWitness } from "../../../records/audit/audit-log.js";
import { fileState } from "../../../store/files.js";
import type { Arguments } from "../../arguments/arguments.js";
import { homeFolder } from "../../find/home.js";
import { write } from "../../io/io.js";
import { ledgerPath, makeHomeLedger } from "../records/ledger-files.js";
import { printable } from "../../io/report.js";
import { json, table } from "../../io/table.js";
import type { Context, Run } from "../../command.js";
import { keyKind, oneLine, readGivenKey, type GivenKey } from "./directory-key.js";

export function addTo(kind: DirectoryKind): Run {
  return async (args, context) => {
    const { io, report } = context;
    const [name, key] = operandsOf(args, 2);
    if (key === "-" && io.stdin.isTTY === true) {
      throw new UsageError("ERR_USAGE", "no key was given, and stdin is a terminal");
    }
    const home = homeFolder(io.env);
    const given = await readGivenKey(key, kind, args, context);
    const nowMs = Date.now();
    const known = await readDirectory(home, kind);
    const entry = {
      ...limitsIn(findEntry(known, name)),
      ...entryOf(name, given, kind, nowMs),
      ...limitsOf(args),
      ...provenanceOf(args),
    };
    requireOrder(entry);
    for (const warning of warningsFor(kind, given)) report.note(warning);
    withEntry(known, entry, kind); // Nothing is made for an entry that is then refused.
    if (kind === "senders" && known.length === 0) await makeFirstLedger(home, nowMs, context);
    const isNew = await addEntry(home, kind, entry);
    await write(io.stdout, table([["name", entry.name], ...fingerprintRows(entry)]));
    report.note(
      isNew
        ? "compare the fingerprint with the key's owner, by voice or on paper"
        : `"${name}" had this key already; what was given now is kept with it`,
    );
    return undefined;
  };
}

export function listOf(kind: DirectoryKind): Run {
  return async (args, { io, report }) => {
    const home = homeFolder(io.env);
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
    await write(io.stdout, args.flag("json") ? json(data) : table(rows));
    if (entries.length === 0) report.note(`nobody in ${directoryPath(home, kind)}`);
    return undefined;
  };
}

export function showFrom(kind: DirectoryKind): Run {
  return async (args, { io }) => {
    const [name] = operandsOf(args, 1);
    const entry = requireEntry(await readDirectory(homeFolder(io.env), kind), name);
    const nowMs = Date.now();
    const text = args.flag("json") ? json(asData(entry, nowMs)) : describe(entry, nowMs);
    await write(io.stdout, text);
    return undefined;
  };
}

export function removeFrom(kind: DirectoryKind): Run {
  return async (args, context) => {
    const [name] = operandsOf(args, 1);
    const home = homeFolder(context.io.env);
    const entry = requireEntry(await readDirectory(home, kind), name);
    if (!args.flag("yes")) await confirm(entry, kind, context);
    const removed = await removeEntry(home, kind, name);
    context.report.note(`removed ${removed.name}, ${fingerprintText(removed.publicKey)}`);
    return undefined;
  };
}

/** yargs sees to a name, but not to what stands behind "--". Without a key it is stdin, as elsewhere. */
function operandsOf(args: Arguments, most: 1 | 2): readonly [name: string, key: string] {
  const [name = "", key = "-"] = args.operands;
  if (args.operands.length > most) throw new UsageError("ERR_USAGE", "one name at a time");
  return [name, key];
}

// ── Adding ──────────────────────────────────────────────────────────────────────────────────────

function entryOf(
  name: string,
  { file, source }: GivenKey,
  kind: DirectoryKind,
  nowMs: number,
): DirectoryEntry {
  const oaep = kind === "recipients" ? file.oaep : undefined;
  const publicKey = kind === "recipients" ? requireRecipient(file) : file.publicKey;
  return { name, publicKey, source, addedMs: nowMs, ...(oaep === undefined ? {} : { oaep }) };
}

type Limits = Pick<DirectoryEntry, "notBeforeMs" | "notAfterMs">;

function limitsOf(args: Arguments): Limits {
  const from = args.text("not-before");
  const until = args.text("not-after");
  return {
    ...(from === undefined ? {} : { notBeforeMs: parseMoment(from, "start") }),
    ...(until === undefined ? {} : { notAfterMs: parseMoment(until, "end") }),
  };
}

/** A limit that is not given anew stays: adding a key once more must not trust it for longer. */
function limitsIn(known: DirectoryEntry | undefined): Limits {
  const { notBeforeMs, notAfterMs } = known ?? {};
  return {
    ...(notBeforeMs === undefined ? {} : { notBeforeMs }),
    ...(notAfterMs === undefined ? {} : { notAfterMs }),
  };
}

function requireOrder({ notBeforeMs = -Infinity, notAfterMs = Infinity }: Limits): void {
  if (notBeforeMs <= notAfterMs) return;
  throw new UsageError("ERR_USAGE", "the key would be good from after the day it is good until");
}

function provenanceOf(args: Arguments): Partial<Pick<DirectoryEntry, "source">> {
  const text = args.text("provenance");
  return text === undefined ? {} : { source: oneLine(text) };
}

/** That a key is for signatures is no warning where signatures are what it is for. */
function warningsFor(kind: DirectoryKind, { file }: GivenKey): readonly string[] {
  if (kind === "recipients") return file.warnings;
  return file.warnings.filter((text) => /^certificate (?:expired|is not valid)/.test(text));
}

/**
 * The first sender can have sent nothing that was opened under a policy before, so an empty ledger is
 * the true one then, and set-up needs no step of its own. A ledger that went missing later, or that the
 * audit log remembers, is never made anew unasked.
 */
async function makeFirstLedger(home: string, nowMs: number, context: Context): Promise<void> {
  if ((await fileState(ledgerPath(home))) === "present") return;
  if ((await auditWitness(auditFiles(home))) !== undefined) return;
  try {
    await makeHomeLedger(home, { nowMs });
    context.report.trace(`made the ledger ${ledgerPath(home)}`);
  } catch (error) {
    // Another run was first.
    if (error instanceof PolicyError && error.code === "ERR_LEDGER_EXISTS") return;
    // The directory is of use without a ledger: for receipts.
    if (!(error instanceof UnsupportedError)) throw error;
    context.report.note(`no ledger was made: ${error.message}`);
  }
}

// ── Removing ────────────────────────────────────────────────────────────────────────────────────

async function confirm(
  { name, publicKey }: DirectoryEntry,
  kind: DirectoryKind,
  { io }: Context,
): Promise<void> {
  const terminal = await io.terminal();
  if (terminal === undefined) {
    throw new UsageError("ERR_NOT_CONFIRMED", "removing a key needs a confirmation", {
      hint: "there is no terminal to ask at; --yes confirms",
    });
  }
  try {
    const question = `remove "${name}", ${fingerprintText(publicKey)}? ${MEANING[kind]} type the name to confirm:`;
    const answer = await terminal.ask(printable(question), { silent: false });
    if (answer === name) return;
  } finally {
    terminal.close();
  }
  throw new UsageError("ERR_NOT_CONFIRMED", "not confirmed: nothing was removed");
}

const MEANING: Readonly<Record<DirectoryKind, string>> = {
  senders: "its messages will be refused, those on their way too.",
  recipients: "files can then not be sealed to that name.",
};

// ── Showing ─────────────────────────────────────────────────────────────────────────────────────

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
  const { notBeforeMs, notAfterMs, oaep } = entry;
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
  ]);
}

/** Two lines of eight groups, to be read out one by one. */
function fingerprintRows({ publicKey }: DirectoryEntry): readonly (readonly string[])[] {
  const groups = fingerprintGroups(publicKey);
  return [
    ["fingerprint", groups.slice(0, 8).join(" ")],
    ["", groups.slice(8).join(" ")],
  ];
}

function asData(entry: DirectoryEntry, nowMs: number): unknown {
  const { name, publicKey, source, addedMs, notBeforeMs, notAfterMs, oaep } = entry;
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
    ...(oaep === undefined ? {} : { oaep }),
  };
}
