/**
 * A whole ledger: exported for people and other programs, and checked for contradictions. Both read
 * it bit by bit, so other processes accept messages meanwhile.
 */
import { defined } from "../../defined.js";
import type { ExportedMessage, ExportedStream, LedgerExport } from "./ledger.js";
import type { LedgerStore, MessageInStream, MessageRow, StreamKey } from "./ledger-store.js";

export async function exportOf(store: LedgerStore): Promise<LedgerExport> {
  return {
    type: "p11seal ledger v1",
    ...(await store.meta()),
    streams: streamsOf(store),
    messages: exportedMessages(store),
  };
}

/** What the rules never let happen, one line for each problem, at most 100. */
export async function impossibleIn(store: LedgerStore): Promise<string[]> {
  const problems: string[] = [];
  // For the errors that reading a damaged row gives.
  const streams = streamsOf(store);
  while ((await streams.next()).done !== true);
  let accepted = 0;
  for await (const { message, highest = -1 } of messagesOf(store)) {
    if (message.state === "reserved") continue;
    accepted++;
    if (message.serial > highest && problems.length < MAX_PROBLEMS) {
      problems.push(`message ${message.messageId} was accepted, but its stream says otherwise`);
    }
  }
  // Read last: it only grows, so it can't be behind messages that were accepted meanwhile.
  const { counter } = await store.meta();
  if (accepted > counter) {
    problems.push(`${accepted} messages were accepted, but the counter is at ${counter}`);
  }
  return problems;
}

// ── Details ──

async function* streamsOf(store: LedgerStore): AsyncGenerator<ExportedStream, void, undefined> {
  let after: StreamKey | undefined;
  for (;;) {
    const page = await store.streamsAfter(after);
    after = page.at(-1);
    if (after === undefined) return;
    yield* page;
  }
}

async function* messagesOf(store: LedgerStore): AsyncGenerator<MessageInStream, void, undefined> {
  let after: MessageRow | undefined;
  for (;;) {
    const page = await store.messagesAfter(after);
    after = page.at(-1)?.message;
    if (after === undefined) return;
    yield* page;
  }
}

/** Without processes, tokens and temporary files, which are nobody else's concern. */
async function* exportedMessages(
  store: LedgerStore,
): AsyncGenerator<ExportedMessage, void, undefined> {
  for await (const { message: row } of messagesOf(store)) {
    yield {
      sender: row.sender,
      messageId: row.messageId,
      streamId: row.streamId,
      serial: row.serial,
      createdMs: row.createdMs,
      state: row.state,
      ...defined({ acceptedMs: row.acceptedMs, final: row.final }),
    };
  }
}

const MAX_PROBLEMS = 100;
