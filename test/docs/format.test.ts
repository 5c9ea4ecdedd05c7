/**
 * docs/format.md compared with the library: the worked message, the tables, and messages exchanged
 * with a reader and a writer made from the page alone.
 */
import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "@jest/globals";
import { MAX_CORE_BYTES, MAX_RECIPIENTS } from "../../src/envelope/native/core.js";
import { MAX_SEG_LOG2, MIN_SEG_LOG2 } from "../../src/envelope/native/header.js";
import { MAX_RECIPS_BYTES } from "../../src/envelope/native/recips.js";
import {
  inspect,
  open,
  seal,
  type PassedOn,
  type Sender,
  type SigningPublicKey,
} from "../../src/index.js";
import { publicKeyFromSpki } from "../../src/keys/public-key.js";
import { requireExchange } from "../../src/keys/recipient-strength.js";
import { signInMemory } from "../../src/keys/signing.js";
import { softwareIdentity } from "../../src/software/software-identity.js";
import { EXCHANGE_KEY_NAMES, publicDer, TEST_KEYS } from "../support/keys.js";
import { sourceFiles } from "./source-files.js";
import * as f from "./formulas.mjs";
import { readMessage } from "./page-reader.js";
import { messageBlock, valuesBlock } from "./worked-message.mjs";
import * as passedOn from "./worked-passed-on.mjs";
import { places } from "../support/scale.js";

const page = readFileSync(new URL("../../docs/format.md", import.meta.url), "utf8");
const worked = page.slice(page.indexOf("## 17. "), page.indexOf("## 18. "));
const [pem, messageText, valuesText, passedOnText, recordText] = [
  ...worked.matchAll(/^```text\n(.*?)^```$/gms),
].map(([, block]) => block as string) as [string, string, string, string, string];

const message = Buffer.concat(
  messageText
    .trimEnd()
    .split("\n")
    .map((line) => Buffer.from(line.slice(5, 37).trim(), "hex")),
);
const values = new Map<string, Buffer>();
for (const line of valuesText.trimEnd().split("\n")) {
  const [, name, hex] = /^(.*?) +([0-9a-f]+)$/.exec(line) as unknown as [string, string, string];
  const last = [...values.keys()].at(-1) ?? "";
  const before = name === "" ? values.get(last) : undefined;
  values.set(name === "" ? last : name, Buffer.concat([before ?? "", hex].map(hexBytes)));
}

function hexBytes(part: Buffer | string): Buffer {
  return typeof part === "string" ? Buffer.from(part, "hex") : part;
}

const openWith = async (sealed: Uint8Array, privateKey: string) => {
  const opened = await open(sealed, { identities: [softwareIdentity(privateKey, "test key")] });
  return Buffer.from(await opened.plaintext.bytes());
};
const recipientOf = (privateKey: string) => ({
  publicKey: requireExchange(publicKeyFromSpki(publicDer(privateKey))),
});

const senderWith = (privateKey: string): Sender => {
  const publicKey = publicKeyFromSpki(publicDer(privateKey)) as SigningPublicKey;
  const key = createPrivateKey(privateKey);
  const sign = (text: Uint8Array) => Promise.resolve(signInMemory(publicKey, key, text));
  const streamId = new Uint8Array(16).fill(5);
  return {
    publicKey,
    key: { publicKey, sign },
    streamId,
    serial: 1000,
    createdMs: 1_800_000_000_000,
  };
};

describe("the worked message of docs/format.md", () => {
  it("is what the page's formulas make", () => {
    expect(messageText).toBe(`${messageBlock()}\n`);
    expect(valuesText).toBe(`${valuesBlock()}\n`);
  });

  it("is opened by the library with the page's key", async () => {
    expect((await openWith(message, pem)).toString()).toBe("hello, token\n");
  });

  it("is opened by a reader made from the page, which meets the page's values on its way", () => {
    const read = readMessage(message, pem);
    expect(read.plaintext.toString()).toBe("hello, token\n");
    const met = [...values].filter(([name]) => name !== "ephemeral private key");
    expect([...read.values].sort()).toEqual(met.sort());
  });

  it("has the sizes that the page says", async () => {
    expect(message).toHaveLength(323);
    expect((await inspect(message)).headerBytes).toBe(204);
  });

  it("is refused by both readers with a bit flipped in any byte, and cut anywhere", async () => {
    for (const at of places(0, message.length, 5)) {
      const flipped = Buffer.from(message);
      flipped[at] = (flipped[at] as number) ^ 1;
      for (const bad of [flipped, message.subarray(0, at)]) {
        await expect(openWith(bad, pem)).rejects.toHaveProperty("code");
        expect(() => readMessage(bad, pem)).toThrow();
      }
    }
  });
});

