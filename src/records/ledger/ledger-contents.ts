/** A whole ledger: exported for people and other programs, and checked for contradictions. */
import { defined } from "../../defined.js";
import type { LedgerExport } from "./ledger.js";
import type { LedgerContents } from "./ledger-store.js";

export function exportOf({ meta, streams, messages }: LedgerContents): LedgerExport {
  return {
    type: "p11seal ledger v1",
    ...meta,
    streams,
    // Without processes, tokens and temporary files, which are nobody else's concern.
    messages: messages.map((row) => ({
      sender: row.sender,
      messageId: row.messageId,
      streamId: row.streamId,
      serial: row.serial,
      createdMs: row.createdMs,
      state: row.state,
      ...defined({ acceptedMs: row.acceptedMs, final: row.final }),
    })),
  };
}

/** What the rules never let happen, one line for each problem. */
export function impossibleIn({ meta, streams, messages }: LedgerContents): string[] {
  const highest = new Map(
    streams.map((stream) => [`${stream.sender} ${stream.streamId}`, stream.highest]),
  );
  const accepted = messages.filter(({ state }) => state !== "reserved");
  const problems = accepted
    .filter(({ sender, streamId, serial }) => serial > (highest.get(`${sender} ${streamId}`) ?? -1))
    .map(({ messageId }) => `message ${messageId} was accepted, but its stream says otherwise`);
  if (accepted.length > meta.counter) {
    problems.push(
      `${accepted.length} messages were accepted, but the counter is at ${meta.counter}`,
    );
  }
  return problems;
}
