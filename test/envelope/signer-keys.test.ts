/**
 * Which keys a signed message may be signed with, and may name for its body: what the reader
 * refuses at step 7 (docs/format.md §13), before it looks for a key of its own.
 */
import { createHash, createHmac, createPublicKey } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { ascii, concat, fromHex } from "../../src/bytes.js";
import {
  encodeExtensions,
  encodeSignature,
  encodeSignedPart,
  readHeader,
} from "../../src/envelope/native/header.js";
import {
  inspectMessage,
  openMessage,
  sealMessage,
  verifySender,
} from "../../src/envelope/messages.js";
import type { SignedClaims } from "../../src/envelope/native/core.js";
import { encodeRecips, stanzaTag, type Stanza } from "../../src/envelope/native/recips.js";
import type { Sender } from "../../src/envelope/seal-options.js";
import { publicKeyFromRsa } from "../../src/keys/public-key.js";
import { signatureAlgorithm, verifySignature } from "../../src/keys/signing.js";
import { Reader } from "../../src/stream.js";
import { BASE, bytesOf, encode, smallOrderPoints, times } from "../support/edwards.mjs";
import { SEG_LOG2 } from "../support/forge.js";
import { counting, identityOf, recipientOf, senderOf } from "../support/identities.js";
import { REFUSES_SMALL_ORDER } from "../support/openssl.js";
import { sign } from "../support/private-key.js";
import { codeOf } from "../support/streams.js";

const recipients = [recipientOf("x25519")];
const seal = async (sender: Sender, to = recipients) => {
  const sealed = await sealMessage(ascii("signed"), { recipients: to, segLog2: SEG_LOG2, sender });
  return { header: sealed.header, whole: await sealed.stream().bytes() };
};
const parse = (bytes: Uint8Array) => readHeader(new Reader(bytes));
const addresseeTag = (messageId: Uint8Array, { fingerprint }: { fingerprint: Uint8Array }) =>
  createHmac("sha256", concat(ascii("p11seal/v1 addr"), messageId))
    .update(fingerprint)
    .digest();

/** A message of `sender` whose claims or stanzas were changed before it signed them. */
async function lying(
  sender: ReturnType<typeof senderOf>,
  change: (claims: SignedClaims, messageId: Uint8Array) => Partial<SignedClaims>,
  more: (messageId: Uint8Array) => readonly Stanza[] = () => [],
): Promise<Uint8Array> {
  const { header, whole } = await seal(sender);
  const parsed = await parse(header);
  const { messageId, claims } = parsed.core;
  if (claims === undefined) throw new Error("claims were expected");
  const recips = encodeRecips([...parsed.stanzas, ...more(messageId)]);
  const recipsHash = createHash("sha256").update(recips).digest();
  const changed = { ...claims, recipsHash, ...change(claims, messageId) };
  const signedPart = encodeSignedPart(SEG_LOG2, { messageId, claims: changed });
  const digest = createHash("sha384").update(signedPart).digest();
  const signature = await sign(sender.key, concat(ascii("p11seal/v1 core\0"), digest));
  const sig = encodeSignature({
    algorithm: signatureAlgorithm(sender.publicKey).number,
    spki: sender.publicKey.spki,
    signature,
  });
  const rest = whole.subarray(header.length);
  return concat(signedPart, sig, encodeExtensions([]), recips, parsed.mac, rest);
}

/**
 * What those say who open the message or check its sender alone, and that no key was looked for.
 */
async function refusals(message: Uint8Array): Promise<string[]> {
  const counted = counting(identityOf("x25519"));
  const opened = await codeOf(openMessage(message, { identities: [counted.identity] }));
  expect(counted.unlocks).toBe(0);
  return [opened, await codeOf(verifySender(message))].map((code) => code ?? "none");
}

describe("a message as its sender signed it", () => {
  it("passes, once it is put together again: the refusals below are of the lies", async () => {
    const honest = await lying(senderOf("ed25519"), () => ({}));
    expect(await codeOf(verifySender(honest))).toBeUndefined();
    // An ECDSA signature is another each time, so the trailer no longer fits; all before it does.
    expect(await codeOf(verifySender(await lying(senderOf("p256"), () => ({}))))).toBe(
      "ERR_TRAILER",
    );
  });
});

describe("the one-time key of a body", () => {
  const outside: [string, Uint8Array][] = [
    ...smallOrderPoints().map((point, i): [string, Uint8Array] => [
      `a point of small order, ${i}`,
      encode(point),
    ]),
    ["no point of the curve", bytesOf(2n)],
    ["a number beyond the field", bytesOf(2n ** 255n - 1n)],
  ];

  it.each(outside)("is refused before a key is looked for when it is %s", async (_what, key) => {
    const message = await lying(senderOf("ed25519"), () => ({ oneTimeKey: key }));
    expect(await refusals(message)).toEqual(["ERR_SENDER_SIGNATURE", "ERR_SENDER_SIGNATURE"]);
    expect((await inspectMessage(message)).sender).toMatchObject({ signature: "does not hold" });
  });
});

