/**
 * A ledger's store in memory, as strict as the database: what breaks a constraint throws, and then
 * nothing is changed. Beside it, processes and files in memory, which a test can end and remove.
 */
import { PolicyError } from "../../../src/errors.js";
import type { Delivery } from "../../../src/records/ledger/delivery.js";
import type {
  LedgerStatus,
  OutputPaths,
  SignedMessage,
} from "../../../src/records/ledger/ledger.js";
import type { OwnerState } from "../../../src/records/ledger/ledger-rules.js";
import type {
  Change,
  LedgerStore,
  MessageInStream,
  MessageRow,
  MetaRow,
  PruningRows,
  Rows,
  StreamKey,
  StreamRow,
  Writes,
} from "../../../src/records/ledger/ledger-store.js";
import type { Surroundings } from "../../../src/records/ledger/stored-ledger.js";
import { hex, NOW } from "./messages.js";

interface Tables {
  counter: number;
  readonly streams: Map<string, StreamRow>;
  readonly messages: Map<string, MessageRow>;
}

export class MemoryStore implements LedgerStore {
  readonly #sinceMs: number;
  #tables: Tables = { counter: 0, streams: new Map(), messages: new Map() };
  /** The next transaction that has something to write fails, as on a full disk. */
  failNext = false;

  constructor(sinceMs = 0) {
    this.#sinceMs = sinceMs;
  }

  get rows(): readonly MessageRow[] {
    return [...this.#tables.messages.values()];
  }

  get streams(): readonly StreamRow[] {
    return [...this.#tables.streams.values()];
  }

  get counter(): number {
    return this.#tables.counter;
  }

  transact<D extends Writes>(message: SignedMessage, decide: (rows: Rows) => D): Promise<D> {
    const { keyId, messageId, streamId, serial } = message;
    const isRival = (row: MessageRow): boolean =>
      row.sender === keyId &&
      row.streamId === streamId &&
      row.serial === serial &&
      row.messageId !== messageId;
    return this.#decided(() =>
      decide({
        meta: this.#meta(),
        stream: this.#tables.streams.get(`${keyId} ${streamId}`),
        own: this.#tables.messages.get(`${keyId} ${messageId}`),
        rival: this.rows.find(isRival),
      }),
    );
  }

  prune<D extends Writes>(
    { horizonMs, from }: Parameters<LedgerStore["prune"]>[0],
    decide: (rows: PruningRows) => D,
  ): Promise<D> {
    const key = (stream: StreamKey | undefined): string =>
      stream === undefined ? "" : `${stream.sender} ${stream.streamId}`;
    const isOld = (row: MessageRow): boolean =>
      row.state === "delivered" && row.createdMs < horizonMs;
    return this.#decided(() => {
      const old = this.streams.map((stream) => {
        const messages = this.rows
          .filter(
            (row) => isOld(row) && row.sender === stream.sender && row.streamId === stream.streamId,
          )
          .sort((a, b) => a.serial - b.serial)
          .slice(0, 2);
        const highestSerial = Math.max(...messages.map(({ serial }) => serial));
        return { stream, messages: messages.length, highestSerial };
      });
      return decide({
        reserved: this.rows.filter((row) => from === undefined && row.state === "reserved"),
        // Two messages at a time.
        old: old
          .filter(({ messages, stream }) => messages > 0 && key(stream) >= key(from))
          .sort((a, b) => (key(a.stream) < key(b.stream) ? -1 : 1))
          .slice(0, 1),
      });
    });
  }

  status(): Promise<LedgerStatus> {
    const count = (wanted: string): number =>
      this.rows.filter(({ state }) => state === wanted).length;
    return Promise.resolve({
      ...this.#meta(),
      ...{ reserved: count("reserved"), accepted: count("accepted") },
      delivered: count("delivered"),
      senders: new Set(this.streams.map(({ sender }) => sender)).size,
      streams: this.streams.length,
    });
  }

  compact(): Promise<boolean> {
    return Promise.resolve(true);
  }

  meta(): Promise<MetaRow> {
    return Promise.resolve(this.#meta());
  }

  streamsAfter(key: StreamKey | undefined): Promise<StreamRow[]> {
    return Promise.resolve(key === undefined ? [...this.streams] : []);
  }

  messagesAfter(key: MessageRow | undefined): Promise<MessageInStream[]> {
    const highest = ({ sender, streamId }: MessageRow): number | undefined =>
      this.#tables.streams.get(`${sender} ${streamId}`)?.highest;
    const all = this.rows.map((message) => ({ message, highest: highest(message) }));
    return Promise.resolve(key === undefined ? all : []);
  }

  check(): Promise<string[]> {
    return Promise.resolve([]);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #meta(): MetaRow {
    const { counter } = this.#tables;
    return { ledgerId: hex("ledger", 32), counter, createdMs: NOW, sinceMs: this.#sinceMs };
  }

  async #decided<D extends Writes>(decide: () => D): Promise<D> {
    // Reached over a network, say: nobody may count on an answer at once.
    await Promise.resolve();
    const decision = decide();
    const { counter, streams, messages } = this.#tables;
    const tables = { counter, streams: new Map(streams), messages: new Map(messages) };
    for (const change of decision.changes) write(tables, change);
    if (this.failNext && decision.changes.length > 0) {
      this.failNext = false;
      throw new PolicyError("ERR_LEDGER_WRITE", "the disk is full");
    }
    this.#tables = tables;
    await Promise.resolve();
    return decision;
  }
}

