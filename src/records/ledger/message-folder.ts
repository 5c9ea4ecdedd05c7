/**
 * Which messages of CryptoAPI peers were received, each once. They have no time and no serial, so
 * they are remembered for ever: in a folder, with a file for each key blob. The ledger's rules
 * (`ledger-rules.ts`) decide here too, so a run that was killed anywhere neither loses a message
 * nor lets it in twice.
 *
 * A message is its sender, its key blob and its ciphertext together. Whoever signs a copy of
 * another sender's blob, with whatever ciphertext, has a row of their own for it, and uses up
 * nothing of the other's.
 */
import { createHash } from "node:crypto";
import { unlink } from "node:fs/promises";
import { join } from "node:path";
import { toHex } from "../../bytes.js";
import { FileError, PolicyError } from "../../errors.js";
import { readWhole, writeWhole } from "../../store/files.js";
import { makeFolder } from "../../store/make-folder.js";
import { withLock } from "../../store/lock.js";
import { errno } from "../../store/system-error.js";
import { count, HEX_16, HEX_32, text, type Check } from "../fields.js";
import type { ReserveOptions, Reservation, SignedMessage } from "./ledger.js";
import type { Change, MessageRow, Rows, Writes } from "./ledger-store.js";
import { reserveIn } from "./stored-ledger.js";

export interface BlobMessage {
  /** SHA-256 of the sender's SPKI, hexadecimal. */
  readonly sender: string;
  readonly blob: Uint8Array;
  /** SHA-256 over blob and ciphertext, in whatever way; 32 bytes. */
  readonly id: Uint8Array;
}

export class MessageFolder {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * Reserves a message for this process alone.
   *
   * @throws PolicyError `ERR_REPLAYED`, `ERR_IN_PROGRESS`, `ERR_LEDGER_DAMAGED`,
   *   `ERR_LEDGER_WRITE`, `ERR_UNSAFE_FILE`
   */
  async reserve(message: BlobMessage, options: ReserveOptions): Promise<Reservation> {
    await makeFolder(this.#folder);
    const file = new MessageFile(this.#folder, this.#fileOf(message));
    return reserveIn(file, signedMessage(message), options);
  }

  /** Other senders whose message with the same key blob was received; SHA-256 of their SPKIs. */
  async othersWith({ sender, blob }: Pick<BlobMessage, "sender" | "blob">): Promise<string[]> {
    const rows = await readRows(this.#fileOf({ blob }));
    const received = rows.filter((row) => row.state !== "reserved" && row.sender !== sender);
    return [...new Set(received.map((row) => row.sender))];
  }

  #fileOf({ blob }: Pick<BlobMessage, "blob">): string {
    return join(this.#folder, `${createHash("sha256").update(blob).digest("hex")}.json`);
  }
}

// ── One file ──

/** Each message counts as the only one of a stream, so no rule about serials ever applies. */
function signedMessage({ sender, id }: BlobMessage): SignedMessage {
  const messageId = toHex(id.subarray(0, 16));
  const streamId = toHex(id.subarray(16, 32));
  const common = { serial: 0, createdMs: 0, recipientsIntact: true };
  return { keyId: sender, messageId, streamId, ...common };
}

/** The rows of one key blob. */
class MessageFile {
  readonly #lock: string;
  readonly #path: string;

  constructor(folder: string, path: string) {
    this.#lock = join(folder, "lock");
    this.#path = path;
  }

  async transact<D extends Writes>(message: SignedMessage, decide: (rows: Rows) => D): Promise<D> {
    try {
      return await withLock(this.#lock, async (lock) => {
        const rows = await readRows(this.#path);
        const own = rows.find((row) => isOf(row, message));
        const decision = decide({ meta: META, stream: undefined, own, rival: undefined });
        const changed = decision.changes.reduce(applied, rows);
        if (changed !== rows) {
          await lock.confirm();
          await writeRows(this.#path, changed);
        }
        return decision;
      });
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      throw new PolicyError("ERR_LEDGER_WRITE", error.message, {
        cause: error,
        hint: "nothing was accepted; make room on the disk, or make the data folder writable",
      });
    }
  }
}

/** There is no counter here: nothing could remember how far it had come. */
const META = { ledgerId: "0".repeat(32), counter: 0, createdMs: 0, sinceMs: 0 };

function applied(rows: readonly MessageRow[], change: Change): readonly MessageRow[] {
  switch (change.kind) {
    case "insert":
      return [...rows, change.message];
    case "update":
      return rows.map((row) => (sameMessage(row, change.message) ? change.message : row));
    case "delete":
      return rows.filter((row) => !sameMessage(row, change.message));
    case "stream":
    case "count":
    case "forget":
      return rows;
  }
}

function isOf(row: MessageRow, { keyId, messageId }: SignedMessage): boolean {
  return row.sender === keyId && row.messageId === messageId;
}

function sameMessage(row: MessageRow, other: MessageRow): boolean {
  return row.sender === other.sender && row.messageId === other.messageId;
}

async function writeRows(path: string, rows: readonly MessageRow[]): Promise<void> {
  if (rows.length > 0) {
    await writeWhole(path, new TextEncoder().encode(`${JSON.stringify(rows)}\n`));
    return;
  }
  await unlink(path).catch((error: unknown) => {
    if (errno(error) !== "ENOENT") throw error;
  });
}

async function readRows(path: string): Promise<readonly MessageRow[]> {
  const bytes = await readWhole(path, MAX_FILE_BYTES);
  if (bytes === undefined) return [];
  let rows: unknown;
  try {
    rows = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw damaged(path, error);
  }
  if (!Array.isArray(rows) || !rows.every(isRow)) throw damaged(path);
  return rows.map((row: MessageRow) => ({ ...ABSENT, ...row }));
}

/** What JSON leaves out. */
const ABSENT = {
  acceptedMs: undefined,
  owner: undefined,
  token: undefined,
  temporary: undefined,
  final: undefined,
  mark: undefined,
};

function isRow(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const row = value as Readonly<Record<string, unknown>>;
  const known = FIELDS.every(([name, holds, needed]) =>
    row[name] === undefined ? !needed : holds(row[name]),
  );
  return known && (row["acceptedMs"] === undefined) === (row["state"] === "reserved");
}

const FIELDS: readonly (readonly [name: keyof MessageRow, holds: Check, needed: boolean])[] = [
  ["sender", HEX_32, true],
  ["messageId", HEX_16, true],
  ["streamId", HEX_16, true],
  ["serial", (value) => value === 0, true],
  ["createdMs", (value) => value === 0, true],
  ["state", text(/^(?:reserved|accepted|delivered)$/), true],
  ["acceptedMs", count, false],
  ["owner", text(/^.+$/), false],
  ["token", HEX_16, false],
  ["leaseMs", count, true],
  ["temporary", text(/^.+$/s), false],
  ["final", text(/^.+$/s), false],
  ["mark", text(/^.+$/), false],
];

/** A blob that so many others copied is no accident. */
const MAX_FILE_BYTES = 1024 * 1024;

function damaged(path: string, cause?: unknown): PolicyError {
  return new PolicyError("ERR_LEDGER_DAMAGED", `"${path}" is damaged`, {
    cause,
    hint: "it says which messages were received; put a copy back, or move it away to forget them",
  });
}
