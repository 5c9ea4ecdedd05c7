/** `p11seal senders add`, `custodians add` and `recipients add`: a public key under a name. */
import { basename } from "node:path";
import { defined } from "../../../defined.js";
import { PolicyError, UnsupportedError, UsageError } from "../../../errors.js";
import { requireRecipient } from "../../../keys/formats/key-file.js";
import { auditFiles, auditWitness } from "../../../records/audit/audit-log.js";
import { MAX_CERTIFICATES } from "../../../records/directory/directory-format.js";
import { addEntry, readDirectory } from "../../../records/directory/directory-file.js";
import {
  findEntry,
  parseMoment,
  withEntry,
  type DirectoryEntry,
  type DirectoryKind,
} from "../../../records/directory/directory.js";
import { fileState } from "../../../store/files.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context, Run } from "../../command.js";
import { PublicKeys, type FoundKey, type KeyOrigin } from "../../find/public-keys.js";
import { requireNoSigner } from "../../find/recipients.js";
import { withTokens } from "../../find/tokens.js";
import { homeOf } from "../../io/home.js";
import { write } from "../../io/io.js";
import { oneLine } from "../../../printable.js";
import { table } from "../../io/table.js";
import { ledgerPath, makeHomeLedger } from "../../../records/ledger/home-ledger.js";
import { fingerprintRows } from "./directory-show.js";

export function addTo(kind: DirectoryKind): Run {
  return async (args, context) => {
    const { io, report } = context;
    const [name = "", key = "-"] = args.operands;
    if (key === "-" && io.stdin.isTTY === true) {
      throw new UsageError("ERR_USAGE", "no key was given, and stdin is a terminal");
    }
    const home = homeOf(io);
    const purpose = kind === "recipients" ? "exchange" : "signature";
    const found = await withTokens(args, context, (tokens) =>
      new PublicKeys(tokens, context).find(key, { purpose, option: "the key" }),
    );
    const nowMs = Date.now();
    const known = await readDirectory(home, kind);
    const allowSigning = kind === "recipients" && args.flag("allow-signing-key");
    const entry = {
      ...kept(findEntry(known, name)),
      ...entryOf(name, found, kind, { nowMs, allowSigning }),
      ...limitsOf(args),
      ...provenanceOf(args),
    };
    requireOrder(entry);
    if (kind === "recipients" && !allowSigning) {
      await requireNoSigner(found.publicKey, found.where, context);
    }
    for (const warning of found.warnings) report.note(warning);
    withEntry(known, entry, kind); // Refuses an unusable entry before any file is made for it.
    if (kind === "senders" && known.length === 0) await makeFirstLedger(home, nowMs, context);
    const isNew = await addEntry(home, kind, entry);
    await write(io.stdout, table([["name", entry.name], ...fingerprintRows(entry)]));
    report.note(
      isNew
        ? "compare the fingerprint with the key's owner, by voice or on paper"
        : `"${name}" had this key already; its entry was updated`,
    );
    return undefined;
  };
}

function entryOf(
  name: string,
  found: FoundKey,
  kind: DirectoryKind,
  { nowMs, allowSigning }: { readonly nowMs: number; readonly allowSigning: boolean },
): DirectoryEntry {
  const oaep = kind === "recipients" ? found.oaep : undefined;
  const publicKey =
    kind === "recipients" ? requireRecipient(found, { allowSigning }) : found.publicKey;
  const source = oneLine(sourceOf(found.origin));
  return {
    ...{ name, publicKey, source, addedMs: nowMs },
    ...defined({ oaep, certificates: certificatesOf(found) }),
  };
}

/** Where a key came from, for people. */
function sourceOf(origin: KeyOrigin): string {
  switch (origin.kind) {
    case "file":
      return basename(origin.path);
    case "token":
      // A URI's query is about this machine: where the PIN is, and the module.
      return origin.uri.replace(/\?[^]*$/, "");
    case "name":
      return origin.list;
    case "command line":
      return origin.kind;
  }
}

type Limits = Pick<DirectoryEntry, "notBeforeMs" | "notAfterMs">;

function limitsOf(args: Arguments): Limits {
  const from = args.text("not-before");
  const until = args.text("not-after");
  return defined({
    notBeforeMs: from === undefined ? undefined : parseMoment(from, "start"),
    notAfterMs: until === undefined ? undefined : parseMoment(until, "end"),
  });
}

/**
 * Limits that are not given again stay: adding a key once more must not trust it for longer. So do
 * certificates, until others come.
 */
function kept(known: DirectoryEntry | undefined): Limits & Pick<DirectoryEntry, "certificates"> {
  const { notBeforeMs, notAfterMs, certificates } = known ?? {};
  return defined({ notBeforeMs, notAfterMs, certificates });
}

function certificatesOf({
  certificate,
  chain = [],
  where,
}: FoundKey): DirectoryEntry["certificates"] {
  if (certificate === undefined) return undefined;
  if (chain.length >= MAX_CERTIFICATES) {
    throw new UsageError("ERR_USAGE", `${where}: more than ${MAX_CERTIFICATES} certificates`);
  }
  return [certificate.der, ...chain.map(({ der }) => der)];
}

function requireOrder({ notBeforeMs = -Infinity, notAfterMs = Infinity }: Limits): void {
  if (notBeforeMs <= notAfterMs) return;
  throw new UsageError("ERR_USAGE", "the key's validity would end before it begins");
}

function provenanceOf(args: Arguments): Partial<Pick<DirectoryEntry, "source">> {
  const text = args.text("provenance");
  return text === undefined ? {} : { source: oneLine(text) };
}

/**
 * Before the first sender was added, nothing can have been opened under a policy, so an empty
 * ledger is right and set-up needs no extra step. A ledger that went missing later, or that the
 * audit log mentions, is never made anew without being asked for.
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
    // Without a ledger the directory still serves receipts.
    if (!(error instanceof UnsupportedError)) throw error;
    context.report.note(`no ledger was made: ${error.message}`);
  }
}