function write(tables: Tables, change: Change): void {
  const { streams, messages } = tables;
  switch (change.kind) {
    case "insert": {
      const row = checked(change.message);
      const taken = [...messages.values()].some(
        ({ sender, streamId, serial }) =>
          sender === row.sender && streamId === row.streamId && serial === row.serial,
      );
      if (taken || messages.has(keyOf(row))) throw new Error(`inserted twice: ${keyOf(row)}`);
      messages.set(keyOf(row), row);
      break;
    }
    case "update": {
      const { sender, messageId, streamId, serial, createdMs } = checked(change.message);
      const before = messages.get(keyOf(change.message));
      // What the sender said never changes.
      expectSame(before, { sender, messageId, streamId, serial, createdMs });
      messages.set(keyOf(change.message), change.message);
      break;
    }
    case "delete":
      if (!messages.delete(keyOf(change.message))) throw new Error("deleted twice");
      break;
    case "stream": {
      const { sender, streamId, highest, floor } = change.stream;
      const before = streams.get(`${sender} ${streamId}`) ?? { highest: 0, floor: -1 };
      if (highest < before.highest || floor < before.floor || floor > highest) {
        throw new Error("a stream went back");
      }
      streams.set(`${sender} ${streamId}`, change.stream);
      break;
    }
    case "forget":
      for (const [key, row] of messages) {
        const isOfStream =
          row.sender === change.stream.sender && row.streamId === change.stream.streamId;
        const isOld = row.createdMs < change.sealedBeforeMs && row.serial <= change.upToSerial;
        if (isOfStream && row.state === "delivered" && isOld) messages.delete(key);
      }
      break;
    case "count":
      tables.counter++;
      break;
  }
}

function keyOf({ sender, messageId }: MessageRow): string {
  return `${sender} ${messageId}`;
}

function checked(row: MessageRow): MessageRow {
  if ((row.acceptedMs === undefined) !== (row.state === "reserved")) {
    throw new Error("acceptedMs does not fit the state");
  }
  return row;
}

function expectSame(row: MessageRow | undefined, claims: Partial<MessageRow>): void {
  for (const [name, value] of Object.entries(claims)) {
    if (row?.[name as keyof MessageRow] !== value) throw new Error(`an update changed ${name}`);
  }
}

/** Processes and files that all ledgers of a test see. */
export class MemoryWorld {
  /** Marks of the files there are, by path. */
  readonly files = new Map<string, string>();
  readonly ended = new Set<string>();
  /** The next removal of a file does not come about: its process dies first. */
  dieNext = false;
  #next = 0;

  /** Writes a file that is like no other. */
  write(path: string): void {
    this.files.set(path, `mark ${this.#next++}`);
  }

  /**
   * What a process sees; of those whose names begin with `far` nobody can tell whether they run.
   */
  seenBy(owner: string): Surroundings {
    const markOf = (path: string): string | undefined => this.files.get(path);
    return {
      owner: () => owner,
      ownerState: (other): OwnerState =>
        other.startsWith("far") ? "unknown" : this.ended.has(other) ? "ended" : "running",
      describe: (output: OutputPaths): Delivery => {
        const mark = markOf(output.temporary);
        if (mark === undefined) throw new PolicyError("ERR_OUTPUT_GONE", "gone");
        return { ...output, mark };
      },
      deliveryState: ({ temporary, final, mark }) => {
        if (markOf(final) === mark) return "placed";
        return markOf(temporary) === mark ? "waiting" : "gone";
      },
      removeTemporary: (path) => {
        if (this.dieNext) {
          this.dieNext = false;
          this.ended.add(owner);
          throw new Crash();
        }
        this.files.delete(path);
      },
    };
  }
}

/** Thrown into a process that ends in the middle of a call. */
export class Crash extends Error {}
