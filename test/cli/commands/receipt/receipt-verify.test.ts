/**
 * `p11seal receipt verify`: a receipt proves something only about the signer that was asked for.
 */
import { createPrivateKey } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { publicKeyFromSpki } from "../../../../src/keys/public-key.js";
import type { SigningPublicKey } from "../../../../src/keys/key.js";
import { signInMemory } from "../../../../src/keys/signing.js";
import { makeReceipt, type ReceiptStatement } from "../../../../src/records/audit/receipt.js";
import { hex } from "../../../records/support/messages.js";
import { publicDer, publicPem, TEST_KEYS, type TestKeyName } from "../../../support/keys.js";
import { temporaryFolder } from "../../support/folder.js";
import { run, type Outcome, type RunOptions } from "../../support/run.js";

const folder = temporaryFolder();
const home = join(folder, "home");

const statement: ReceiptStatement = {
  messageId: hex("message", 32),
  sender: hex("alice", 64),
  streamId: hex("stream", 32),
  serial: 7,
  createdMs: Date.now() - 60_000,
  receivedMs: Date.now() - 1000,
  sealedSha256: hex("sealed", 64),
};

async function receiptOf(name: TestKeyName): Promise<Uint8Array> {
  const publicKey = publicKeyFromSpki(publicDer(TEST_KEYS[name])) as SigningPublicKey;
  const privateKey = createPrivateKey(TEST_KEYS[name]);
  const sign = (message: Uint8Array): Promise<Uint8Array> =>
    Promise.resolve(signInMemory(publicKey, privateKey, message));
  return makeReceipt(statement, publicKey, { publicKey, sign });
}

function p11seal(argv: string, options: RunOptions = {}): Promise<Outcome> {
  return run(argv.split(" "), { env: { P11SEAL_HOME: home }, ...options });
}

const codeOf = ({ stderr }: Outcome): string =>
  (JSON.parse(stderr) as { error: { code: string } }).error.code;

beforeAll(async () => {
  process.chdir(folder);
  for (const name of ["p256", "p384", "ed25519", "x25519"] as const) {
    writeFileSync(`${name}.pem`, publicPem(TEST_KEYS[name]));
  }
  for (const name of ["p256", "p384", "ed25519"] as const) {
    writeFileSync(`${name}.receipt`, await receiptOf(name));
  }
  const text = Buffer.from(await receiptOf("p256")).toString("utf8");
  writeFileSync("forged.receipt", text.replace('"serial":7', '"serial":8'));
  await p11seal("senders add bob p256.pem");
  await p11seal("senders add old p384.pem --not-after 2020-01-01");
});

describe("a receipt", () => {
  it.each(["", " --by bob", " --by BOB", " --key p256.pem"])(
    "of a receiver who is known holds with%s",
    async (options) => {
      const { status, stdout } = await p11seal(`receipt verify p256.receipt${options} --json`);
      expect(status).toBe(0);
      expect(JSON.parse(stdout.toString("utf8"))).toMatchObject({
        receiver: { name: "bob" },
        sender: { name: null, fingerprint: `SHA256:${statement.sender}` },
        messageId: statement.messageId,
        serial: 7,
        sealedSha256: statement.sealedSha256,
      });
    },
  );

  it("checked with a key names nobody whose key is no longer valid", async () => {
    const argv = "receipt verify p384.receipt --key p384.pem";
    const { stdout } = await p11seal(`${argv} --json`);
    expect(JSON.parse(stdout.toString("utf8"))).toMatchObject({
      receiver: { name: null, limit: expect.stringContaining('"old" was valid until') as unknown },
    });
    const text = (await p11seal(argv)).stdout.toString("utf8");
    expect(text).toMatch(/^received by +the key of "old" was valid until 2020-01-01/m);
  });

  it("says in words what was received, and by whom", async () => {
    const text = (await p11seal("receipt verify p256.receipt")).stdout.toString("utf8");
    expect(text).toMatch(/^received by +bob, SHA256:/m);
    expect(text).toContain(statement.messageId);
    expect(text).toContain(statement.sealedSha256);
  });

  it("can come from stdin", async () => {
    const stdin = Buffer.from(await receiptOf("p256"));
    expect((await p11seal("receipt verify -", { stdin })).status).toBe(0);
  });

  it.each([
    ["that was altered", "forged.receipt --by bob", 4, "ERR_RECEIPT_SIGNATURE"],
    ["of somebody else, asked for by name", "p384.receipt --by bob", 4, "ERR_RECEIPT_RECEIVER"],
    [
      "of somebody else, asked for by key",
      "p384.receipt --key p256.pem",
      4,
      "ERR_RECEIPT_RECEIVER",
    ],
    ["of somebody nobody knows", "ed25519.receipt", 6, "ERR_SENDER_UNKNOWN"],
    ["signed with a key that is over", "p384.receipt", 6, "ERR_SENDER_EXPIRED"],
    [
      "signed with the named one's key that is over",
      "p384.receipt --by old",
      6,
      "ERR_SENDER_EXPIRED",
    ],
    ["that is none", "p256.pem", 1, "ERR_RECEIPT"],
    ["that is missing", "nowhere", 1, "ERR_READ"],
    ["of a name nobody has", "p256.receipt --by zoe", 2, "ERR_NAME_UNKNOWN"],
    ["of both a key and a name", "p256.receipt --by bob --key p256.pem", 2, "ERR_USAGE"],
    ["of a key that can't sign", "p256.receipt --key x25519.pem", 1, "ERR_SIGNING_KEY"],
    ["and its key both from stdin", "- --key -", 2, "ERR_USAGE"],
    ["and a second one", "p256.receipt -- p384.receipt", 2, "ERR_USAGE"],
  ])("%s is refused", async (_what, argv, status, code) => {
    const [file = "", ...rest] = argv.split(" ");
    const outcome = await p11seal(["receipt verify --json", file, ...rest].join(" "));
    expect({ status: outcome.status, code: codeOf(outcome) }).toEqual({ status, code });
    expect(outcome.stdout.toString("utf8")).toBe("");
  });
});
