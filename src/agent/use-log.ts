/** The audit log's line about each use of a key by the agent, and about each that it refused. */
import { readlinkSync } from "node:fs";
import { toHex } from "../bytes.js";
import { defined } from "../defined.js";
import type { PassedOn, SenderInfo } from "../envelope/message-info.js";
import { appendAudit, auditFiles } from "../records/audit/audit-log.js";
import { passedOnBy } from "../records/audit/passed-on.js";
import type { KeyInfo } from "../token/values.js";
import type { Peer } from "./server.js";

/** What became of one request. */
export interface LoggedUse {
  /** `opened`, `rewrapped`, `signed`, or the code of an error. */
  readonly outcome: string;
  /** 16 bytes, hexadecimal. */
  readonly messageId: string;
  /** The key signed, or was to: it is the sender's. Otherwise it is a recipient's. */
  readonly signs?: boolean | undefined;
  /** Whose signature the message's is, if it holds. */
  readonly sender?: SenderInfo | undefined;
  /** Who passed it on, or has just done so. */
  readonly passedOn?: PassedOn | undefined;
  readonly key: KeyInfo;
  /** How the token was asked. */
  readonly path?: string | undefined;
  readonly peer?: Peer | undefined;
  /** The host that the program passed the request on for, as it said. */
  readonly remote?: string | undefined;
}

/**
 * The lines of one agent. A line is written while its key is on its way to the client; but no key
 * follows before that line is on the disk, and none where lines can't be written. The lines of keys
 * that wait are written together.
 */
export class UseLog {
  readonly #home: string;
  #last: Promise<void> = Promise.resolve();

  /** @param home - the data folder */
  constructor(home: string) {
    this.#home = home;
  }

  /**
   * Begins to write a line, and waits until the one before is on the disk.
   *
   * @throws PolicyError `ERR_AUDIT_LOG_WRITE`, `ERR_UNSAFE_FILE`: that one could not be written,
   *   nor could this one
   */
  async record(use: LoggedUse): Promise<void> {
    const before = this.#last;
    const line = write(this.#home, use);
    // It may fail sooner than the one before is waited for: nobody has missed it then.
    line.catch(() => undefined);
    // The one before, too: `written` and the next use wait for all.
    this.#last = before.then(
      () => line,
      () => line,
    );
    // Waited for by the next use, or by `written`.
    this.#last.catch(() => undefined);
    const hasFailed = await before.then(
      () => false,
      () => true,
    );
    if (hasFailed) await line;
  }

  /** Every line is on the disk, or could not be written. */
  async written(): Promise<void> {
    await this.#last.catch(() => undefined);
  }
}

async function write(home: string, use: LoggedUse): Promise<void> {
  const { outcome, messageId, signs, sender, passedOn, key, path, peer, remote } = use;
  const keyId = key.publicKey && toHex(key.publicKey.fingerprint);
  const event = {
    ...{ event: "agent" as const, outcome, messageId },
    ...defined({
      sender: signs === true ? keyId : sender?.keyId,
      passedOn: passedOn && passedOnBy(passedOn),
      recipient: signs === true ? undefined : keyId,
      tokenSerial: key.token.serial,
      path,
      program: peer && programOf(peer.pid),
      pid: peer?.pid,
      remote: remote?.slice(0, MAX_PROGRAM),
    }),
  };
  const nowMs = Date.now();
  // The key leaves first: this call writes as far as it can without waiting.
  await new Promise(setImmediate);
  await appendAudit(auditFiles(home), event, nowMs);
}

/** The program's file; undefined where the system does not tell, or the process has ended. */
export function programOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/exe`).slice(0, MAX_PROGRAM);
  } catch {
    return undefined;
  }
}

const MAX_PROGRAM = 256;
