/** The Windows program of peer.c, run by Wine. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CipherParameters } from "../../../src/capi/index.js";

interface Started {
  readonly program: string;
  readonly env: Record<string, string>;
  readonly folder: string;
  readonly peer: string;
}

const started = JSON.parse(process.env["P11SEAL_TEST_PEER"] ?? "null") as Started | null;
if (started === null) throw new Error("no peer: run npm run test:capi");
const { program, env, folder, peer } = started;
const files = mkdtempSync(join(folder, "files-"));

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  /** The call that failed and its NTE code, such as "CryptImportKey 0x80090005". */
  readonly stderr: string;
}

/** Runs a command of the peer; paths are relative to its folder of files. */
export function run(command: string, ...args: readonly string[]): Ended {
  const { status, stdout, stderr } = spawnSync(program, [peer, command, ...args], {
    cwd: files,
    env,
    encoding: "utf8",
  });
  return { status, stdout, stderr: stderr.trim() };
}

/** The same; it must succeed. Returns what it printed. */
export function ok(command: string, ...args: readonly string[]): string {
  const { status, stdout, stderr } = run(command, ...args);
  if (status !== 0) throw new Error(`peer ${command}: status ${status}, ${stderr}`);
  return stdout;
}

export function put(name: string, content: Uint8Array): string {
  writeFileSync(join(files, name), content);
  return name;
}

export function get(name: string): Uint8Array {
  return new Uint8Array(readFileSync(join(files, name)));
}

/** The absolute path of one of the peer's files, for p11seal. */
export function at(name: string): string {
  return join(files, name);
}

/** What both sides agree on, as options of the peer. */
export function cipherOptions(
  { mode, iv, salt, effectiveBits }: CipherParameters,
  padding: "pkcs1" | "oaep",
): string[] {
  return [
    ...(mode === undefined ? [] : ["--mode", mode]),
    ...(iv === undefined ? [] : ["--iv", Buffer.from(iv).toString("hex")]),
    ...(salt === "none" ? ["--no-salt"] : []),
    ...(effectiveBits === undefined ? [] : ["--effective-bits", String(effectiveBits)]),
    ...(padding === "oaep" ? ["--oaep"] : []),
  ];
}
