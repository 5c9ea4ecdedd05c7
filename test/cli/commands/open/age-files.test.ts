/** age files on the command line: with a token, and with a passphrase. */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { sealMessage } from "../../../../src/envelope/messages.js";
import { formatAgeRecipient, parseAgeRecipient } from "../../../../src/keys/formats/age-keys.js";
import { parsePublicKey, requireRecipient } from "../../../../src/keys/formats/key-file.js";
import type { ExchangePublicKey } from "../../../../src/keys/key.js";
import { recipientOf } from "../../../support/identities.js";
import { TEST_KEYS } from "../../../support/keys.js";
import {
  freshToken,
  importKey,
  SOFTHSM_MODULE,
  type TestToken,
  USER_PIN,
} from "../../../support/softhsm.js";
import { Encrypter } from "../../../support/typage.js";
import { temporaryFolder } from "../../support/folder.js";
import { run, type RunOptions } from "../../support/run.js";
import { p11seal } from "../../support/spawn.js";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
let token: TestToken;
let x25519: ExchangePublicKey;

async function seal(name: string, ...keys: readonly ExchangePublicKey[]): Promise<void> {
  const recipients = keys.map((publicKey) => ({ publicKey }));
  const message = await sealMessage(Buffer.from(`message ${name}\n`), {
    recipients,
    format: "age",
  });
  writeFileSync(at(`${name}.age`), await message.stream().bytes());
}

const open = (argv: readonly string[], env: NodeJS.ProcessEnv = {}) =>
  p11seal(["open", "--pin-source", "env:PIN", ...argv], {
    cwd: folder,
    env: { PIN: USER_PIN, P11SEAL_MODULE: SOFTHSM_MODULE, ...env },
  });

beforeAll(async () => {
  token = await freshToken("age files");
  const env = { PIN: USER_PIN, P11SEAL_MODULE: SOFTHSM_MODULE };
  const generate = ["keys", "generate", "--token", token.uri, "--label", "montgomery"];
  const made = await p11seal([...generate, "--type", "x25519", "--pin-source", "env:PIN"], { env });
  expect(made).toMatchObject({ status: 0 });
  const exported = await p11seal(
    ["keys", "export", `${token.uri};object=montgomery`, "-o", at("x25519.pem")],
    { env },
  );
  expect(exported).toMatchObject({ status: 0 });
  x25519 = requireRecipient(parsePublicKey(readFileSync(at("x25519.pem")), "x25519.pem"));
  const half = (id: number, label: string) => ({ label, id: Uint8Array.of(id) });
  await importKey(token, TEST_KEYS.p256, { ...half(1, "curve"), privateHalf: { DERIVE: true } });
  await importKey(token, TEST_KEYS.rsa2048, {
    ...half(2, "unwrap"),
    privateHalf: { UNWRAP: true, DECRYPT: false },
  });
  await importKey(token, TEST_KEYS.rsa3072, {
    ...half(3, "decrypt"),
    privateHalf: { DECRYPT: true },
  });
  await seal("p256", recipientOf("p256").publicKey);
  await seal("x25519", x25519);
  await seal("both", x25519, recipientOf("p256").publicKey);
  await seal("unwrap", recipientOf("rsa2048").publicKey);
  await seal("decrypt", recipientOf("rsa3072").publicKey);
});

