/**
 * Transcripts: tests that show what a person types and sees.
 *
 *     # a sentence that would worry you if it were false
 *     $ p11seal open -i bob.key for-alice.p11s
 *     ! p11seal: no identity matches a recipient of this message
 *     exit 3
 *
 * `$` is a command line, `!` a line on stderr, anything else a line on stdout; `…` stands for any
 * text within a line; without an `exit` line the status is 0. Words are quoted with single quotes;
 * `< FILE` and `> FILE` redirect. Besides `p11seal` there are `cat FILE`, which must print text,
 * and `ls`.
 */
import { createReadStream, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { run } from "./run.js";

export interface Sentence {
  readonly name: string;
  readonly steps: readonly Step[];
}

export interface Step {
  readonly command: string;
  readonly expected: Seen;
}

interface Seen {
  readonly status: number;
  readonly stdout: readonly string[];
  readonly stderr: readonly string[];
}

export function parseTranscript(text: string): Sentence[] {
  const sentences: { name: string; steps: Step[] }[] = [];
  let stdout: string[] = [];
  let stderr: string[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    const sentence = sentences.at(-1);
    if (line === "") continue;
    if (line.startsWith("# ")) {
      sentences.push({ name: line.slice(2), steps: [] });
      continue;
    }
    if (sentence === undefined) throw new Error(`line ${index + 1}: no sentence before it`);
    const step = sentence.steps.at(-1);
    if (line.startsWith("$ ")) {
      [stdout, stderr] = [[], []];
      sentence.steps.push({ command: line.slice(2), expected: { status: 0, stdout, stderr } });
    } else if (step === undefined) {
      throw new Error(`line ${index + 1}: no command before it`);
    } else if (/^exit \d+$/.test(line)) {
      const expected = { ...step.expected, status: Number(line.slice(5)) };
      sentence.steps.splice(-1, 1, { ...step, expected });
    } else if (line.startsWith("! ")) {
      stderr.push(line.slice(2));
    } else {
      stdout.push(line);
    }
  }
  return sentences;
}

/** Runs a command in the working folder. */
export async function perform(
  command: string,
  env: Readonly<Record<string, string>>,
): Promise<Seen> {
  const { words, from, to } = shellWords(command);
  const [program, ...argv] = words;
  if (program === "ls") return { status: 0, stdout: readdirSync(".").sort(), stderr: [] };
  if (program === "cat") {
    return { status: 0, stdout: lines(readFileSync(argv[0] ?? "", "utf8")), stderr: [] };
  }
  if (program !== "p11seal") throw new Error(`no such command in transcripts: ${command}`);
  const stdin = from === undefined ? {} : { stdin: createReadStream(from) };
  const { status, stdout, stderr } = await run(argv, { env, ...stdin });
  if (to !== undefined) writeFileSync(to, stdout);
  return {
    status,
    stdout: to === undefined ? lines(stdout.toString("utf8")) : [],
    stderr: lines(stderr),
  };
}

/**
 * The output, in which each line that matches its expectation is replaced by it, so that both are
 * equal.
 */
export function fitted(seen: Seen, expected: Seen): Seen {
  const fit = (actual: readonly string[], wanted: readonly string[]): string[] =>
    actual.map((line, index) => {
      const pattern = wanted[index] ?? "";
      const parts = pattern.split("…").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
      return new RegExp(`^${parts.join(".*")}$`, "u").test(line) ? pattern : line;
    });
  return {
    status: seen.status,
    stdout: fit(seen.stdout, expected.stdout),
    stderr: fit(seen.stderr, expected.stderr),
  };
}

function lines(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}

function shellWords(command: string): { words: string[]; from?: string; to?: string } {
  const words: string[] = [];
  const redirected: { from?: string; to?: string } = {};
  const tokens = command.match(/(?:'[^']*'|[^\s'])+/g) ?? [];
  for (let i = 0; i < tokens.length; i++) {
    const word = (tokens[i] ?? "").replace(/'([^']*)'/g, "$1");
    if (word === "<") redirected.from = tokens[++i] ?? "";
    else if (word === ">") redirected.to = tokens[++i] ?? "";
    else words.push(word);
  }
  return { words, ...redirected };
}
