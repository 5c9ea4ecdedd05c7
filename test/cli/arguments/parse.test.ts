/** What command lines mean, and which are refused. */
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { parse } from "../../../src/cli/arguments/parse.js";
import type { CommandSet, CommandSpec, Parsed } from "../../../src/cli/command.js";
import { ALL_COMMANDS } from "../../../src/cli/commands/all-commands.js";
import { UsageError } from "../../../src/errors.js";

/** Everything that a command can ask of its arguments; what was not given is left out. */
function meaning({ spec, args }: Parsed): Record<string, unknown> {
  const given = Object.entries(spec.options).map(([name, { type, repeatable }]) => {
    if (type === "boolean") return [name, args.flag(name) || undefined];
    const values = args.texts(name);
    return [name, repeatable === true ? (values.length > 0 ? values : undefined) : values[0]];
  });
  const options = Object.fromEntries(given.filter(([, value]) => value !== undefined)) as object;
  return { command: spec.name, operands: args.operands, ...options };
}

async function meaningOf(
  argv: readonly string[],
  set: CommandSet = ALL_COMMANDS,
): Promise<Record<string, unknown> | string> {
  const parsed = await parse(argv, set, () => ({ version: "1.2.3", columns: 80 }));
  return typeof parsed === "string" ? parsed : meaning(parsed);
}

async function refusalOf(argv: readonly string[]): Promise<UsageError | undefined> {
  try {
    await meaningOf(argv);
    return undefined;
  } catch (error) {
    if (error instanceof UsageError) return error;
    throw error;
  }
}

/** Splits a line without quotes into words. */
const words = (line: string): string[] => line.split(" ").filter((word) => word !== "");

const seal = { command: "seal", operands: [] as string[] };
const open = { command: "open", operands: [] as string[] };

