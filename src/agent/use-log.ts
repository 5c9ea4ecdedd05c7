/** The audit log's line about each use of a key by the agent, and about each that it refused. */
import { readlinkSync } from "node:fs";
import { toHex } from "../bytes.js";
import { defined } from "../defined.js";
import type { SenderInfo } from "../envelope/message-info.js";
import { appendAudit, auditFiles } from "../records/audit/audit-log.js";
import { passedOnBy } from "../records/audit/passed-on.js";
import type { KeyInfo } from "../token/values.js";
import type { Peer } from "./server.js";

/** What became of one request. */
export interface LoggedUse {
  /** `opened`, or the code of an error. */
  readonly outcome: string;
  /** 16 bytes, hexadecimal. */
  readonly messageId: string;
  /** Whose signature the message's is, if it holds. */
  readonly sender?: SenderInfo | undefined;
  readonly key: KeyInfo;
  /** How the token was asked. */
  readonly path?: string | undefined;
  readonly peer?: Peer | undefined;
}

/**
 * Writes the line; on the disk when it resolves.
 *
 * @param home - the data folder
 * @throws PolicyError `ERR_AUDIT_LOG_WRITE`, `ERR_UNSAFE_FILE`
 */
export async function logUse(home: string, use: LoggedUse): Promise<void> {
  const { outcome, messageId, sender, key, path, peer } = use;
  const event = {
    ...{ event: "agent" as const, outcome, messageId },
    ...defined({
      sender: sender?.keyId,
      passedOn: sender?.passedOn && passedOnBy(sender.passedOn),
      recipient: key.publicKey && toHex(key.publicKey.fingerprint),
      tokenSerial: key.token.serial,
      path,
      program: peer && programOf(peer.pid),
      pid: peer?.pid,
    }),
  };
  await appendAudit(auditFiles(home), event, Date.now());
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
