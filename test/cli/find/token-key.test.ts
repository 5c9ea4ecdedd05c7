/** Public keys given as the URI of a token instead of a file. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import type { MessageInfo } from "../../../src/index.js";
import { ageDoubtIn, doubtOf } from "../../../src/cli/find/token-key.js";
import { type Plan, planFor } from "../../../src/token/use/plan.js";
import type { Quirk } from "../../../src/token/use/quirks.js";
import type { KeyInfo } from "../../../src/token/values.js";
import { freshToken, type TestToken, USER_PIN } from "../../support/softhsm.js";
import { temporaryFolder } from "../support/folder.js";
import { run, type Outcome } from "../support/run.js";

const folder = temporaryFolder();
const home = join(folder, "home");
let token: TestToken;
const uri = (label: string): string => `${token.uri};object=${label}`;

/** Without `pin` nobody gets a PIN: there is no terminal. */
function cli(
  argv: readonly string[],
  { pin = false, at = home }: { pin?: boolean; at?: string } = {},
): Promise<Outcome> {
  return run(argv, {
    env: {
      P11SEAL_HOME: at,
      P11SEAL_MODULE: process.env["TEST_SOFTHSM2_MODULE"],
      SOFTHSM2_CONF: process.env["SOFTHSM2_CONF"],
      ...(pin ? { P11SEAL_PIN_SOURCE: "env:PIN", PIN: USER_PIN } : {}),
    },
  });
}

async function ok(argv: readonly string[], options?: { pin: boolean }): Promise<Outcome> {
  const ended = await cli(argv, options);
  expect({ argv, status: ended.status, stderr: ended.stderr }).toMatchObject({ argv, status: 0 });
  return ended;
}

async function data(argv: readonly string[]): Promise<unknown> {
  return JSON.parse((await ok([...argv, "--json"])).stdout.toString("utf8"));
}

beforeAll(async () => {
  mkdirSync(home, { mode: 0o700 });
  process.chdir(folder);
  writeFileSync("note", "meet at noon\n");
  token = await freshToken("token-key");
  for (const [label, type, use] of [
    ["exchange", "rsa:2048", "exchange"],
    ["sign", "ec:p256", "sign"],
  ] as const) {
    const argv = ["--token", token.uri, "--label", label, "--type", type, "--use", use];
    await ok(["keys", "generate", ...argv, "-o", `${label}.pem`], { pin: true });
  }
});

describe("a key named by its URI", () => {
  it("is a sender, and a receipt's signer, as its file is", async () => {
    const given = `${uri("sign")}?pin-source=env:PIN`;
    await ok(["senders", "add", "alice", given]);
    const shown = await data(["senders", "show", "alice"]);
    expect(shown).toMatchObject({ name: "alice", kind: "P-256", source: uri("sign") });
    // The same key may be given as a file too.
    await ok(["senders", "add", "alice", "sign.pem"]);

    const signed = ["--sign-with", uri("sign"), "--force", "-o", "signed.p11s", "note"];
    await ok(["seal", "-r", "exchange.pem", ...signed], { pin: true });
    const open = ["open", "-i", uri("exchange"), "--from", "alice"];
    const receipt = ["--receipt", "note.receipt", "--receipt-key", uri("sign")];
    const opened = await ok([...open, ...receipt, "-o", "opened", "signed.p11s"], { pin: true });
    expect(opened.stderr).toContain("alice");
    const verified = await data(["receipt", "verify", "note.receipt", "--key", uri("sign")]);
    expect(verified).toMatchObject({ receiver: { name: "alice" } });
    const other = ["receipt", "verify", "note.receipt", "--key", uri("exchange")];
    expect((await cli(other)).status).toBe(4);
  });

  it("is a recipient, with what its token can do on record", async () => {
    await ok(["recipients", "add", "bob", uri("exchange")]);
    expect(await data(["recipients", "show", "bob"])).toMatchObject({
      kind: "RSA-2048",
      source: uri("exchange"),
      oaep: "sha1",
    });
    for (const recipient of ["bob", uri("exchange")]) {
      await ok(["seal", "-r", recipient, "--force", "-o", "sealed.p11s", "note"]);
      // Without the record there would be one stanza for each hash.
      const { recipients } = (await data(["inspect", "sealed.p11s"])) as MessageInfo;
      expect(recipients.length).toBe(1);
      const { stdout } = await ok(["open", "-i", uri("exchange"), "sealed.p11s"], { pin: true });
      expect(stdout.toString()).toBe("meet at noon\n");
    }
  });

  it("that the token shows for signatures is a recipient with a warning, and a sender without", async () => {
    const warning = "the token shows it as a key for signatures";
    // Where no sender has it: a sender's key is refused.
    const other = { at: join(folder, "home-without-senders") };
    mkdirSync(other.at, { mode: 0o700 });
    const added = await cli(["recipients", "add", "carol", uri("sign")], other);
    expect(added).toMatchObject({ status: 0 });
    expect(added.stderr).toContain(warning);
    const seal = ["seal", "-r", uri("sign"), "--force", "-o", "no.p11s", "note"];
    const sealed = await cli(seal, other);
    expect(sealed).toMatchObject({ status: 0 });
    expect(sealed.stderr).toContain(warning);
    expect((await ok(["senders", "add", "alice", uri("sign")])).stderr).not.toContain(warning);
  });

  it("that the token shows for exchange is a sender with a note, unlike one for signatures", async () => {
    const other = { at: join(folder, "home-of-notes") };
    mkdirSync(other.at, { mode: 0o700 });
    const note = "the key is recorded for exchange";
    for (const [label, isNoted] of [
      ["exchange", true],
      ["sign", false],
    ] as const) {
      const added = await cli(["senders", "add", label, uri(label)], other);
      expect(added).toMatchObject({ status: 0 });
      expect(added.stderr.includes(note)).toBe(isNoted);
    }
  });

  it.each([
    ["that is not there", "none", 5],
    ["that is for exchange alone, for a sender", "x25519", 1],
  ])("%s is refused, and nothing is kept", async (_what, label, status) => {
    if (label === "x25519") {
      const argv = ["--token", token.uri, "--label", label, "--type", "x25519"];
      await ok(["keys", "generate", ...argv], { pin: true });
    }
    const at = join(folder, "none");
    expect((await cli(["senders", "add", "dave", uri(label)], { at })).status).toBe(status);
    expect(existsSync(at)).toBe(false);
  });
});

