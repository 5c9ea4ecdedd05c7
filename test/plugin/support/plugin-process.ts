/** The built program, as age starts it. */
import { fileURLToPath } from "node:url";
import { type Ended, startProgram } from "../../cli/support/spawn.js";
import { stanza as parsed, type Answers, type Conversation, play } from "./scripted-client.js";
import type { Stanza } from "../../../src/plugin/stanza-stream.js";

export const PLUGIN = fileURLToPath(
  new URL("../../../dist/cli/age-plugin-p11.js", import.meta.url),
);

export type Environment = Readonly<Record<string, string | undefined>>;

/** Runs a state machine with a client that answers so. Stdout and stderr are pipes, as age's. */
export async function runPlugin(
  machine: string,
  commands: readonly Stanza[],
  env: Environment,
  answers?: Answers,
): Promise<Conversation & Ended> {
  const command = `{ { "$0" "$1" --age-plugin=${machine} 2>&1 1>&3 | cat 1>&2; } 3>&1; } | cat`;
  const { child, ended } = startProgram("/bin/sh", ["-c", command, process.execPath, PLUGIN], {
    env,
    stdin: null,
  });
  if (child.stdin === null || child.stdout === null) throw new Error("no pipes");
  try {
    return { ...(await play(commands, child.stdin, child.stdout, answers)), ...(await ended) };
  } finally {
    // If the talk failed, the plugin must not wait for more.
    child.stdin.end();
  }
}

/** Answers a question for a PIN with this one. */
export function pin(text: string | undefined): Answers {
  return ({ type }) => {
    if (type !== "request-secret") return undefined;
    return text === undefined ? parsed("fail") : parsed("ok", text);
  };
}
