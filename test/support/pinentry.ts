/** A pinentry program that plays a part: what it answers to each command, and what it was told. */
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Replies by command, `greeting` among them: raw bytes as Latin-1, one string for always or a list
 * for one time after another. `hang` answers nothing, `die` kills the program.
 */
export type Replies = Readonly<Record<string, string | readonly string[]>>;

export interface FakePinentry {
  readonly program: string;
  /** The commands that it got, in all runs. */
  readonly told: () => string[];
  /** Process ids of all runs. */
  readonly pids: () => number[];
  /** What it found in its environment, in its last run. */
  readonly environment: () => Record<string, string>;
}

/** Writes the program into the folder. By default it answers `OK`. */
export function fakePinentry(folder: string, name: string, replies: Replies): FakePinentry {
  const program = join(folder, name);
  const log = `${program}.log`;
  const code = `#!${process.execPath}
    const { appendFileSync, writeFileSync, writeSync, readFileSync, existsSync } = require("node:fs");
    const replies = ${JSON.stringify(replies)};
    const state = ${JSON.stringify(`${program}.state`)};
    const counts = existsSync(state) ? JSON.parse(readFileSync(state, "utf8")) : {};
    appendFileSync(${JSON.stringify(`${program}.pids`)}, process.pid + "\\n");
    writeFileSync(${JSON.stringify(`${program}.env`)}, JSON.stringify(process.env));
    const say = (command, otherwise) => {
      const list = [replies[command] ?? otherwise].flat();
      const at = (counts[command] = (counts[command] ?? -1) + 1);
      writeFileSync(state, JSON.stringify(counts));
      const reply = list[Math.min(at, list.length - 1)];
      if (reply === "die") process.kill(process.pid, "SIGKILL");
      if (reply !== "hang") writeSync(1, Buffer.from(reply, "latin1"));
    };
    say("greeting", "OK Pleased to meet you\\n");
    let rest = "";
    process.stdin.on("data", (chunk) => {
      rest += chunk;
      for (let end; (end = rest.indexOf("\\n")) >= 0; rest = rest.slice(end + 1)) {
        const line = rest.slice(0, end);
        appendFileSync(${JSON.stringify(log)}, line + "\\n");
        say(line.split(" ")[0], "OK\\n");
        if (line === "BYE") process.exit(0);
      }
    });
  `;
  writeFileSync(program, code);
  chmodSync(program, 0o700);
  const lines = (path: string): string[] =>
    existsSync(path) ? readFileSync(path, "utf8").split("\n").slice(0, -1) : [];
  return {
    program,
    told: () => lines(log),
    pids: () => lines(`${program}.pids`).map(Number),
    environment: () => JSON.parse(readFileSync(`${program}.env`, "utf8")) as Record<string, string>,
  };
}
