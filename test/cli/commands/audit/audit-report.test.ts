/** Findings as SARIF and JUnit have them, with names from outside that would break either. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { FINDING_KINDS, FINDING_RULES } from "../../../../src/cli/commands/audit/findings.js";
import { xml } from "../../../../src/cli/commands/audit/junit.js";
import { fileUri } from "../../../../src/cli/commands/audit/sarif.js";
import { temporaryFolder, writeKeys } from "../../support/folder.js";
import { run, type Outcome } from "../../support/run.js";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const env = { P11SEAL_HOME: at("home") };
const cli = (...argv: string[]): Promise<Outcome> => run(argv, { env });

const ODD = [
  "a b&c<d>\"e'.p11s",
  "line\nbreak.p11s",
  "per%cent#?.p11s",
  "\u202egnp.p11s",
  "ü.p11s",
];

beforeAll(async () => {
  mkdirSync(at("home"), { mode: 0o700 });
  mkdirSync(at("tree"));
  writeKeys(folder);
  process.chdir(folder);
  writeFileSync(at("note"), "meet at noon\n");
  await cli("recipients", "add", "bob", "bob.pem");
  await cli("seal", "-r", "bob", "-o", "clean.p11s", "note");
  for (const name of ODD) writeFileSync(join(at("tree"), name), readFileSync(at("clean.p11s")));
});

describe("SARIF", () => {
  type Json = Record<string, unknown>;
  const asObject = (value: unknown): Json => value as Json;
  const asList = (value: unknown): Json[] => value as Json[];

  async function sarif(...argv: string[]): Promise<Json> {
    const { stdout } = await cli("audit", "--format", "sarif", ...argv);
    return JSON.parse(stdout.toString("utf8")) as Json;
  }

  it("has what version 2.1.0 requires of a log, a run, its tool, its rules and its results", async () => {
    const log = await sarif("--tree", "tree", "missing");
    // §3.13: version and runs.
    expect(log["version"]).toBe("2.1.0");
    expect(log["$schema"]).toMatch(
      /^https:\/\/docs\.oasis-open\.org\/.*sarif-schema-2\.1\.0\.json$/,
    );
    const runs = asList(log["runs"]);
    expect(runs).toHaveLength(1);
    const [first = {}] = runs;
    // §3.14, §3.18, §3.19: a run has a tool, that a driver, and that a name.
    const driver = asObject(asObject(first["tool"])["driver"]);
    expect(driver["name"]).toBe("p11seal");
    // §3.49: a reporting descriptor has an id, a string of its own.
    const rules = asList(driver["rules"]);
    expect(rules.map(({ id }) => id)).toEqual(FINDING_KINDS);
    for (const rule of rules) {
      expect(asObject(rule["shortDescription"])["text"]).toMatch(/./);
      expect(asObject(rule["help"])["text"]).toMatch(/./);
      // §3.50.3
      expect(["none", "note", "warning", "error"]).toContain(
        asObject(rule["defaultConfiguration"])["level"],
      );
    }
    // §3.27: a result has a message; ruleIndex points at the rule of that id.
    const results = asList(first["results"]);
    expect(results.length).toBeGreaterThan(ODD.length);
    for (const result of results) {
      expect(asObject(result["message"])["text"]).toMatch(/./);
      expect(rules[result["ruleIndex"] as number]?.["id"]).toBe(result["ruleId"]);
      expect(["note", "warning", "error"]).toContain(result["level"]);
      const [location = {}] = asList(result["locations"]);
      const { artifactLocation } = asObject(location["physicalLocation"]);
      // §3.4.3: a URI reference, RFC 3986.
      expect(asObject(artifactLocation)["uri"]).toMatch(
        /^(?:[\w\-.~!$&'()*+,;=:@/]|%[\dA-F]{2})+$/,
      );
    }
    // §3.20.14: required of an invocation.
    expect(asList(first["invocations"])).toEqual([{ executionSuccessful: false }]);
  });

  it("is a log without results where nothing was found", async () => {
    const log = await sarif("--ignore", "unsigned", "--ignore", "not-governed", "clean.p11s");
    const [first = {}] = asList(log["runs"]);
    expect(first["results"]).toEqual([]);
    expect(first["invocations"]).toEqual([{ executionSuccessful: true }]);
  });

  it.each([
    ["a b/ü#1?.p11s", "a%20b/%C3%BC%231%3F.p11s"],
    ["/srv/100%/x", "file:///srv/100%25/x"],
    ["a:b", "a%3Ab"],
    ["../x\ny", "../x%0Ay"],
  ])("makes of the path %j the URI %s, which leads back to it", (path, uri) => {
    expect(fileUri(path)).toBe(uri);
    const led = decodeURIComponent(new URL(uri, "file:///base/dir/").pathname);
    expect(led).toBe(resolve("/base/dir", path));
  });

  it("takes no name for a placeholder or a link", async () => {
    const { message } = asList((await sarif("[x](http:y) {0}"))["runs"]).flatMap((one) =>
      asList(one["results"]),
    )[0] as { message: { text: string } };
    expect(message.text).toContain('"\\[x\\](http:y) {{0}}"');
  });
});

describe("JUnit", () => {
  async function junit(...argv: string[]): Promise<string> {
    return (await cli("audit", "--format", "junit", ...argv)).stdout.toString("utf8");
  }

  it("has a test for each message, with all that was found in it", async () => {
    const text = await junit("--tree", "tree", "missing");
    const numbers = `tests="${ODD.length + 1}" failures="${ODD.length}" errors="1"`;
    expect(text.split("\n").slice(0, 3)).toEqual([
      '<?xml version="1.0" encoding="UTF-8"?>',
      `<testsuites ${numbers}>`,
      `  <testsuite name="p11seal audit" ${numbers} skipped="0">`,
    ]);
    expect(text.match(/<testcase /g)).toHaveLength(ODD.length + 1);
    expect(text.match(/<failure /g)).toHaveLength(ODD.length);
    expect(text).toContain("warning: not signed [unsigned]\n");
    expect(text).toContain('<error type="unreadable"');
    expect(parsesAsXml(text)).toBe(true);
  });

  it("shows each odd name, and nothing of it as markup", async () => {
    const text = await junit("--tree", "tree");
    expect(text).toContain('classname="tree" name="a b&#38;c&#60;d&#62;&#34;e&#39;.p11s"');
    expect(text).toContain('name="line\\nbreak.p11s"');
    expect(text).toContain('name="\\u{202e}gnp.p11s"');
  });

  it("has a test that passes where nothing was found", async () => {
    const text = await junit("--ignore", "unsigned", "--ignore", "not-governed", "clean.p11s");
    expect(text).toContain('    <testcase classname="." name="clean.p11s"/>\n');
    expect(text).toContain('tests="1" failures="0" errors="0"');
  });

  it("leaves out every character that XML 1.0 has no place for", () => {
    for (let code = 0; code <= 0xffff; code++) {
      // §2.2, Char; and U+FFFE, U+FFFF and halves of pairs are none.
      expect(xml(String.fromCharCode(code))).toMatch(/^[\t\n\r\u0020-\ud7ff\ue000-\ufffd]+$/);
    }
    expect(xml("a\u{1f512}&#0;")).toBe("a\u{1f512}&#38;#0;");
  });
});

describe("kinds of findings", () => {
  it("are all in docs/cli.md, with what is wrong, and no others", () => {
    const page = readFileSync(new URL("../../../../docs/cli.md", import.meta.url), "utf8");
    const [, section = ""] = /^## p11seal audit\n([^]*?)^## /m.exec(page) ?? [];
    const listed = [
      ...section.matchAll(/^\| `([a-z-]+)` +\| (fault|warning|note) +\| (.*?) +\|$/gm),
    ];
    expect(listed.map(([, ...cells]) => cells)).toEqual(
      FINDING_KINDS.map((kind) => {
        const { severity, title } = FINDING_RULES[kind];
        return [kind, severity, title];
      }),
    );
  });

  it("have a name for --ignore, a severity, and advice", () => {
    for (const kind of FINDING_KINDS) {
      expect(kind).toMatch(/^[a-z]+(?:-[a-z]+)*$/);
      const { severity, title, remedy } = FINDING_RULES[kind];
      expect(["fault", "warning", "note"]).toContain(severity);
      expect(title).toMatch(/^[^A-Z]/);
      expect(remedy).toMatch(/./);
    }
  });
});

/** Tags that close each other, attributes in quotes, and references of known form: no more. */
function parsesAsXml(text: string): boolean {
  const open: string[] = [];
  const rest = text
    .replace(/^<\?xml [^?]*\?>\n/, "")
    .replace(/<(\/?)([a-z]+)((?: [a-z]+="[^"<]*")*)(\/?)>/g, (_all, end, name, _more, alone) => {
      if (end === "/") return open.pop() === name ? "" : "<";
      if (alone !== "/") open.push(String(name));
      return "";
    });
  return open.length === 0 && !/[<>]/.test(rest) && !/&(?!#[0-9]+;)/.test(text);
}
