/** User documentation: --help and docs/cli.md, compared with the existing commands. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "@jest/globals";
import { EXIT } from "../../../src/cli/io/report.js";
import { ALL_COMMANDS } from "../../../src/cli/commands/all-commands.js";
import { run } from "../support/run.js";

const page = readFileSync(new URL("../../../docs/cli.md", import.meta.url), "utf8");
const { commands: specs, groups } = ALL_COMMANDS;
const commands = specs.map((spec) => ({ ...spec, words: spec.name.split(" ") }));

describe.each(commands)("p11seal $name --help", ({ name, words, options }) => {
  it("shows every option and a command line to copy", async () => {
    const { status, stdout, stderr } = await run([...words, "--help"]);
    const help = stdout.toString("utf8");
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    for (const option of Object.keys(options)) expect(help).toContain(`--${option} `);
    expect(help).toMatch(new RegExp(`Examples:\n {2}# .+\n {2}p11seal ${name}[ \n]`));
  });

  it("names in its usage what the command can't do without", async () => {
    const [usage] = (await run([...words, "--help"])).stdout.toString("utf8").split("\n\n");
    const needed = Object.entries(options).filter(([, { required }]) => required === true);
    for (const [option] of needed) expect(usage).toMatch(new RegExp(`\\s--${option}\\s`));
    expect(usage).toContain(`p11seal ${name}`);
  });

  it("has examples that parse", async () => {
    const spec = specs.find((one) => one.name === name);
    expect(spec?.examples.length).toBeGreaterThan(0);
    for (const [line] of spec?.examples ?? []) {
      const argv = line.replace(/ >.*$/, "").replaceAll("'", "").split(" ");
      const end = argv.indexOf("--");
      const own = end < 0 ? argv : argv.slice(0, end);
      const { status } = await run([...own, "--help"]);
      expect({ line, status }).toEqual({ line, status: 0 });
    }
  });
});

it.each([[""], ...Object.keys(groups).map((group) => [group])])(
  "p11seal %s --help lists the commands and has examples",
  async (group) => {
    const { status, stdout } = await run([...group.split(" ").filter(Boolean), "--help"]);
    expect(status).toBe(0);
    const help = stdout.toString("utf8");
    const prefix = group === "" ? "" : `${group} `;
    for (const { name } of specs.filter((spec) => spec.name.startsWith(prefix))) {
      const [first = ""] = name.slice(prefix.length).split(" ");
      expect(help).toContain(`p11seal ${prefix}${first}`);
    }
    expect(help).toMatch(/Examples:\n {2}# .+\n {2}p11seal /);
  },
);

describe("docs/cli.md", () => {
  const sections = new Map(
    page.split(/^## /m).map((section): [string, string] => {
      const end = section.indexOf("\n");
      return [section.slice(0, end), section.slice(end)];
    }),
  );

  it.each(commands)("lists the options of $name, these and no others", ({ name, options }) => {
    const section = sections.get(`p11seal ${name}`) ?? "";
    const listed = [...section.matchAll(/^\| ((?:`-[^`]+`(?:, )?)+) *\|/gm)].flatMap(([, cell]) =>
      [...(cell ?? "").matchAll(/`(-[^`]+)`/g)].map(([, option]) => option),
    );
    const { quiet, verbose, ...own } = options;
    expect([quiet, verbose]).not.toContain(undefined);
    const wanted = Object.entries(own).flatMap(([option, { alias }]) => [
      ...(alias === undefined ? [] : [`-${alias}`]),
      `--${option}`,
    ]);
    expect(listed.sort()).toEqual(wanted.sort());
  });

  const chosen = commands.flatMap(({ name, options }) => {
    const values = Object.values(options).flatMap((option) => [
      ...(option.choices ?? []),
      ...(option.default ? [option.default] : []),
    ]);
    return values.length === 0 ? [] : [{ name, values }];
  });

  it.each(chosen)("names the choices and defaults of $name", ({ name, values }) => {
    const section = sections.get(`p11seal ${name}`) ?? "";
    for (const value of values) expect(section).toContain(`\`${value}\``);
  });

  it("lists every exit status, once", () => {
    const listed = [...(sections.get("Exit status") ?? "").matchAll(/^\| (\d+) *\|/gm)].map(
      ([, status]) => Number(status),
    );
    expect(listed).toEqual(Object.values(EXIT));
  });

  it("names every environment variable that the sources read", () => {
    const folder = new URL("../../../src/", import.meta.url);
    const sources = readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".ts"))
      .map((path) => readFileSync(new URL(path, folder), "utf8"));
    const read = new Set(
      sources.flatMap((text) =>
        [...text.matchAll(/"((?:P11SEAL|PKCS11|SOFTHSM2)_[A-Z0-9_]+)"/g)].map(
          ([, variable]) => variable ?? "",
        ),
      ),
    );
    expect(read.size).toBeGreaterThan(3);
    const section = sections.get("Environment") ?? "";
    for (const variable of read) expect(section).toContain(`| \`${variable}\` `);
  });

  it("links only to headings it has", () => {
    const headings = [...page.matchAll(/^##+ (.+)$/gm)].map(([, heading]) =>
      (heading ?? "")
        .toLowerCase()
        .replace(/[^a-z0-9 -]/g, "")
        .replaceAll(" ", "-"),
    );
    const links = [...page.matchAll(/\]\(#([^)]+)\)/g)].map(([, link]) => link);
    expect(links.length).toBeGreaterThan(10);
    for (const link of links) expect(headings).toContain(link);
  });
});