describe("a command line", () => {
  it.each<[line: string, meaning: object]>([
    ["tokens", { command: "tokens", operands: [] }],
    ["token init --label x", { command: "token init", operands: [], label: "x" }],
    [
      "capi three-phase status --state s",
      { command: "capi three-phase status", operands: [], state: "s" },
    ],
    // A value comes after its option, or in the same word.
    ["seal --output a.p11s", { ...seal, output: "a.p11s" }],
    ["seal --output=a.p11s", { ...seal, output: "a.p11s" }],
    ["seal --output=a=b", { ...seal, output: "a=b" }],
    ["seal -o a.p11s", { ...seal, output: "a.p11s" }],
    ["seal -oa.p11s", { ...seal, output: "a.p11s" }],
    ["seal -o=a.p11s", { ...seal, output: "a.p11s" }],
    [
      "seal -ra.pem -rb.pem -Rteam",
      { ...seal, recipient: ["a.pem", "b.pem"], "recipients-file": ["team"] },
    ],
    // Letters can be joined, the last one with its value.
    ["seal -qv", { ...seal, quiet: true, verbose: true }],
    ["seal -qvo a.p11s", { ...seal, quiet: true, verbose: true, output: "a.p11s" }],
    ["seal -qvoa.p11s", { ...seal, quiet: true, verbose: true, output: "a.p11s" }],
    ["seal -ovq", { ...seal, output: "vq" }],
    ["seal -o-", { ...seal, output: "-" }],
    // A dash is a value, or an operand. Negative numbers are values too; other words with a dash
    // are not.
    ["seal -o - -r -", { ...seal, output: "-", recipient: ["-"] }],
    ["open -o x -", { ...open, output: "x", operands: ["-"] }],
    ["seal --threads -7", { ...seal, threads: "-7" }],
    ["seal --output=-x", { ...seal, output: "-x" }],
    ["seal -o-x", { ...seal, output: "-x" }],
    // Two dashes end the options.
    ["open -- -o --help -- x", { ...open, operands: ["-o", "--help", "--", "x"] }],
    ["open a -- b", { ...open, operands: ["a", "b"] }],
    ["open --", open],
    // Order doesn't matter; flags take no value, and may be repeated.
    ["open a --force b -q c", { ...open, force: true, quiet: true, operands: ["a", "b", "c"] }],
    ["open --force true", { ...open, force: true, operands: ["true"] }],
    ["seal -q -q --quiet", { ...seal, quiet: true }],
    // Nothing is interpreted as a number, an object, or a quotation.
    ["seal -o 1e3 0x10", { ...seal, output: "1e3", operands: ["0x10"] }],
    ["seal -o a.b.c __proto__", { ...seal, output: "a.b.c", operands: ["__proto__"] }],
    [`seal -o "a" 'b'`, { ...seal, output: '"a"', operands: ["'b'"] }],
    ["seal -o é.p11s 文", { ...seal, output: "é.p11s", operands: ["文"] }],
    // A file may have the name of a command.
    ["open open seal", { ...open, operands: ["open", "seal"] }],
    ["seal -o x help", { ...seal, output: "x", operands: ["help"] }],
    // Options that are not given have their defaults.
    ["keys export u", { command: "keys export", operands: ["u"], format: "pem" }],
    ["keys export u --format ssh", { command: "keys export", operands: ["u"], format: "ssh" }],
    ["senders add bob", { command: "senders add", operands: ["bob"] }],
    ["senders add bob b.pem", { command: "senders add", operands: ["bob", "b.pem"] }],
  ])("%s", async (line, expected) => {
    expect(await meaningOf(words(line))).toEqual(expected);
  });

  it.each(ALL_COMMANDS.commands.map((spec): [string, CommandSpec] => [spec.name, spec]))(
    "that is an example of %s is one of it",
    async (name, { examples }) => {
      expect(examples.length).toBeGreaterThan(0);
      for (const [line] of examples) {
        const argv = words(line.replace(/ >.*$/, "").replaceAll("'", ""));
        expect(await meaningOf(argv)).toMatchObject({ command: name });
      }
    },
  );

  it("can be written in many ways, and means what was written", async () => {
    await fc.assert(
      fc.asyncProperty(written(), async ({ argv, expected }) => {
        expect({ argv, meaning: await meaningOf(argv) }).toEqual({ argv, meaning: expected });
      }),
      { numRuns: 1000 },
    );
  });

  it("of any words is understood, or refused as a fault of usage", async () => {
    const word = fc.oneof(
      fc.constantFrom(
        ...["--", "-", "=", "-=", "--=", "---", "-o=", "--output=", "-q=", "-7", "-7x"],
      ),
      fc.constantFrom(
        ...["--__proto__", "--constructor=x", "--toString", "--_", "--$0", "-__proto__"],
      ),
      fc.constantFrom(...["help", "true", "__proto__", "-qo", "-oq", "-hq", "-r", "--no-force"]),
      fc.string({ maxLength: 5, unit: "binary" }),
      fc.string({ maxLength: 4 }).map((text) => `-${text}`),
    );
    const line = fc.tuple(
      fc.constantFrom(["seal"], ["open"], ["keys", "list"], ["keys"], ["capi", "three-phase"], []),
      fc.array(word, { maxLength: 5 }),
    );
    let understood = 0;
    await fc.assert(
      fc.asyncProperty(line, async ([command, rest]) => {
        const argv = [...command, ...rest];
        fc.pre(!/^--get-yargs|help|^-[^-]*h/.test(rest.join("\n")) && !argv.includes("-h"));
        const refusal = await refusalOf(argv);
        if (refusal === undefined) understood++;
        else expect(refusal.code).toBe("ERR_USAGE");
      }),
      { numRuns: 1000 },
    );
    expect(understood).toBeGreaterThan(50);
  });
});

