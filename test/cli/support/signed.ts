/**
 * Signed messages made within this process, and the data folder of a receiver who trusts their
 * sender.
 */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeHomeLedger } from "../../../src/records/ledger/home-ledger.js";
import { addEntry } from "../../../src/records/directory/directory-file.js";
import type { DirectoryEntry } from "../../../src/records/directory/directory.js";
import { sealMessage } from "../../../src/envelope/messages.js";
import type { Sender } from "../../../src/envelope/seal-options.js";
import { recipientOf, senderOf, type ExchangeKeyName } from "../../support/identities.js";
import { p11seal, type Ended } from "./spawn.js";

/** The signer's key: P-384, with which nobody here opens messages. */
export const SENDER = senderOf("p384");

let serial = 0;

/** A message to Bob with the next serial, sealed now unless `changes` says otherwise. */
export async function signedMessage(
  content: Uint8Array | string,
  changes: Partial<Sender> & { readonly to?: readonly ExchangeKeyName[]; segLog2?: number } = {},
): Promise<Buffer> {
  const { to = ["p256"], segLog2, ...claims } = changes;
  const sender = { ...SENDER, createdMs: Date.now(), serial: ++serial, ...claims };
  const recipients = to.map((name) => recipientOf(name));
  const options = { recipients, sender, ...(segLog2 === undefined ? {} : { segLog2 }) };
  const sealed = await sealMessage(Buffer.from(content), options);
  return Buffer.from(await sealed.stream().bytes());
}

/** A data folder with an empty ledger, in which the sender is known as `zoe`. */
export async function receiverHome(
  folder: string,
  changes: Partial<DirectoryEntry> = {},
): Promise<string> {
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o700);
  const entry = { name: "zoe", publicKey: SENDER.publicKey, source: "test", addedMs: Date.now() };
  await addEntry(folder, "senders", { ...entry, ...changes });
  await makeHomeLedger(folder, { nowMs: Date.now() });
  return folder;
}

export interface Told {
  readonly status: number | null;
  /** The error's code, if there was one. */
  readonly code: string | undefined;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** Runs `p11seal open --json` and reads the error's code. */
export async function open(
  argv: readonly string[],
  options: { readonly cwd: string; readonly home: string; readonly stdin?: Uint8Array },
): Promise<Told> {
  const { cwd, home, stdin = "" } = options;
  const env = { P11SEAL_HOME: home };
  return told(await p11seal(["open", "--json", ...argv], { cwd, env, stdin }));
}

export function told({ status, stdout, stderr }: Ended): Told {
  const line = stderr.split("\n").find((one) => one.startsWith('{"error"'));
  const error = line === undefined ? undefined : (JSON.parse(line) as { error: { code: string } });
  return { status, code: error?.error.code, stdout, stderr };
}

/** The outcomes in the audit log, in order. */
export function outcomes(home: string): string[] {
  return readFileSync(join(home, "audit.jsonl"), "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as { event: string; outcome: string })
    .filter(({ event }) => event === "open")
    .map(({ outcome }) => outcome);
}

export function writeFiles(folder: string, files: Readonly<Record<string, Uint8Array>>): void {
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes);
}
