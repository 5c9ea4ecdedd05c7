/** Where a peer works: its folder, its files, its command lines. */
import { spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CmsPeer } from "./peer.js";

export class Workplace {
  readonly peer: CmsPeer;
  readonly folder: string;
  #files = 0;

  constructor(peer: CmsPeer, folder: string) {
    this.peer = peer;
    this.folder = folder;
  }

  at(name: string): string {
    return join(this.folder, name);
  }

  /** The path of a file that does not exist yet. */
  fresh(): string {
    return this.at(`file-${this.#files++}`);
  }

  /** The path of a new file with these bytes. */
  file(bytes: Uint8Array): string {
    const path = this.fresh();
    writeFileSync(path, bytes);
    return path;
  }

  /** The content of a file that a program was to write; none if it wrote nothing. */
  written(path: string): Buffer {
    return existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
  }

  command(program: string): readonly [string, ...string[]] {
    const [first, ...rest] = this.peer.programs[program] ?? [];
    if (first === undefined) throw new Error(`${this.peer.name} has no ${program}`);
    return [first, ...rest];
  }

  /**
   * Runs one of the peer's programs to its end.
   * @returns what it printed, on both streams
   * @throws an error with that, if it fails
   */
  run(program: string, args: readonly string[], stdin = ""): Promise<string> {
    const [file, ...first] = this.command(program);
    const child = spawn(file, [...first, ...args], {
      cwd: this.folder,
      env: { ...process.env, ...this.peer.env, LC_ALL: "C", HOME: this.folder },
      stdio: "pipe",
    });
    let said = "";
    child.stdout.on("data", (data) => (said += String(data)));
    child.stderr.on("data", (data) => (said += String(data)));
    child.stdin.on("error", () => undefined);
    child.stdin.end(stdin);
    return new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (status) => {
        if (status === 0) resolve(said);
        else reject(new Error(`${this.peer.name}: ${program} ended with ${status}: ${said}`));
      });
    });
  }
}
