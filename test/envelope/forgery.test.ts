/** Attacks with a signed message, by another recipient and by its sender. */
import { beforeAll, describe, expect, it } from "@jest/globals";
import { createHash, createHmac, hkdfSync, sign } from "node:crypto";
import { floeSeal } from "../../src/body/floe.js";
import { ascii, concat } from "../../src/bytes.js";
import {
  encodeExtensions,
  encodeSignature,
  encodeSignedPart,
  encodeTranscript,
  readHeader,
  type ParsedHeader,
} from "../../src/envelope/native/header.js";
import {
  inspectMessage,
  openMessage,
  sealMessage,
  verifySender,
} from "../../src/envelope/messages.js";
import { stanzaTag } from "../../src/envelope/native/recips.js";
import type { Sender } from "../../src/envelope/seal-options.js";
import { oaepEncrypt } from "../../src/wrap/rsa-oaep.js";
import type { Identity } from "../../src/keys/key.js";
import { Reader } from "../../src/stream.js";
import { FULL, SEG_LOG2, SEGMENT_BYTES } from "../support/forge.js";
import { counting, identityOf, recipientOf, senderOf } from "../support/identities.js";
import { publicDer, TEST_KEYS } from "../support/keys.js";
import { codeOf } from "../support/streams.js";
import { requireCapability } from "../../src/keys/purpose.js";

const text = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 3) & 0xff);
const parts = [text(FULL), text(FULL).reverse(), text(50)];
const plaintext = concat(...parts);

/** For two keys; the holder of the RSA key is the insider below. */
const recipients = [recipientOf("rsa2048", "sha256"), recipientOf("x25519")];

async function seal(sender: Sender): Promise<{ header: Uint8Array; whole: Uint8Array }> {
  const sealed = await sealMessage(plaintext, { recipients, segLog2: SEG_LOG2, sender });
  return { header: sealed.header, whole: await sealed.stream().bytes() };
}

async function open(whole: Uint8Array, identity: Identity = identityOf("x25519")) {
  const opened = await openMessage(whole, { identities: [identity] });
  return { ...opened, bytes: await opened.plaintext.bytes() };
}

const parse = (bytes: Uint8Array) => readHeader(new Reader(bytes));

/**
 * An insider: another recipient, who knows the file key and can do everything that needs only that.
 */
describe("whoever knows the file key", () => {
  let whole: Uint8Array;
  let parsed: ParsedHeader;
  let fileKey: Uint8Array;
  beforeAll(async () => {
    const sealed = await seal(senderOf("ed25519"));
    whole = sealed.whole;
    parsed = await parse(sealed.header);
    const inner = identityOf("rsa2048");
    const stealing: Identity = {
      ...inner,
      unlock: async () => {
        const key = await inner.unlock();
        const oaep = requireCapability(key, "oaep");
        const decrypt: typeof oaep.decrypt = async (...args) => {
          const secret = await oaep.decrypt(...args);
          fileKey = secret?.expose().slice() ?? new Uint8Array(0);
          // A Buffer's slice would be wiped with the secret.
          fileKey = Uint8Array.from(fileKey);
          return secret;
        };
        return { ...key, oaep: { ...oaep, decrypt } };
      },
    };
    expect(Buffer.compare((await open(whole, stealing)).bytes, plaintext)).toBe(0);
    expect(fileKey.length).toBe(32);
  });

  const derived = (info: string) =>
    new Uint8Array(hkdfSync("sha256", fileKey, new Uint8Array(0), info, 32));

  function macOver(transcript: Uint8Array): Uint8Array {
    return createHmac("sha256", derived("p11seal/v1 header mac")).update(transcript).digest();
  }

  function bodyOf(immutablePart: Uint8Array, ...plaintexts: Uint8Array[]): Uint8Array {
    const aad = createHash("sha384").update(immutablePart).digest();
    const { header, segments } = floeSeal(derived("p11seal/v1 floe"), aad, {
      segmentBytes: SEGMENT_BYTES,
    });
    const last = plaintexts.length - 1;
    return concat(header, ...plaintexts.flatMap((p, i) => [...segments.seal(i, i === last, p)]));
  }

  it("can't put another body under the sender's name", async () => {
    const forged = bodyOf(parsed.immutablePart, text(9));
    const header = concat(parsed.transcript, parsed.mac);
    const trailer = whole.subarray(-64);
    for (const end of [trailer, new Uint8Array(64)]) {
      expect(await codeOf(open(concat(header, forged, end)))).toBe("ERR_TRAILER");
      expect(await codeOf(verifySender(concat(header, forged, end)))).toBe("ERR_TRAILER");
    }
    expect(await codeOf(open(concat(header, forged)))).toBe("ERR_TRUNCATED");
  });

  it("can't seal the sender's own segments anew, even to the same plaintext", async () => {
    const again = bodyOf(parsed.immutablePart, ...parts);
    const header = concat(parsed.transcript, parsed.mac);
    expect(await codeOf(open(concat(header, again, whole.subarray(-64))))).toBe("ERR_TRAILER");
  });

  it("can't leave out the sender's last segments", async () => {
    const header = concat(parsed.transcript, parsed.mac);
    const kept = bodyOf(parsed.immutablePart, parts[0] as Uint8Array);
    expect(await codeOf(open(concat(header, kept, whole.subarray(-64))))).toBe("ERR_TRAILER");
  });

  it("can't pass the message on to somebody it was not for", async () => {
    const { publicKey } = identityOf("rsa3072");
    const { messageId } = parsed.core;
    const tag = stanzaTag(messageId, publicKey);
    const ciphertext = oaepEncrypt(publicKey.object, fileKey, { hash: "sha256" });
    const stanza = { type: "rsa-oaep", tag, hash: "sha256", ciphertext } as const;
    const transcript = encodeTranscript({ ...parsed, stanzas: [...parsed.stanzas, stanza] });
    const body = whole.subarray(parsed.transcript.length + 32);
    const forwarded = concat(transcript, macOver(transcript), body);

    const counted = counting(identityOf("rsa3072"));
    await expect(openMessage(forwarded, { identities: [counted.identity] })).rejects.toMatchObject({
      name: "PolicyError",
      code: "ERR_REWRAPPED",
    });
    // Nor may its addressees mistake the changed list for the sender's.
    expect(await codeOf(open(forwarded))).toBe("ERR_REWRAPPED");
    expect(counted.unlocks).toBe(0);
    expect((await inspectMessage(forwarded)).sender).toMatchObject({
      signature: "holds",
      recipientsIntact: false,
    });
  });

  it("can't make it unsigned and keep its body", async () => {
    const signedPart = encodeSignedPart(SEG_LOG2, { messageId: parsed.core.messageId });
    const transcript = concat(signedPart, encodeExtensions([]), parsed.recipsBlock);
    const body = whole.subarray(parsed.transcript.length + 32, -64);
    expect(await codeOf(open(concat(transcript, macOver(transcript), body)))).toBe(
      "ERR_BODY_HEADER",
    );
  });

  it("can't sign it as somebody else: the sender's key id is part of what is signed", async () => {
    const other = senderOf("p256");
    const { signedPart } = parsed;
    const message = concat(
      ascii("p11seal/v1 core\0"),
      createHash("sha384").update(signedPart).digest(),
    );
    const signature = await requireCapability(other.key, "sign")(message);
    const sig = encodeSignature({ algorithm: 1, spki: other.publicKey.spki, signature });
    const transcript = concat(signedPart, sig, encodeExtensions([]), parsed.recipsBlock);
    const body = bodyOf(concat(signedPart, sig), text(5));
    const stolen = concat(transcript, macOver(transcript), body, new Uint8Array(64));
    expect(await codeOf(open(stolen))).toBe("ERR_SENDER_SIGNATURE");
  });
});

