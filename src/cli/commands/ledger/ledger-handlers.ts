/** `p11seal ledger`: init, status, verify, prune and export. */
import { readConfig } from "../../../records/config.js";
import { parseMoment } from "../../../records/directory/directory.js";
import { defined } from "../../../defined.js";
import { PolicyError, UsageError } from "../../../errors.js";
import { auditFiles, auditWitness } from "../../../records/audit/audit-log.js";
import { moment, parseDuration } from "../../../records/duration.js";
import type { Ledger, LedgerExport, LedgerStatus } from "../../../records/ledger/ledger.js";
import { DEFAULT_WINDOW_MS } from "../../../records/policy.js";
import { openLedger } from "../../../records/ledger/sqlite-ledger.js";
import type { Arguments } from "../../arguments/arguments.js";
import { homeFolder } from "../../find/home.js";
import { write } from "../../io/io.js";
import { ledgerPath, makeHomeLedger, openHomeLedger } from "./home-ledger.js";
import { json, table } from "../../io/table.js";
import type { Context } from "../../command.js";

export async function ledgerInitCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io, report } = context;
  const home = homeFolder(io.env);
  const nowMs = Date.now();
  const sinceMs = sinceOf(args, nowMs);
  const earlier = await auditWitness(auditFiles(home));
  const { ledgerId, counter } = await makeHomeLedger(home, {
    nowMs,
    ...defined({ sinceMs }),
  });
  const path = ledgerPath(home);
  const text = table([
    ["ledger", path],
    ["id", ledgerId],
    ["accepts", sinceMs === undefined ? "messages of any time" : sinceText(sinceMs)],
  ]);
  const data = { path, ledgerId, counter, createdMs: nowMs, sinceMs: sinceMs ?? 0 };
  await write(io.stdout, args.flag("json") ? json(data) : text);
  if (earlier !== undefined && sinceMs === undefined) {
    report.note(
      "there was a ledger before; messages it accepted within the window may be opened again",
    );
    report.note("to refuse them, move this ledger away and run: p11seal ledger init --since now");
  }
}

export async function ledgerStatusCommand(args: Arguments, context: Context): Promise<undefined> {
  const home = homeFolder(context.io.env);
  const status = await withLedger(openHomeLedger(home), (ledger) => ledger.status());
  const path = ledgerPath(home);
  const text = args.flag("json") ? json({ path, ...status }) : describe(path, status);
  await write(context.io.stdout, text);
}

export async function ledgerVerifyCommand(args: Arguments, context: Context): Promise<undefined> {
  const home = homeFolder(context.io.env);
  const problems = await withLedger(openHomeLedger(home), (ledger) => ledger.verify());
  const rows = problems.map((problem) => [problem]);
  await write(context.io.stdout, args.flag("json") ? json({ problems }) : table(rows));
  if (problems.length > 0) {
    const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
    throw new PolicyError("ERR_LEDGER_DAMAGED", `${count} in the ledger "${ledgerPath(home)}"`, {
      hint: "move it away, and start a new one with: p11seal ledger init --since now",
    });
  }
  context.report.note("no problem was found");
}

export async function ledgerPruneCommand(args: Arguments, context: Context): Promise<undefined> {
  const home = homeFolder(context.io.env);
  const window = args.text("window");
  const chosenMs = window === undefined ? undefined : parseDuration(window);
  const windowMs = chosenMs ?? (await readConfig(home)).windowMs ?? DEFAULT_WINDOW_MS;
  const pruned = await withLedger(openHomeLedger(home), (ledger) =>
    ledger.prune({ nowMs: Date.now(), windowMs }),
  );
  const text = table([
    ["removed", String(pruned.removed)],
    ["kept", String(pruned.kept)],
  ]);
  await write(context.io.stdout, args.flag("json") ? json(pruned) : text);
}

/** Opened without the audit log, so that an outdated ledger can be looked at too. */
export async function ledgerExportCommand(args: Arguments, context: Context): Promise<undefined> {
  const path = ledgerPath(homeFolder(context.io.env));
  const all = await withLedger(openLedger(path), (ledger) => ledger.export());
  await write(context.io.stdout, args.flag("json") ? json(all) : table(rowsOf(all)));
  if (all.messages.length === 0) context.report.note("no message in the ledger");
}

async function withLedger<T>(
  opening: Promise<Ledger>,
  use: (ledger: Ledger) => Promise<T>,
): Promise<T> {
  const ledger = await opening;
  try {
    return await use(ledger);
  } finally {
    await ledger.close();
  }
}

function sinceOf(args: Arguments, nowMs: number): number | undefined {
  const text = args.text("since");
  if (text === undefined) return undefined;
  const sinceMs = text === "now" ? nowMs : parseMoment(text, "start");
  if (sinceMs > nowMs) throw new UsageError("ERR_USAGE", `--since is in the future: "${text}"`);
  return sinceMs;
}

function sinceText(sinceMs: number): string {
  return `messages sealed from ${moment(sinceMs)} on`;
}

function describe(path: string, status: LedgerStatus): string {
  const { oldestMs, sinceMs } = status;
  return table([
    ["ledger", path],
    ["id", status.ledgerId],
    ["counter", String(status.counter)],
    ["made", moment(status.createdMs)],
    ["accepts", sinceMs === 0 ? "messages of any time" : sinceText(sinceMs)],
    ["senders", String(status.senders)],
    ["streams", String(status.streams)],
    ["delivered", String(status.delivered)],
    ["accepted, not delivered", String(status.accepted)],
    ["being opened", String(status.reserved)],
    ...(oldestMs === undefined ? [] : [["oldest sealed", moment(oldestMs)]]),
  ]);
}

function rowsOf({ messages }: LedgerExport): string[][] {
  return messages.map(({ state, createdMs, sender, streamId, serial, messageId }) => [
    ...[state, moment(createdMs), messageId],
    ...[`serial ${serial}`, `stream ${streamId}`, `sender SHA256:${sender}`],
  ]);
}
