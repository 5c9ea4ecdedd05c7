/** `p11seal ledger`: init, status, verify, prune and export. */
import { readConfig } from "../../../records/config.js";
import { parseMoment } from "../../../records/directory/directory.js";
import { defined } from "../../../defined.js";
import { PolicyError, UsageError } from "../../../errors.js";
import { auditFiles, auditWitness } from "../../../records/audit/audit-log.js";
import { moment, parseDuration } from "../../../records/duration.js";
import type { ExportedMessage, Ledger, LedgerStatus } from "../../../records/ledger/ledger.js";
import { DEFAULT_WINDOW_MS } from "../../../records/policy.js";
import { openLedger } from "../../../records/ledger/sqlite-ledger.js";
import type { Arguments } from "../../arguments/arguments.js";
import { homeOf } from "../../io/home.js";
import { write } from "../../io/io.js";
import { ledgerPath, makeHomeLedger, openHomeLedger } from "../../../records/ledger/home-ledger.js";
import { json, jsonParts, table } from "../../io/table.js";
import type { Context } from "../../command.js";

export async function ledgerInitCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io, report } = context;
  const home = homeOf(io);
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
  const home = homeOf(context.io);
  const status = await withLedger(openHomeLedger(home), (ledger) => ledger.status());
  const path = ledgerPath(home);
  const text = args.flag("json") ? json({ path, ...status }) : describe(path, status);
  await write(context.io.stdout, text);
}

export async function ledgerVerifyCommand(args: Arguments, context: Context): Promise<undefined> {
  const home = homeOf(context.io);
  const problems = await withLedger(openHomeLedger(home), (ledger) => ledger.verify());
  const rows = problems.map((problem) => [problem]);
  await write(
    context.io.stdout,
    args.flag("json") ? json({ problems }) : table(rows, context.io.stdout.columns),
  );
  if (problems.length > 0) {
    const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
    throw new PolicyError("ERR_LEDGER_DAMAGED", `${count} in the ledger "${ledgerPath(home)}"`, {
      hint: "move it away, and start a new one with: p11seal ledger init --since now",
    });
  }
  context.report.note("no problem was found");
}

export async function ledgerPruneCommand(args: Arguments, context: Context): Promise<undefined> {
  const home = homeOf(context.io);
  const window = args.text("window");
  const chosenMs = window === undefined ? undefined : parseDuration(window);
  const windowMs = chosenMs ?? (await readConfig(home)).windowMs ?? DEFAULT_WINDOW_MS;
  const pruned = await withLedger(openHomeLedger(home), (ledger) =>
    ledger.prune({ nowMs: Date.now(), windowMs }),
  );
  const { spaceKept, ...counts } = pruned;
  if (spaceKept === true) {
    context.report.note(
      "the file is as large as before; prune again when there is room to copy it",
    );
  }
  const text = table([
    ["removed", String(pruned.removed)],
    ["kept", String(pruned.kept)],
  ]);
  await write(context.io.stdout, args.flag("json") ? json(counts) : text);
}

/** Opened without the audit log, so that an outdated ledger can be looked at too. */
export async function ledgerExportCommand(args: Arguments, context: Context): Promise<undefined> {
  const path = ledgerPath(homeOf(context.io));
  await withLedger(openLedger(path), async (ledger) => {
    const { streams, messages, ...fields } = await ledger.export();
    const counted = counting(messages);
    const parts = args.flag("json")
      ? jsonParts(fields, { streams, messages: counted.items })
      : linesOf(counted.items);
    for await (const text of joined(parts)) await write(context.io.stdout, text);
    if (counted.count() === 0) context.report.note("no message in the ledger");
  });
}

/** The same items, and how many there were. */
function counting<T>(items: AsyncIterable<T>): { items: AsyncIterable<T>; count: () => number } {
  let count = 0;
  async function* counted(): AsyncGenerator<T, void, undefined> {
    for await (const item of items) {
      count++;
      yield item;
    }
  }
  return { items: counted(), count: () => count };
}

/** Texts put together until they are worth a call. */
async function* joined(parts: AsyncIterable<string>): AsyncGenerator<string, void, undefined> {
  let text = "";
  for await (const part of parts) {
    text += part;
    if (text.length < WORTH_A_CALL) continue;
    yield text;
    text = "";
  }
  if (text !== "") yield text;
}

const WORTH_A_CALL = 65_536;

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

/** A line for each message. The serial comes last, as its length differs. */
async function* linesOf(
  messages: AsyncIterable<ExportedMessage>,
): AsyncGenerator<string, void, undefined> {
  for await (const { state, createdMs, sender, streamId, serial, messageId } of messages) {
    yield table([
      [
        ...[state.padEnd("delivered".length), moment(createdMs), messageId],
        ...[`stream ${streamId}`, `sender SHA256:${sender}`, `serial ${serial}`],
      ],
    ]);
  }
}
