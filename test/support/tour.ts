/** A page's commands, run as written: every `sh` block, line by line, in an empty folder. */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

export const ROOT = join(import.meta.dirname, "..", "..");

/** The lines of a page's `sh` blocks. */
export function shellLines(page: string): string[] {
  const blocks = page.matchAll(/^```sh\n(.*?)^```$/gms);
  return [...blocks].flatMap(([, block = ""]) => block.split("\n").filter((line) => line !== ""));
}

/** What the page says that a line ends with, or 0. */
export function wantedStatus(line: string): number {
  return Number(/# exit status (\d)/.exec(line)?.[1] ?? 0);
}

/** A person who types what the page says, in a home and a folder of their own. */
export class Tour {
  readonly folder = mkdtempSync(join(tmpdir(), "p11seal-tour-"));
  readonly work = join(this.folder, "work");
  readonly #bin = join(this.folder, "bin");
  /** What `export` lines have set. */
  readonly #exported: Record<string, string> = {};

  constructor() {
    mkdirSync(this.#bin);
    mkdirSync(this.work);
    this.program("p11seal", [process.execPath, join(ROOT, "dist", "cli", "main.js")]);
  }

  /** Puts a command on the path. */
  program(name: string, command: readonly string[]): void {
    const quoted = command.map((word) => `"${word}"`).join(" ");
    writeFileSync(join(this.#bin, name), `#!/bin/sh\nexec ${quoted} "$@"\n`);
    chmodSync(join(this.#bin, name), 0o755);
  }

  /** Runs one line. */
  run(line: string): { status: number | null; output: string } {
    const [, name, value] = /^export (\w+)="?([^\s"]+)"?$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined) {
      this.#exported[name] = value.replace("$PWD", this.work);
    }
    const env: NodeJS.ProcessEnv = { ...process.env };
    delete env["SOFTHSM2_CONF"];
    const { status, stdout, stderr } = spawnSync("bash", ["-c", line], {
      cwd: this.work,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...env,
        NODE_OPTIONS: "",
        P11SEAL_HOME: join(this.folder, "home"),
        PATH: `${this.#bin}${delimiter}${process.env["PATH"] ?? ""}`,
        ...this.#exported,
      },
    });
    return { status, output: stdout + stderr };
  }

  end(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A page of the project. */
export function pageAt(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}