describe("what a key is for", () => {
  it.each(["exchange", "sign"])("is recorded with one for %s", async (label) => {
    for (const form of ["pem", "ssh", "jwk"]) {
      const exported = await ok(["keys", "export", uri(label), "--format", form]);
      const text = exported.stdout.toString("utf8");
      const record = {
        pem: `p11seal-use: ${label}\n`,
        ssh: `p11seal-use=${label}`,
        jwk: `"use":"${label === "sign" ? "sig" : "enc"}"`,
      }[form];
      expect(text).toContain(record);
    }
  });

  it("keeps a signing key's file from being sealed to", async () => {
    const { status, stderr } = await cli(["seal", "-r", "sign.pem", "note"]);
    expect({ status, stderr }).toMatchObject({ status: 6 });
    expect((await cli(["seal", "-r", "exchange.pem", "note"])).status).toBe(0);
  });
});

describe("a key that its token can't open with", () => {
  const key = {
    token: { label: "tpm" },
    uses: ["exchange"],
    publicKey: { type: "ec" },
  } as unknown as KeyInfo;
  const step = (standing: string) => ({ standing, reason: "the token has no CKM_ECDH1_DERIVE" });

  it.each([
    ["nothing is said of if a way is offered", ["offered", "left out"], undefined],
    ["is said to be so if none is", ["left out"], /^token "tpm" cannot open .*CKM_ECDH1_DERIVE$/],
    ["is in doubt if a way might do", ["doubted", "left out"], /"tpm" can open .* is not certain/],
  ])("%s", (_what, standings, expected) => {
    const doubt = doubtOf(key, { steps: standings.map(step) } as unknown as Plan);
    if (expected === undefined) expect(doubt).toBeUndefined();
    else expect(doubt).toMatch(expected);
  });
});

describe("a key that may not open what age seals", () => {
  const mechanisms = { RSA_PKCS_OAEP: 0x40000 | 0x200 };
  const situation = { key: "pkcs11:", type: "rsa", mechanisms, seen: "private key" } as const;
  const attributes = { UNWRAP: true, DECRYPT: false };
  const oaep = { hash: "sha256", label: new Uint8Array(1) } as const;
  const quirk = (effect: Quirk["effect"]): Quirk[] => [
    { name: "old", fact: "the token is old", source: "a test", effect },
  ];

  it.each<[string, Quirk["effect"], RegExp | undefined]>([
    ["is not in doubt where token and key may", {}, undefined],
    ["cannot where the token takes no label", { oaepLabels: false }, /no OAEP label/],
    // The first way of all is another hash's, and offered.
    ["is in doubt where the token may lack age's hash", { oaep: ["sha1"] }, /the token is old/],
  ])("%s", (_what, effect, expected) => {
    const plan = planFor("open", { ...situation, attributes, quirks: quirk(effect) }, oaep);
    const doubt = ageDoubtIn(plan);
    if (expected === undefined) expect(doubt).toBeUndefined();
    else expect(doubt).toMatch(expected);
  });
});