describe("the message of docs/format.md that was passed on", () => {
  const whole = Buffer.concat(
    passedOnText
      .trimEnd()
      .split("\n")
      .map((line) => {
        const [, zeros, hex = ""] = /^ *\d+ {2}(?:00 × (\d+)|([0-9a-f]+))/.exec(line) ?? [];
        return zeros === undefined ? Buffer.from(hex, "hex") : Buffer.alloc(Number(zeros));
      }),
  );
  const custodian = publicKeyFromSpki(publicDer(passedOn.keyOf("p256-sign"))).fingerprint;

  it("is what the page's formulas make", () => {
    expect(passedOnText).toBe(`${passedOn.messageBlock()}\n`);
    expect(recordText).toBe(`${passedOn.valuesBlock()}\n`);
    expect(whole.equals(passedOn.passedOnMessage().message)).toBe(true);
    expect(page).toContain(`The message has ${whole.length.toLocaleString("en-US")} bytes`);
  });

  it("is opened by both readers, for whom it was passed on to, with this custodian alone", async () => {
    const records: PassedOn[] = [];
    const opened = await open(whole, {
      identities: [softwareIdentity(passedOn.keyOf("x25519"), "test key")],
      passedOn: (record) => Promise.resolve(void records.push(record)),
    });
    expect(Buffer.from(await opened.plaintext.bytes()).toString()).toBe(passedOn.PLAINTEXT);
    expect(records).toMatchObject([
      { keyId: Buffer.from(custodian).toString("hex"), generation: 1, addressees: 2 },
    ]);
    expect(opened.info.headerBytes).toBe(4096);
    for (const name of ["p256", "x25519"]) {
      const { plaintext } = readMessage(whole, passedOn.keyOf(name), { custodian });
      expect(plaintext.toString()).toBe(passedOn.PLAINTEXT);
    }
    expect(() => readMessage(whole, passedOn.keyOf("x25519"))).toThrow("the custodian");
  });

  it("is refused by both readers with a bit flipped in any byte", async () => {
    const identities = [softwareIdentity(passedOn.keyOf("x25519"), "test key")];
    for (const at of places(0, whole.length, 23)) {
      const flipped = Buffer.from(whole);
      flipped[at] = (flipped[at] as number) ^ 1;
      const opening = open(flipped, { identities, passedOn: () => Promise.resolve() });
      await expect(opening.then(({ plaintext }) => plaintext.bytes())).rejects.toHaveProperty(
        "code",
      );
      expect(() => readMessage(flipped, passedOn.keyOf("x25519"), { custodian })).toThrow();
    }
  });
});

describe("a reader made from docs/format.md", () => {
  const P = 4064;

  it.each(EXCHANGE_KEY_NAMES)("opens what the library sealed to %s", async (name) => {
    for (const size of [0, 1, P - 1, P, P + 1, 2 * P, 2 * P + 1]) {
      const plaintext = Buffer.alloc(size, name);
      const recipients = [recipientOf(TEST_KEYS[name])];
      const sealed = await seal(plaintext, { recipients, segLog2: 12 });
      const bytes = await sealed.stream().bytes();
      expect(readMessage(bytes, TEST_KEYS[name]).plaintext.equals(plaintext)).toBe(true);
    }
  });

  it.each(["sha1", "sha256", "sha384", "sha512"] as const)("undoes OAEP with %s", async (oaep) => {
    const recipients = [recipientOf(TEST_KEYS.rsa2048)];
    const sealed = await seal(Buffer.from(oaep), { recipients, oaep });
    const bytes = await sealed.stream().bytes();
    expect(readMessage(bytes, TEST_KEYS.rsa2048).plaintext.toString()).toBe(oaep);
  });

  it("opens a message to everybody with each of their keys", async () => {
    const recipients = EXCHANGE_KEY_NAMES.map((name) => recipientOf(TEST_KEYS[name]));
    const sealed = await seal(Buffer.from("to all"), { recipients });
    const bytes = await sealed.stream().bytes();
    for (const name of EXCHANGE_KEY_NAMES) {
      expect(readMessage(bytes, TEST_KEYS[name]).plaintext.toString()).toBe("to all");
    }
  });
});

describe("a signed message as docs/format.md lays it out", () => {
  const signers = ["ed25519", "p256", "p384", "rsa2048"] as const;

  it.each(signers)("is what the library makes with %s", async (name) => {
    for (const size of [0, 4064, 4 * 4064 + 1]) {
      const sealed = await seal(Buffer.alloc(size, name), {
        recipients: [recipientOf(TEST_KEYS.x25519)],
        segLog2: 12,
        sender: senderWith(TEST_KEYS[name]),
      });
      const bytes = await sealed.stream().bytes();
      expect(readMessage(bytes, TEST_KEYS.x25519).plaintext).toHaveLength(size);
      const trailerAltered = Buffer.from(bytes);
      trailerAltered[bytes.length - 1] = (trailerAltered[bytes.length - 1] as number) ^ 1;
      expect(() => readMessage(trailerAltered, TEST_KEYS.x25519)).toThrow("TRAILER");
    }
  });

  it("is shown as signed, and not opened with a signature that does not hold", async () => {
    const forged = signedMessage();
    const info = await inspect(forged);
    expect(info).toMatchObject({ signed: true, headerBytes: forged.length - 106 });
    expect(info.sender).toMatchObject({ serial: 24, addressees: 1, signature: "does not hold" });
    await expect(openWith(forged, pem)).rejects.toHaveProperty("code", "ERR_SENDER_SIGNATURE");
  });
});