describe("a sender who lies", () => {
  /** A message with the given core and signature, up to the header's end. */
  async function forged(change: {
    addressees?: readonly Uint8Array[];
    recipsHash?: Uint8Array;
    algorithm?: number;
    spki?: Uint8Array;
    cut?: number;
  }): Promise<Uint8Array> {
    const sender = senderOf("ed25519");
    const { header } = await seal(sender);
    const parsed = await parse(header);
    const { claims, messageId } = parsed.core;
    if (claims === undefined) throw new Error("claims were expected");
    const { addressees = claims.addressees, recipsHash = claims.recipsHash } = change;
    const signedPart = encodeSignedPart(SEG_LOG2, {
      messageId,
      claims: { ...claims, addressees, recipsHash },
    });
    const digest = createHash("sha384").update(signedPart).digest();
    const message = concat(ascii("p11seal/v1 core\0"), digest);
    const signature = sign(null, message, TEST_KEYS.ed25519);
    const sig = encodeSignature({
      algorithm: change.algorithm ?? 4,
      spki: change.spki ?? sender.publicKey.spki,
      signature: signature.subarray(0, 64 - (change.cut ?? 0)),
    });
    return concat(signedPart, sig, encodeExtensions([]), parsed.recipsBlock, new Uint8Array(32));
  }

  it("is believed as far as the same forger's true message is", async () => {
    expect(await codeOf(open(await forged({})))).toBe("ERR_NOT_AUTHENTIC");
  });

  it("about the addressees is refused by a recipient who is left out", async () => {
    const counted = counting(identityOf("x25519"));
    const bytes = await forged({ addressees: [new Uint8Array(32)] });
    await expect(openMessage(bytes, { identities: [counted.identity] })).rejects.toMatchObject({
      name: "PolicyError",
      code: "ERR_NOT_ADDRESSEE",
    });
    expect(counted.unlocks).toBe(0);
  });

  it("about the wrapped keys is refused", async () => {
    expect(await codeOf(open(await forged({ recipsHash: new Uint8Array(32) })))).toBe(
      "ERR_REWRAPPED",
    );
  });

  const ed25519 = publicDer(TEST_KEYS.ed25519);
  it.each([
    ["another algorithm's number", { algorithm: 1 }],
    ["algorithm 0", { algorithm: 0 }],
    ["algorithm 5", { algorithm: 5 }],
    ["a signature one byte short", { cut: 1 }],
    ["no signature", { cut: 64 }],
    ["no key", { spki: new Uint8Array(0) }],
    ["a key with a byte after it", { spki: concat(ed25519, Uint8Array.of(0)) }],
    ["a key cut short", { spki: ed25519.subarray(0, -1) }],
    ["a key that can't sign", { spki: publicDer(TEST_KEYS.x25519) }],
    ["a key that signs no messages", { spki: publicDer(TEST_KEYS.p521) }],
    ["another key", { spki: publicDer(TEST_KEYS.p256) }],
  ])("with %s in the signature is refused", async (_what, change) => {
    const bytes = await forged(change);
    expect(await codeOf(open(bytes))).toBe("ERR_SENDER_SIGNATURE");
    expect((await inspectMessage(bytes)).sender).toMatchObject({ signature: "does not hold" });
  });
});