/** A command line and what it means: options in every spelling, among operands. */
function written(): fc.Arbitrary<{ argv: string[]; expected: object }> {
  const specs = ALL_COMMANDS.commands.filter(({ options }) => "output" in options);
  return fc.constantFrom(...specs).chain((spec) => {
    const values = fc.string({ minLength: 1, maxLength: 6 }).filter((text) => text !== "");
    const options = Object.entries(spec.options).map(([name, option]) => {
      const { alias, type, choices, required, default: usual } = option;
      if (type === "boolean") {
        const ways = [[`--${name}`], ...(alias === undefined ? [] : [[`-${alias}`]])];
        return fc.oneof(
          fc.constant({ name, value: undefined, words: [] as string[] }),
          fc.constantFrom(...ways).map((words) => ({ name, value: true, words })),
        );
      }
      const value = choices === undefined ? values : fc.constantFrom(...choices);
      const given = fc.tuple(value, fc.nat(3), fc.boolean()).map(([text, way, quiet]) => {
        const joined = alias !== undefined && !text.startsWith("=");
        const apart = text === "-" || !text.startsWith("-");
        const written =
          way === 0 && joined
            ? [`-${quiet ? "q" : ""}${alias}${text}`]
            : way === 1 && apart
              ? [`--${name}`, text]
              : way === 2 && apart && alias !== undefined
                ? [`-${alias}`, text]
                : [`--${name}=${text}`];
        const isQuiet = quiet && way === 0 && joined;
        const meant = option.repeatable === true ? [text] : text;
        // `-output` is treated as a misspelled `--output`.
        const bare = written
          .join("")
          .replace(/^-/, "")
          .replace(/=[^]*$/, "");
        const misread = way === 0 && Object.hasOwn(spec.options, bare);
        const words = misread ? [`--${name}=${text}`] : written;
        return { name, value: meant, words, quiet: isQuiet && !misread };
      });
      if (required === true) return given;
      return fc.oneof(fc.constant({ name, value: usual, words: [] as string[] }), given);
    });
    const most = spec.operands === undefined ? 0 : 1;
    const least = spec.operands?.startsWith("<") === true ? 1 : 0;
    const operand = values.filter((text) => !text.startsWith("-") && text !== "help");
    return fc
      .tuple(fc.tuple(...options), fc.array(operand, { minLength: least, maxLength: most }))
      .chain(([given, operands]) => {
        const parts = [...given.map(({ words }) => words), operands];
        return fc.shuffledSubarray(parts, { minLength: parts.length }).map((shuffled) => {
          const quiet = given.some((one) => "quiet" in one && one.quiet);
          const facts = given.filter(({ value }) => value !== undefined);
          return {
            argv: [...words(spec.name), ...shuffled.flat()],
            expected: {
              command: spec.name,
              operands,
              ...Object.fromEntries(facts.map(({ name, value }) => [name, value])),
              ...(quiet ? { quiet: true } : {}),
            },
          };
        });
      });
  });
}

describe("help", () => {
  it.each([
    ...["seal --help", "seal -h", "seal help", "help seal", "--help seal", "seal -qh"],
    ...["seal --nonsense --help", "seal -r --help", "seal a b c -h"],
  ])("is shown for: %s", async (line) => {
    expect(await meaningOf(words(line))).toContain("p11seal seal -r RECIPIENT [options] [files..]");
  });

  it.each([
    ["--help", "p11seal <command>"],
    ["help", "p11seal <command>"],
    ["keys --help", "p11seal keys list"],
    ["keys help", "p11seal keys list"],
    ["help keys", "p11seal keys list"],
    ["capi three-phase -h", "p11seal capi three-phase begin"],
  ])("of a group is shown for: %s", async (line, shown) => {
    expect(await meaningOf(words(line))).toContain(shown);
  });

  it("is not shown for a file that is named so", async () => {
    expect(await meaningOf(["open", "--", "--help"])).toMatchObject({ operands: ["--help"] });
    expect(await meaningOf(["open", "./help"])).toMatchObject({ operands: ["./help"] });
  });
});

it.each(["--version", "--version seal"])("the version is shown for: %s", async (line) => {
  expect(await meaningOf(words(line))).toBe("1.2.3\n");
});

