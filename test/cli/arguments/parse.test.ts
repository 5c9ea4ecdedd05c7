/** Two ways of parsing, one meaning: what is parsed without yargs is what yargs would have made of it. */
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import type { Parsed } from "../../../src/cli/command.js";
import { parsePlain } from "../../../src/cli/arguments/parse.js";
import { parseFully } from "../../../src/cli/arguments/parse-fully.js";
import type { CommandSpec } from "../../../src/cli/command.js";
import { COMMANDS, GROUPS } from "../../../src/cli/arguments/usage.js";
import { UsageError } from "../../../src/errors.js";

const OPTIONS = { version: "1.2.3", columns: 80 };

/** Everything a command can ask of its arguments. */
function meaning({ spec, args }: Parsed): unknown {
  const given = Object.entries(spec.options).map(([name, { type }]) => [
    name,
    type === "boolean" ? args.flag(name) : [args.text(name), args.texts(name)],
  ]);
  return { command: spec.name, given, operands: args.operands, reporting: args.reporting };
}

/** The meaning of a command line, or the words of its refusal. */
async function outcome(
  parse: () => Promise<Parsed | string> | Parsed | undefined,
): Promise<unknown> {
  try {
    const parsed = await parse();
    return typeof parsed === "object" ? meaning(parsed) : parsed;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return { code: error.code, message: error.message, hint: error.hint };
  }
}

async function sameWhereBoth(argv: readonly string[]): Promise<boolean> {
  const plain = await outcome(() => parsePlain(argv));
  if (plain === undefined) return false;
  const full = await outcome(() => parseFully(argv, OPTIONS));
  expect({ argv, outcome: plain }).toEqual({ argv, outcome: full });
  return true;
}

/** A command line of one command: its options, likely and unlikely values, misspellings. */
function commandLines(spec: CommandSpec): fc.Arbitrary<string[]> {
  const options = Object.entries(spec.options);
  const names = options.flatMap(([name, { alias }]) => [
    `--${name}`,
    ...(alias === undefined ? [] : [`-${alias}`]),
  ]);
  const values = fc.oneof(
    fc.constantFrom(
      ...[
        "a.pem",
        "-",
        "--",
        "help",
        "version",
        "true",
        "false",
        "",
        "7",
        "-7",
        "1e3",
        "0x1",
        "a=b",
      ],
      ...["'quoted'", '"x"', "-h", "--help", "--version", "-rq", "-ofile", "a b", "é", "__proto__"],
      ...COMMANDS.flatMap(({ name }) => name.split(" ")),
      ...options.flatMap(([, { choices }]) => choices ?? []),
    ),
    fc.string({ maxLength: 5 }),
  );
  const option = fc.oneof(
    fc.constantFrom(...names),
    fc.tuple(fc.constantFrom(...names), values).map(([name, value]) => `${name}=${value}`),
    fc.constantFrom("--nonsense", "--no-force", "-x", "--_", "--$0", "--toString", "--constructor"),
  );
  const pair = fc.tuple(fc.constantFrom(...names), values);
  const words = fc.array(fc.oneof(pair, values, option), { maxLength: 5 });
  const needed = options.flatMap(([name, { required, choices: [choice] = ["x"] }]) =>
    required === true ? [`--${name}`, String(choice)] : [],
  );
  return fc
    .tuple(fc.constantFrom([], needed), words)
    .map(([first, list]) => [...spec.name.split(" "), ...first, ...list.flat()]);
}

describe.each(COMMANDS.map((spec) => ({ name: spec.name, spec })))("p11seal $name", ({ spec }) => {
  it("means the same whether yargs is loaded for it or not", async () => {
    let compared = 0;
    await fc.assert(
      fc.asyncProperty(commandLines(spec), async (argv) => {
        if (await sameWhereBoth(argv)) compared++;
      }),
      { numRuns: 100 },
    );
    expect(compared).toBeGreaterThan(0);
  });

  it("needs no yargs for its examples", async () => {
    for (const [line] of spec.examples) {
      const argv = line.replace(/ >.*$/, "").replaceAll("'", "").split(" ");
      expect({ line, compared: await sameWhereBoth(argv) }).toEqual({ line, compared: true });
    }
  });
});

it.each([
  [[]],
  [["seal", "--help"]],
  [["seal", "-h"]],
  [["seal", "help"]],
  [["seal", "-r"]],
  [["seal", "-r", "a", "b", "c"]],
  [["keys"]],
  [["keys", "generate", "--label", "x"]],
  [["open", "--pin", "1234"]],
  [["open", "--", "-file"]],
  [["--get-yargs-completions", "p11seal", "se"]],
  ...Object.keys(GROUPS).map((group): [string[]] => [[group, "--help"]]),
])("leaves %j to yargs", (argv) => {
  expect(parsePlain(argv)).toBeUndefined();
});
