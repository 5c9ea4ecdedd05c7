/** Messages as the ledger sees them, and a test's folder and clock. */
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll } from "@jest/globals";
import type { SignedMessage } from "../../../src/records/ledger/ledger.js";

/** A day in November 2026. */
export const NOW = Date.UTC(2026, 10, 23, 10, 20, 30);
export const MINUTE = 60_000;
export const DAY = 86_400_000;

/** The `serial`th message of a sender's stream. Its id follows from all three. */
export function message(serial: number, changes: Partial<SignedMessage> = {}): SignedMessage {
  const keyId = changes.keyId ?? hex("alice", 64);
  const streamId = changes.streamId ?? hex("stream", 32);
  return {
    keyId,
    streamId,
    serial,
    messageId: hex(`${keyId} ${streamId} ${serial}`, 32),
    createdMs: NOW - MINUTE,
    recipientsIntact: true,
    ...changes,
  };
}

/** Digits derived from a text. */
export function hex(text: string, digits: number): string {
  return createHash("sha256").update(text).digest("hex").slice(0, digits);
}

/**
 * A new folder for each call; all are removed after the file's tests. `memory`: on a file system in
 * memory, if there is one. A killed process leaves the same there, only faster.
 */
export function freshFolder(options: { memory?: boolean } = {}): string {
  const memory = options.memory === true && existsSync("/dev/shm");
  const folder = mkdtempSync(path.join(memory ? "/dev/shm" : tmpdir(), "p11seal-folder-"));
  folders.push(folder);
  return folder;
}

const folders: string[] = [];

afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
