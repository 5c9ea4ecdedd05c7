/**
 * What the `capi` commands remember between runs, in the folder `capi` of the data folder: the
 * secret from which implicit rejection derives its keys, the failures of each key, and which
 * messages of three-phase runs were accepted.
 *
 * Otherwise a program that is started for each message would be a better oracle than a service: no
 * process would know of the queries before its own.
 */
import { createHash, randomBytes } from "node:crypto";
import { lstat, open, unlink } from "node:fs/promises";
import { join } from "node:path";
import { delayBefore, NO_FAILURES, recordFailure, type Failures } from "../../../capi/index.js";
import { PolicyError } from "../../../errors.js";
import { Secret } from "../../../secret.js";
import { fileState, readWhole, writeWhole } from "../../../store/files.js";
import { makeFolder } from "../../../store/make-folder.js";
import { syncFolder } from "../../../store/flush.js";
import { withLock } from "../../../store/lock.js";
import { errno, fileError } from "../../../store/system-error.js";

/** A run that would have to wait longer is refused. */
const MAX_WAIT_MS = 300_000;
const SECRET_BYTES = 32;

export class CapiHome {
  readonly #folder: string;

  /** `home`: the data folder. */
  constructor(home: string) {
    this.#folder = join(home, "capi");
  }

  /**
   * The 32-byte secret of implicit rejection. It is made once.
   *
   * @throws PolicyError `ERR_UNSAFE_FILE`; FileError `ERR_READ`, `ERR_WRITE`, `ERR_LOCKED`
   */
  async rejectionSecret(): Promise<Secret> {
    const path = join(this.#folder, "rejection.secret");
    return this.#locked(async () => {
      const kept = await readWhole(path, SECRET_BYTES);
      if (kept === undefined) {
        const made = new Uint8Array(randomBytes(SECRET_BYTES));
        await writeWhole(path, made);
        return new Secret(made);
      }
      await requireSecret(path);
      if (kept.length !== SECRET_BYTES) throw unsafe(path, "is damaged");
      return new Secret(kept);
    });
  }

  /**
   * How long to wait before the next private key operation, milliseconds. Simultaneous runs get
   * turns one after the other.
   *
   * @param asker - whose failures count: a key, and the signer of the messages to it.
   * @throws PolicyError `ERR_TOO_MANY_FAILURES`, `ERR_UNSAFE_FILE`; FileError
   */
  async turn(asker: string, nowMs: number): Promise<{ waitMs: number; failures: number }> {
    const path = this.#failuresOf(asker);
    return this.#locked(async () => {
      const { failures, nextMs } = await readFailures(path);
      const delay = delayBefore(failures, nowMs);
      if (delay === 0) return { waitMs: 0, failures: failures.count };
      // After the clock was set back, nobody must wait for the old time.
      const earliest = nextMs > nowMs + MAX_WAIT_MS ? nowMs : Math.max(nextMs, nowMs);
      const waitMs = earliest + delay - nowMs;
      if (waitMs > MAX_WAIT_MS) throw tooMany(failures.count);
      await writeFailures(path, { failures, nextMs: nowMs + waitMs });
      return { waitMs, failures: failures.count };
    });
  }

  /** Counts one more failure of that asker. @throws as `turn` */
  async failed(asker: string, nowMs: number): Promise<void> {
    const path = this.#failuresOf(asker);
    await this.#locked(async () => {
      const { failures, nextMs } = await readFailures(path);
      await writeFailures(path, { failures: recordFailure(failures, nowMs), nextMs });
    });
  }

  /**
   * Records that a message was accepted. False: it had been before.
   *
   * @param what - a kind of message and its name, as in `phase 1 …`.
   */
  async reserve(what: string): Promise<boolean> {
    const folder = join(this.#folder, "taken");
    await makeFolder(folder);
    const path = join(folder, hashed(what));
    if ((await fileState(path)) === "present") return false;
    try {
      // The file's name is the record. If several runs create it, one succeeds.
      const handle = await open(path, "wx", 0o600);
      await handle.close();
      await syncFolder(folder);
      return true;
    } catch (error) {
      if (errno(error) === "EEXIST") return false;
      throw fileError("ERR_WRITE", path, error);
    }
  }

  /** Undoes `reserve`: the message was not processed after all. */
  async release(what: string): Promise<void> {
    await unlink(join(this.#folder, "taken", hashed(what))).catch(() => undefined);
  }

  #failuresOf(asker: string): string {
    return join(this.#folder, `failures-${hashed(asker).slice(0, 32)}`);
  }

  async #locked<T>(action: () => Promise<T>): Promise<T> {
    await makeFolder(this.#folder);
    return withLock(join(this.#folder, "lock"), action);
  }
}

// ── Details ──

interface Seen {
  readonly failures: Failures;
  /** When the last turn that was given begins, milliseconds since 1970. */
  readonly nextMs: number;
}

async function readFailures(path: string): Promise<Seen> {
  const bytes = await readWhole(path, 64);
  if (bytes === undefined) return { failures: NO_FAILURES, nextMs: 0 };
  const text = new TextDecoder().decode(bytes);
  const [, count, lastMs, nextMs] = /^([0-9]{1,9}) ([0-9]{1,15}) ([0-9]{1,15})\n$/.exec(text) ?? [];
  if (count === undefined) throw unsafe(path, "is damaged");
  return { failures: { count: Number(count), lastMs: Number(lastMs) }, nextMs: Number(nextMs) };
}

function writeFailures(path: string, { failures, nextMs }: Seen): Promise<void> {
  const text = `${failures.count} ${failures.lastMs} ${nextMs}\n`;
  return writeWhole(path, new TextEncoder().encode(text));
}

/** Whoever can read it can tell rejected keys from real ones. */
async function requireSecret(path: string): Promise<void> {
  if (process.platform === "win32") return;
  const { mode } = await lstat(path);
  if ((mode & 0o077) !== 0) throw unsafe(path, "can be read by others");
}

function hashed(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function unsafe(path: string, fact: string): PolicyError {
  return new PolicyError("ERR_UNSAFE_FILE", `"${path}" ${fact}`, {
    hint: "find out who did that, then remove the file; a new one will be made",
  });
}

function tooMany(count: number): PolicyError {
  return new PolicyError(
    "ERR_TOO_MANY_FAILURES",
    `${count} messages to this key did not decrypt, and other runs are already waiting`,
    {
      hint: "look in the audit log for what keeps coming; p11seal audit-log verify checks the log",
    },
  );
}
