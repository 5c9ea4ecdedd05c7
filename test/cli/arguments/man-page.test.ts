/** The man page that the build makes, compared with the existing commands. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "@jest/globals";
import { EXIT } from "../../../src/cli/io/report.js";
import { ALL_COMMANDS } from "../../../src/cli/commands/all-commands.js";
import { itIf } from "../../support/missing.js";

const root = new URL("../../../", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL("package.json", root), "utf8")) as {
  readonly man: readonly [string];
  readonly version: string;
};
const path = fileURLToPath(new URL(manifest.man[0], root));
const source = readFileSync(path, "utf8");

const CHARACTERS: Readonly<Record<string, string>> = {
  ...{ "-": "-", e: "\\", "&": "" },
  ...{ "(aq": "'", "(ga": "`", "(ha": "^", "(ti": "~" },
};

/** The page's text, without requests for type faces. */
const plain = source
  .replace(/\\f[BIR]/g, "")
  .replace(/\\\[u([0-9A-F]{4,6})\]/g, (_, code: string) =>
    String.fromCodePoint(Number.parseInt(code, 16)),
  )
  .replace(/\\(?:-|e|&|\((?:aq|ga|ha|ti))/g, (escape) => CHARACTERS[escape.slice(1)] ?? escape);
const sections = new Map(
  plain
    .split(/^\.S[HS] /m)
    .map((section): [string, string] => [section.split("\n")[0] ?? "", section]),
);

describe("the man page", () => {
  const { commands, groups } = ALL_COMMANDS;

  it.each(commands)("describes $name: its options, these and no others", (spec) => {
    const section = sections.get(`p11seal ${spec.name}`) ?? "";
    expect(section).toContain(`\n${spec.describe}.\n`);
    const entries = [...section.matchAll(/^\.TP\n(.+)\n(.+)$/gm)].map(([, head, about]) => ({
      head,
      about: about?.replace(/ \[[^\]]*\]$/, ""),
    }));
    expect(entries).toEqual(
      Object.entries(spec.options).map(([name, { alias, type, describe: about }]) => ({
        head:
          (alias === undefined ? "" : `-${alias}, `) +
          `--${name}${type === "string" ? " value" : ""}`,
        about,
      })),
    );
    for (const [line, does] of spec.examples) {
      expect(section).toContain(`\n# ${does}\np11seal ${line}\n`);
    }
    for (const { choices, default: usual } of Object.values(spec.options)) {
      for (const choice of choices ?? []) expect(section).toContain(choice);
      if (usual !== undefined) expect(section).toContain(`default: ${usual}]`);
    }
  });

  it("has no command that doesn't exist, and lists the groups", () => {
    const described = [...sections.keys()].filter((name) => name.startsWith("p11seal "));
    expect(described).toEqual(commands.map(({ name }) => `p11seal ${name}`));
    const overview = sections.get("DESCRIPTION") ?? "";
    for (const [group, about] of Object.entries(groups)) {
      expect(overview).toContain(`\n${group}\n${about}\n`);
    }
  });

  it("names every exit status of the program, and its version", () => {
    const listed = [...(sections.get("EXIT STATUS") ?? "").matchAll(/^\.TP\n(\d+)$/gm)];
    const own = Object.values(EXIT).filter((status) => status !== EXIT.cancelled);
    expect(listed.map(([, status]) => Number(status))).toEqual(own);
    expect(source).toContain(`"p11seal ${manifest.version}"`);
  });

  it("is ASCII", () => {
    expect(source).toMatch(/^[\n -~]+$/);
  });
});

const READERS: readonly (readonly [program: string, ...args: string[]])[] = [
  ["groff", "-man", "-Tutf8", "-ww", "-z"],
  ["mandoc", "-Tlint", "-Wwarning"],
  ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8"],
];

describe.each(READERS)("%s", (program, ...args) => {
  const isThere = spawnSync(program, ["--version"]).error === undefined;

  itIf(isThere, `${program} is not installed`)("reads the man page without a warning", () => {
    const { status, stdout, stderr } = spawnSync(program, [...args, path], {
      encoding: "utf8",
      env: { ...process.env, MANWIDTH: "100", MANPAGER: "cat" },
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    if (program === "mandoc") expect(stdout).toBe("");
    if (program === "man") expect(stdout).toMatch(/p11seal seal/);
  });
});