describe("an age file, with a token", () => {
  it.each(["p256", "both", "decrypt"])("%s opens with a key that is found", async (name) => {
    const { status, stdout, stderr } = await open(["-o", "-", `${name}.age`]);
    expect([status, stdout.toString(), stderr]).toEqual([
      0,
      `message ${name}\n`,
      expect.any(String),
    ]);
  });

  it("to an RSA key that can only unwrap is refused, with the reason", async () => {
    // On this token: another test's may have the same key, with more that it may do.
    const { status, stderr } = await open(["-i", token.uri, "-o", "-", "unwrap.age"]);
    expect([status, stderr.includes("sha256 with a label")]).toEqual([6, true]);
  });

  it("that names no key is tried only with a key that -i names", async () => {
    const found = await open(["-o", "-", "x25519.age"]);
    expect(found.status).toBe(3);
    expect(found.stderr).toContain("name the key to try with -i");
    const named = await open(["-i", `${token.uri};object=montgomery`, "-o", "-", "x25519.age"]);
    expect([named.status, named.stdout.toString()]).toEqual([0, "message x25519\n"]);
  });

  it("to a hybrid key opens with the file of its seed, and not without", async () => {
    const env = { PIN: USER_PIN, P11SEAL_MODULE: SOFTHSM_MODULE };
    const made = await p11seal(
      [
        ...["keys", "generate", "--token", token.uri, "--label", "pq", "--type", "mlkem768-p256"],
        ...["--seed-file", at("pq.seed"), "-o", at("pq.pem"), "--pin-source", "env:PIN"],
      ],
      { env },
    );
    expect(made).toMatchObject({ status: 0 });
    const key = requireRecipient(parsePublicKey(readFileSync(at("pq.pem")), "pq.pem"));
    await seal("tagpq", key);
    // The same key as age writes it.
    await seal("tagpq-again", parseAgeRecipient(formatAgeRecipient(key)) as ExchangePublicKey);
    for (const name of ["tagpq", "tagpq-again"]) {
      const { status, stdout } = await open(["-i", "pq.seed", "-o", "-", `${name}.age`]);
      expect([status, stdout.toString()]).toEqual([0, `message ${name}\n`]);
    }
    expect((await open(["-o", "-", "tagpq.age"])).status).toBe(3);
  });

  it("and others open side by side, with one login", async () => {
    mkdirSync(at("many"));
    mkdirSync(at("opened"));
    const names = Array.from({ length: 20 }, (_, n) => join("many", `${n}.p11s`));
    for (const name of names) copyFileSync(at("p256.age"), at(name));
    const { status, stderr } = await open(["-i", token.uri, "-o", "opened/", ...names]);
    expect([status, stderr]).toEqual([0, expect.any(String)]);
    const opened = readdirSync(at("opened")).map((name) =>
      readFileSync(at(`opened/${name}`), "utf8"),
    );
    expect(opened).toEqual(names.map(() => "message p256\n"));
  });

  it("a policy about senders refuses it before the token is asked", async () => {
    const { status, stderr } = await open(["--from", "zoe", "-o", "-", "p256.age"], { PIN: "0" });
    expect([status, /CKR_PIN|PIN/.test(stderr)]).toEqual([6, false]);
  });
});

describe("an age file with a passphrase", () => {
  beforeAll(async () => {
    const encrypter = new Encrypter();
    encrypter.setPassphrase("correct horse");
    encrypter.setScryptWorkFactor(10);
    writeFileSync(at("secret.age"), await encrypter.encrypt(Buffer.from("hidden\n")));
  });

  const opening = (options: RunOptions) =>
    run(["open", "-i", at("bob.txt"), "-o", "-", at("secret.age")], options);
  beforeAll(() => {
    const secret = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    writeFileSync(at("bob.txt"), `${secret}\n`, { mode: 0o600 });
  });

  it("may open, says doctor: it is no matter of keys", async () => {
    const { status, stdout } = await run(["doctor", at("secret.age")]);
    expect([status, stdout.toString()]).toEqual([
      0,
      expect.stringMatching(/may open\n +way: open asks for the passphrase at the terminal\n$/),
    ]);
    const { stdout: data } = await run(["doctor", "--json", at("secret.age")]);
    expect(JSON.parse(data.toString())).toMatchObject({ opens: null, exit: 0, cause: null });
  });

  it("opens after one question, whose answer does not show", async () => {
    const { status, stdout, asked } = await opening({ answers: ["correct horse"] });
    expect([status, stdout.toString()]).toEqual([0, "hidden\n"]);
    expect(asked).toEqual([{ prompt: `passphrase for ${at("secret.age")}:`, silent: true }]);
  });

  it("with a wrong one is refused, and asks no second time", async () => {
    const { status, stdout, stderr, asked } = await opening({
      answers: ["wrong", "correct horse"],
    });
    expect([status, stdout.length, asked.length]).toEqual([4, 0, 1]);
    expect(stderr).toContain("passphrase");
    expect(stderr).not.toContain("wrong\n");
  });

  it("without a terminal is refused", async () => {
    const { status, stderr } = await opening({});
    expect([status, stderr.includes("no terminal to ask at")]).toEqual([3, true]);
  });
});