describe("the tables of docs/format.md", () => {
  const rows = (section: string) =>
    page
      .slice(page.indexOf(`\n#${section}`))
      .split("\n#", 2)[1]
      ?.split("\n")
      .filter((line) => line.startsWith("|"))
      .slice(2)
      .map((line) =>
        line
          .split("|")
          .slice(1, -1)
          .map((cell) => cell.trim()),
      ) as string[][];
  const number = (text: string) => Number(text.replaceAll(",", ""));

  it("have the limits that the code has", () => {
    const limits = new Map(rows("# 14. ").map(([what, ...limit]) => [what, limit.map(number)]));
    expect(limits.get("CORE")?.[1]).toBe(MAX_CORE_BYTES);
    expect(limits.get("RECIPS, `len`")?.[1]).toBe(MAX_RECIPS_BYTES);
    expect(limits.get("recipients, addressees")).toEqual([1, MAX_RECIPIENTS]);
    expect(limits.get("`segLog2`")).toEqual([MIN_SEG_LOG2, MAX_SEG_LOG2]);
  });

  it("show how every length is cut into segments", async () => {
    const examples = rows("## 10.2 ");
    expect(examples).toHaveLength(4);
    for (const [length, segments, body] of examples as [string, string, string][]) {
      const plaintext = new Uint8Array(number(length));
      const sealed = await seal(plaintext, { recipients: [recipientOf(pem)], segLog2: 12 });
      const chunks: number[] = [];
      const bytes = await sealed.body.bytes();
      for (let at = 74; at < bytes.length; at += chunks.at(-1) as number) {
        const field = Buffer.from(bytes).readUInt32BE(at);
        chunks.push(field === 0xffff_ffff ? 4096 : field);
      }
      expect(chunks).toEqual(segments.split(", ").map(number));
      expect(bytes).toHaveLength(number(body));
    }
  });

  it("hold every label that the format's code uses, and no other", () => {
    const table = rows("# 9. ").map(([label]) => label?.replaceAll("`", ""));
    const used = sourceFiles()
      .filter(({ path }) => /^(?:body|envelope.native|exchange)\b/.test(path))
      .flatMap(({ text }) => text.match(/p11seal\/v1 [a-z ]+/g) ?? []);
    expect([...new Set(used)].sort()).toEqual(table.sort());
  });

  it("name errors that the code can throw", () => {
    const named = rows("# 13. ").flatMap(([, , codes]) => codes?.match(/ERR_[A-Z_]+/g) ?? []);
    const thrown = new Set(
      sourceFiles().flatMap(({ text }) => text.match(/(?<=")ERR_[A-Z_]+(?=")/g)),
    );
    expect(named.length).toBeGreaterThan(0);
    expect([...thrown]).toEqual(expect.arrayContaining(named));
  });
});

/** A signed message whose signature is 64 zero bytes, made by hand from §4 and §5. */
function signedMessage(): Buffer {
  const head = (major: number, value: number) =>
    value < 24
      ? f.uint(1, (major << 5) | value)
      : f.join(f.uint(1, (major << 5) | 24), f.uint(1, value));
  const bytes = (length: number) => f.join(head(2, length), Buffer.alloc(length, 7));
  const entries = [
    bytes(16),
    head(0, 23),
    undefined,
    bytes(32),
    bytes(16),
    head(0, 24),
    f.join(head(4, 1), bytes(32)),
    bytes(32),
    bytes(32),
  ].flatMap((value, i) => (value === undefined ? [] : [f.join(head(0, i + 1), value)]));
  const core = f.join(head(5, entries.length), ...entries);
  const spki = f.join(Buffer.from("302a300506032b6570032100", "hex"), Buffer.alloc(32, 1));
  const sig = f.join(f.uint(2, 4), f.uint(2, spki.length), spki, f.uint(2, 64), Buffer.alloc(64));
  const prelude = f.join(message.subarray(0, 11), f.uint(1, 1), f.uint(4, core.length));
  const rest = message.subarray(35, 204);
  const body = f.join(message.subarray(204, 278), f.uint(4, 32), Buffer.alloc(28));
  return f.join(prelude, core, f.uint(4, sig.length), sig, rest, body);
}