describe("a command line that means nothing", () => {
  it.each<[line: string, message: string, hint: string]>([
    ["", "no command was given", "see: p11seal --help"],
    ["keys", '"keys" needs a command', "see: p11seal keys --help"],
    ["sael", "unknown command: sael", 'did you mean "p11seal seal"? see: p11seal --help'],
    ["xyzzy", "unknown command: xyzzy", "see: p11seal --help"],
    [
      "encrypt -r x f",
      "unknown command: encrypt",
      'did you mean "p11seal seal"? see: p11seal --help',
    ],
    ["decrypt f", "unknown command: decrypt", 'did you mean "p11seal open"? see: p11seal --help'],
    ["key list", "unknown command: key", 'did you mean "p11seal keys list"? see: p11seal --help'],
    ["key lsit x", "unknown command: key", 'did you mean "p11seal keys list"? see: p11seal --help'],
    ["key xyzzy", "unknown command: key", 'did you mean "p11seal keys"? see: p11seal --help'],
    ["keys xyzzy", "unknown command: keys xyzzy", "see: p11seal keys --help"],
    [
      "keygen",
      "unknown command: keygen",
      'did you mean "p11seal keys generate"? see: p11seal --help',
    ],
    [
      "capi three-phase beginn",
      "unknown command: capi three-phase beginn",
      'did you mean "p11seal capi three-phase begin"? see: p11seal capi three-phase --help',
    ],
    ["-q seal", "unknown option: -q", "see: p11seal --help"],
    ["keys --json list", "unknown option: --json", "see: p11seal keys --help"],
    ["seal --nonsense", "unknown option: --nonsense", "see: p11seal seal --help"],
    ["seal --no-force", "unknown option: --no-force", "see: p11seal seal --help"],
    ["seal --Quiet", "unknown option: --Quiet", "did you mean --quiet? see: p11seal seal --help"],
    [
      "seal --recipent=x",
      "unknown option: --recipent",
      "did you mean --recipient? see: p11seal seal --help",
    ],
    ["seal --version", "unknown option: --version", "see: p11seal seal --help"],
    ["seal -x", "unknown option: -x", "see: p11seal seal --help"],
    ["seal -qxo f", "unknown option: -x", "see: p11seal seal --help"],
    [
      "seal -output f",
      "unknown option: -output",
      "did you mean --output? see: p11seal seal --help",
    ],
    ["seal -o", "--output needs a value", "see: p11seal seal --help"],
    ["seal -qo", "--output needs a value", "see: p11seal seal --help"],
    ["seal -o -q", "--output needs a value", "see: p11seal seal --help"],
    ["seal --output --force", "--output needs a value", "see: p11seal seal --help"],
    ["seal -o -- f", "--output needs a value", "see: p11seal seal --help"],
    ["seal --output=", "--output was given an empty value", "see: p11seal seal --help"],
    ["seal -o=", "--output was given an empty value", "see: p11seal seal --help"],
    ["seal -o a -ob", "--output was given twice", "see: p11seal seal --help"],
    ["seal -o a --output=a", "--output was given twice", "see: p11seal seal --help"],
    ["seal --force=true", "--force takes no value", "see: p11seal seal --help"],
    ["seal -q=x", "--quiet takes no value", "see: p11seal seal --help"],
    [
      "seal --oaep md5",
      '--oaep takes sha1, sha256, sha384 or sha512, not "md5"',
      "see: p11seal seal --help",
    ],
    ["keys generate --label x", "missing: --type", "see: p11seal keys generate --help"],
    ["keys export", "missing: <uri>", "see: p11seal keys export --help"],
    ["keys list a b", 'unexpected operand: "b"', "see: p11seal keys list --help"],
    ["keys list -- a b", 'unexpected operand: "b"', "see: p11seal keys list --help"],
    ["keys list a -- b", 'unexpected operand: "b"', "see: p11seal keys list --help"],
    ["tokens x", 'unexpected operand: "x"', "see: p11seal tokens --help"],
    ["tokens pkcs11:token=x", 'unexpected operand: "pkcs11:token=x"', "see: p11seal tokens --help"],
    [
      "pin change pkcs11:token=x?pin-value=1234",
      'unexpected operand: "pkcs11:token=x"',
      "did you mean --token URI? see: p11seal pin change --help",
    ],
  ])("%s", async (line, message, hint) => {
    expect(await refusalOf(words(line))).toMatchObject({ code: "ERR_USAGE", message, hint });
  });

  it("has an empty operand", async () => {
    expect(await refusalOf(["open", ""])).toMatchObject({ message: "an operand is empty" });
    expect(await refusalOf(["open", "--", ""])).toMatchObject({ message: "an operand is empty" });
  });

  it("has an empty value", async () => {
    const message = "--recipient was given an empty value";
    expect(await refusalOf(["seal", "-r", ""])).toMatchObject({ message });
    expect(await refusalOf(["seal", "-r", "a", "-r", ""])).toMatchObject({ message });
  });

  it.each(["--pin 1234", "--pin=1234", "--user-pin 1234", "--so-pin=1234 -x"])(
    "has a PIN in it: %s",
    async (pin) => {
      for (const argv of [words(`open ${pin} f`), words(`${pin} open f`), words(`keys ${pin}`)]) {
        const refusal = await refusalOf(argv);
        expect(refusal).toMatchObject({ code: "ERR_PIN_ON_COMMAND_LINE" });
        expect(`${refusal?.message ?? ""} ${refusal?.hint ?? ""}`).not.toContain("1234");
      }
    },
  );
});