describe("a sender's key of small order", () => {
  it("is refused, whether or not a signature that anybody can make verifies under it", async () => {
    // R = [5]B and s = 5 solve the equation for A neutral, whatever the message is.
    const { publicKey } = senderOf("ed25519");
    const neutral = fromHex(`01${"00".repeat(31)}`);
    const spki = concat(publicKey.spki.subarray(0, -32), neutral);
    const fingerprint = createHash("sha256").update(spki).digest();
    const object = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
    const signature = concat(encode(times(5n, BASE)), bytesOf(5n));
    const anybody = { type: "ed25519", spki, fingerprint, object } as const;
    const nobody: Sender = {
      ...senderOf("ed25519"),
      publicKey: anybody,
      key: { publicKey: anybody, sign: () => Promise.resolve(signature) },
    };
    const sealed = seal(nobody);
    if (REFUSES_SMALL_ORDER) {
      // Such a message can't even be made.
      await expect(sealed).rejects.toMatchObject({ code: "ERR_BAD_SIGNATURE" });
    } else {
      const message = (await sealed).whole;
      expect(await refusals(message)).toEqual(["ERR_SENDER_SIGNATURE", "ERR_SENDER_SIGNATURE"]);
    }
  });
});

describe("a signing key that is also a recipient's exchange key", () => {
  const both = senderOf("p256");

  it("is refused by the reader where it is among the addressees", async () => {
    const message = await lying(both, ({ addressees }, messageId) => ({
      addressees: [...addressees, addresseeTag(messageId, both.publicKey)],
    }));
    expect(await refusals(message)).toEqual(["ERR_SAME_KEY", "ERR_SAME_KEY"]);
    expect((await inspectMessage(message)).sender).toMatchObject({ signature: "holds" });
  });

  it("is refused by the reader where a key is wrapped for it", async () => {
    const stanza = (messageId: Uint8Array): Stanza => ({
      type: "hpke",
      kem: "P-256",
      tag: stanzaTag(messageId, both.publicKey),
      enc: new Uint8Array(65),
      ciphertext: new Uint8Array(48),
    });
    const message = await lying(
      both,
      () => ({}),
      (messageId) => [stanza(messageId)],
    );
    expect(await refusals(message)).toEqual(["ERR_SAME_KEY", "ERR_SAME_KEY"]);
  });
});

describe("an RSA signing key", () => {
  const rsa = senderOf("rsa2048");
  /** A modulus of so many bits, with an exponent; nobody knows its factors, or needs to. */
  const keyOf = (bits: number, exponent = "010001") => {
    const modulus = new Uint8Array(Math.ceil(bits / 8)).fill(0xff);
    modulus[0] = 0xff >> (8 * modulus.length - bits);
    return publicKeyFromRsa(modulus, fromHex(exponent));
  };

  it.each([
    ["8,193 bits", keyOf(8193)],
    ["16,384 bits", keyOf(16_384)],
    ["1,023 bits", keyOf(1023)],
    ["an exponent of 33 bits", keyOf(2048, "0100000001")],
    ["an exponent of 64 bits", keyOf(2048, "ffffffffffffffff")],
  ])("of %s is refused before its signature is verified", async (_what, publicKey) => {
    const signature = new Uint8Array(publicKey.modulus.length);
    let asked = 0;
    const key = { publicKey, sign: () => Promise.resolve((asked++, signature)) };
    const sender = { ...rsa, publicKey, key };
    expect(await codeOf(seal(sender))).toBe("ERR_KEY_SIZE");
    expect(asked).toBe(0);

    const { header } = await seal(rsa);
    const parsed = await parse(header);
    const { messageId, claims } = parsed.core;
    if (claims === undefined) throw new Error("claims were expected");
    const senderKeyId = publicKey.fingerprint;
    const signedPart = encodeSignedPart(SEG_LOG2, {
      messageId,
      claims: { ...claims, senderKeyId },
    });
    const sig = encodeSignature({ algorithm: 3, spki: publicKey.spki, signature });
    const bytes = concat(signedPart, sig, encodeExtensions([]), parsed.recipsBlock, parsed.mac);
    expect(await refusals(bytes)).toEqual(["ERR_SENDER_SIGNATURE", "ERR_SENDER_SIGNATURE"]);
    expect(() => verifySignature(publicKey, new Uint8Array(64), signature)).toThrow(
      "can sign messages",
    );
  });

  it.each([
    ["8,192 bits", keyOf(8192)],
    ["1,024 bits", keyOf(1024)],
    ["an exponent of 32 bits", keyOf(2048, "ffffffff")],
  ])("of %s is one whose signatures are looked at", (_what, publicKey) => {
    expect(signatureAlgorithm(publicKey).name).toBe("RSA-PSS");
  });
});
