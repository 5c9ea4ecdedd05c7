/**
 * p11seal on every kind of token that a profile stands for. The table in docs/tokens.md is what
 * this finds: `PROFILE_TABLE=write npm test -- test/testing/profiles.test.ts` writes it.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { aligned } from "../../scripts/lib/token-table.mjs";
import { PROFILE_NAMES, testToken, type TestToken } from "../../src/testing/index.js";
import type { ProfileName } from "../../src/testing/profiles.js";
import { temporaryFolder } from "../cli/support/folder.js";
import { run } from "../cli/support/run.js";

const PAGE = join(import.meta.dirname, "..", "..", "docs", "tokens.md");
const BEGIN = "<!-- made by test/testing/profiles.test.ts: begin -->";
const END = "<!-- made by test/testing/profiles.test.ts: end -->";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);

/** SoftHSM undoes OAEP with no other hash, and a profile adds none. */
const SHA1 = { rsa: ["--oaep", "sha1"], ec: [] } as const;

interface Row {
  readonly title: string;
  readonly argv: (hsm: TestToken, profile: string) => string[];
}

const keyRows = (key: "rsa" | "ec", kind: string): Row[] => [
  {
    title: `\`open\`, sealed to a key in a file, ${kind}`,
    argv: (_, profile) => ["open", "-o", at(`${profile}-${key}`), at(`${key}.p11s`)],
  },
  {
    title: `\`open -i URI\`, ${kind}`,
    argv: (hsm, profile) => [
      ...["open", "-i", hsm.keyUri(key), "-o", at(`${profile}-${key}-i`), at(`${key}.p11s`)],
    ],
  },
  {
    title: `\`seal -r URI\`, ${kind}`,
    argv: (hsm, profile) => [
      ...["seal", "-r", hsm.keyUri(key), ...SHA1[key]],
      ...["-o", at(`${profile}-${key}.p11s`), at("message")],
    ],
  },
  {
    title: `\`open\` of what was sealed with \`-r URI\`, ${kind}`,
    argv: (hsm, profile) => [
      ...["open", "-i", hsm.keyUri(key), "-o", at(`${profile}-${key}-2`)],
      at(`${profile}-${key}.p11s`),
    ],
  },
  {
    title: `\`keys generate\`, ${kind}`,
    argv: (hsm) => [
      ...["keys", "generate", "--token", hsm.uri, "--label", `new-${key}`],
      ...["--type", key === "rsa" ? "rsa:2048" : "ec:p256"],
    ],
  },
  { title: `\`keys export URI\`, ${kind}`, argv: (hsm) => ["keys", "export", hsm.keyUri(key)] },
];

const ROWS: readonly Row[] = [
  ...keyRows("rsa", "RSA-2048"),
  ...keyRows("ec", "P-256"),
  { title: "`keys audit`", argv: (hsm) => ["keys", "audit", hsm.uri] },
  { title: "`doctor`", argv: () => ["doctor"] },
];

/** What the command says where it does not work; undefined where it does. */
const found = new Map<ProfileName, (string | undefined)[]>();

beforeAll(async () => {
  writeFileSync(at("message"), "the message");
  // Copies of one template have one key, so one message is for all of them.
  await using hsm = await testToken(OPTIONS);
  for (const key of ["rsa", "ec"] as const) {
    writeFileSync(at(`${key}.pem`), hsm.pem(key));
    const argv = [
      "seal",
      ...SHA1[key],
      "-r",
      at(`${key}.pem`),
      "-o",
      at(`${key}.p11s`),
      at("message"),
    ];
    expect((await run(argv)).status).toBe(0);
  }
});

const OPTIONS = {
  label: "profile",
  keys: {
    rsa: { type: "rsa:2048", uses: ["decrypt", "unwrap"] },
    ec: { type: "ec:p256", uses: ["derive"] },
  },
} as const;

describe.each(PROFILE_NAMES)("on a token of the profile %s", (profile) => {
  let hsm: TestToken;

  beforeAll(async () => {
    hsm = await testToken({ ...OPTIONS, profile });
  });

  afterAll(() => hsm.close());

  it("every command works, or says why not", async () => {
    const env = { PATH: process.env["PATH"], ...hsm.env };
    const cells: (string | undefined)[] = [];
    for (const { argv } of ROWS) {
      const { status, stderr } = await run(argv(hsm, profile), { env });
      const [fact = ""] = stderr.split("\n").filter((line) => line.startsWith("p11seal: "));
      expect(stderr).not.toMatch(/internal error|TypeError|bug in p11seal/);
      expect(stderr).not.toContain(hsm.pin);
      if (status !== 0) expect(fact).not.toBe("");
      cells.push(status === 0 ? undefined : fact.slice("p11seal: ".length));
    }
    found.set(profile, cells);
  });
});

it("docs/tokens.md has this table", () => {
  const page = readFileSync(PAGE, "utf8");
  const [begin, end] = [page.indexOf(BEGIN) + BEGIN.length, page.indexOf(END)];
  expect(end).toBeGreaterThan(begin);
  const table = tableOf(found);
  if (process.env["PROFILE_TABLE"] === "write") {
    writeFileSync(PAGE, `${page.slice(0, begin)}\n\n${table}\n\n${page.slice(end)}`);
    return;
  }
  expect(page.slice(begin, end).trim()).toBe(table);
});

function tableOf(cells: ReadonlyMap<ProfileName, readonly (string | undefined)[]>): string {
  const notes: string[] = [];
  const cell = (fact: string | undefined): string => {
    if (fact === undefined) return "yes";
    if (!notes.includes(fact)) notes.push(fact);
    return `no [${notes.indexOf(fact) + 1}]`;
  };
  const rows = ROWS.map(({ title }, i) => [
    ...[title, ...PROFILE_NAMES.map((profile) => cell(cells.get(profile)?.[i]))],
  ]);
  const table = aligned([["", ...PROFILE_NAMES], ...rows]);
  return [table, "", ...notes.map((fact, i) => `${i + 1}. ${fact}`)].join("\n");
}
