/**
 * The project's sources as plain JavaScript in a separate folder, for programs that a test starts
 * and kills. `dist/` exists only after a build, and may be older than what is tested.
 */
import { transformFileSync } from "@swc/core";
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../", import.meta.url));

/** The part of `src/` that a program needs: everything that src/records/ledger imports. */
const PARTS = [
  "bytes.ts",
  "defined.ts",
  "errors.ts",
  "printable.ts",
  "records",
  "store",
  "keys",
  "secret.ts",
];

export interface Compiled {
  /** Starts `test/records/support/NAME` with the compiled sources at `P11SEAL_COMPILED`. */
  start(name: string, args: readonly string[]): Program;
  remove(): void;
}

/** A started program that sends and receives lines. */
export interface Program {
  readonly child: ChildProcess;
  /** The next line that it sends. */
  told(): Promise<unknown>;
  tell(what: string): void;
  /** Kills it at once, like a power cut; resolves when it has ended. */
  kill(): Promise<void>;
  /** Waits for `count` lines and then kills it, wherever it is by then. */
  killAfter(words: number): Promise<void>;
  /** How it ended: its status, or the signal. */
  readonly ended: Promise<number | string>;
}

/**
 * `sqlite`: false leaves the programs without Node's SQLite, and with a libsql that can't be
 * loaded.
 */
export function compile(options: { sqlite?: boolean } = {}): Compiled {
  const folder = mkdtempSync(path.join(tmpdir(), "p11seal-compiled-"));
  for (const file of sources()) {
    const target = path.join(folder, file.replace(/\.ts$/, ".js"));
    mkdirSync(path.dirname(target), { recursive: true });
    const { code } = transformFileSync(path.join(root, "src", file), {
      jsc: { parser: { syntax: "typescript" }, target: "es2023" },
      module: { type: "es6" },
      swcrc: false,
    });
    writeFileSync(target, code);
  }
  writeFileSync(path.join(folder, "package.json"), '{"type":"module"}');
  if (options.sqlite === false) {
    const broken = path.join(folder, "node_modules/libsql");
    mkdirSync(broken, { recursive: true });
    writeFileSync(path.join(broken, "package.json"), '{"name":"libsql","exports":{}}');
  } else {
    symlinkSync(path.join(root, "node_modules"), path.join(folder, "node_modules"));
  }
  return {
    start: (name, args) => start(folder, name, args, options.sqlite === false ? NO_SQLITE : []),
    remove: () => {
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Node 20 has neither the module nor the flag. */
const NO_SQLITE = process.allowedNodeEnvironmentFlags.has("--experimental-sqlite")
  ? ["--no-experimental-sqlite"]
  : [];

function start(
  folder: string,
  name: string,
  args: readonly string[],
  execArgv: readonly string[],
): Program {
  const program = path.join(folder, name);
  // Once: a process that was just started may be reading it.
  if (!existsSync(program)) copyFileSync(path.join(root, "test/records/support", name), program);
  const child = fork(program, args, {
    execArgv: [...execArgv],
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const heard: unknown[] = [];
  child.on("message", (message) => heard.push(message));
  const ended = once(child, "exit").then(
    ([status, signal]) => (status ?? signal) as number | string,
  );
  const told = async (): Promise<unknown> => {
    while (heard.length === 0) {
      const over = ended.then((how) => {
        throw new Error(`${name} ended with ${how} without a word`);
      });
      await Promise.race([once(child, "message"), over]);
    }
    return heard.shift();
  };
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await ended;
  };
  return {
    child,
    ended,
    told,
    kill,
    tell: (what) => {
      child.send(what);
    },
    async killAfter(words) {
      for (let word = 0; word < words; word++) {
        try {
          await told();
        } catch (error) {
          // A program that has nothing left to do ends by itself.
          if ((await ended) === 0) return;
          throw error;
        }
      }
      await sleep(Math.random() * 5);
      await kill();
    },
  };
}

function sources(): string[] {
  return PARTS.flatMap((part) =>
    part.endsWith(".ts")
      ? [part]
      : readdirSync(path.join(root, "src", part), { recursive: true, encoding: "utf8" })
          .filter((name) => name.endsWith(".ts"))
          .map((name) => path.join(part, name)),
  );
}
