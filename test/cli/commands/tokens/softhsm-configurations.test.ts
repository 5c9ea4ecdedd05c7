/** SoftHSM reads one configuration. Tokens of another are named wherever they may be missed. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { temporaryFolder, writeKeys } from "../../support/folder.js";
import { p11seal, type Ended } from "../../support/spawn.js";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const usual = at("user/.config/softhsm2/softhsm2.conf");
const own = at("data/softhsm/softhsm2.conf");

/** Both ways to SoftHSM, with a home whose own configuration has a token. */
const env = {
  HOME: at("user"),
  P11SEAL_HOME: at("data"),
  P11SEAL_MODULE: process.env["TEST_SOFTHSM2_MODULE"],
  P11SEAL_SOFTHSM2: process.env["TEST_SOFTHSM2_MODULE"],
  SOFTHSM2_CONF: undefined,
  P11SEAL_PIN_SOURCE: "env:PIN",
  P11SEAL_SO_PIN_SOURCE: "env:PIN",
  PIN: "correct-7291",
};
const cli = (argv: string[], more: Record<string, string> = {}): Promise<Ended> =>
  p11seal(argv, { cwd: folder, env: { ...env, ...more } });
const init = (label: string): string[] => ["token", "init", "--label", label];

/** What is said, and what helps. */
const USUAL = new RegExp(`tokens of "${usual}" are not looked at.*set SOFTHSM2_CONF=${usual}`);
const OWN = new RegExp(`tokens of "${own}" are not looked at.*unset SOFTHSM2_CONF`);

beforeAll(async () => {
  for (const name of ["user/.config/softhsm2", "mine"]) mkdirSync(at(name), { recursive: true });
  writeFileSync(usual, `directories.tokendir = ${at("mine")}\n`);
  writeKeys(folder);
  writeFileSync(at("note"), "meet at noon\n");
  await cli(["seal", "-r", "alice.pem", "-o", "sealed.p11s", "note"]);
});

describe("with two configurations of SoftHSM", () => {
  it("says nothing while the other one has no token", async () => {
    const first = await cli(init("first"));
    expect(first).toMatchObject({ status: 0 });
    expect(first.stderr).not.toContain(usual);
    expect((await cli(["tokens"])).stderr).not.toContain(usual);
  });

  it("token init and tokens name the tokens that are not looked at", async () => {
    expect(await cli(init("mine"), { SOFTHSM2_CONF: usual })).toMatchObject({ status: 0 });
    const second = await cli(init("second"));
    expect(second).toMatchObject({ status: 0 });
    expect(second.stderr).toMatch(USUAL);
    const tokens = await cli(["tokens"]);
    expect(tokens.stdout.toString("utf8")).not.toContain("token=mine");
    expect(tokens.stderr).toMatch(USUAL);
  });

  it("does so too of development tokens that SOFTHSM2_CONF hides", async () => {
    const tokens = await cli(["tokens"], { SOFTHSM2_CONF: usual });
    expect(tokens.stdout.toString("utf8")).toContain("token=mine");
    expect(tokens.stderr).toMatch(OWN);
  });

  it("doctor names them, in text and in JSON", async () => {
    const text = (await cli(["doctor"])).stdout.toString("utf8").replaceAll(/\n\s*/g, " ");
    expect(text).toMatch(USUAL);
    const data = JSON.parse((await cli(["doctor", "--json"])).stdout.toString("utf8")) as {
      modules: { overlooked?: { code: string } }[];
    };
    expect(data.modules[0]?.overlooked?.code).toBe("ERR_SOFTHSM_CONFIGURATION");
  });

  it.each([
    ["keys export", ["keys", "export", "pkcs11:token=mine;object=k", "-o", "k.pem"]],
    ["keys list", ["keys", "list", "pkcs11:token=mine"]],
    ["seal -r", ["seal", "-r", "pkcs11:object=k", "-o", "x.p11s", "note"]],
    ["open", ["open", "-o", "opened", "sealed.p11s"]],
  ])("%s names them where a key is not found", async (_how, argv) => {
    const { stderr } = await cli(argv);
    expect(stderr.replaceAll(/\n\s*/g, " ")).toMatch(USUAL);
  });

  it("says nothing where both keep their tokens in one folder", async () => {
    writeFileSync(usual, `directories.tokendir = ${at("data/softhsm/tokens")}/\n`);
    expect((await cli(["tokens"])).stderr).not.toContain(usual);
  });
});
