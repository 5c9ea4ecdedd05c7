/**
 * Messages that somebody made of other people's: the same wrapped key beside another cipher, or
 * another way to wrap it beside the one that was meant.
 */
import { constants, createCipheriv, privateDecrypt } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { der } from "../../../src/asn1/der.js";
import { concat } from "../../../src/bytes.js";
import { rewrapMessage } from "../../../src/envelope/rewrap-message.js";
import type { Identity, PrivateKey, RsaPublicKey } from "../../../src/keys/key.js";
import { Secret } from "../../../src/secret.js";
import { TEST_KEYS } from "../../support/keys.js";
import { signedMessage } from "../../support/signed-messages.js";
import { codeOf } from "../../support/streams.js";
import {
  agreement,
  algorithm,
  gcmAlgorithm,
  KEY,
  made,
  madeInCbc,
  NONCE,
  octets,
  OID,
  pkcs1,
  PLAINTEXT,
  sequence,
} from "./made.js";
import { curve, curveKeyId, opened, rsa, rsaIdentity, to, tried } from "./tried.js";

/**
 * AES-GCM encrypts counters. Whoever guesses a block of a message knows what its counter was
 * encrypted to; in CBC that block, decrypted, is the counter again, and gives a plaintext of his
 * choice. Any difference between a right guess and a wrong one would tell him (Strenzke and Roth,
 * ePrint 2024/1110; RFC 9709 §1).
 */
describe("a message in GCM that is sent again as CBC", () => {
  const recipients = [to()];
  const FIRST_COUNTER = concat(NONCE, Uint8Array.of(0, 0, 0, 2));
  const sealed = createCipheriv("aes-256-gcm", KEY, NONCE).update(PLAINTEXT).subarray(0, 16);

  /** Opens as nothing but padding, if the content begins as is guessed. */
  function asking(guess: Uint8Array): Uint8Array {
    const keystream = sealed.map((byte, i) => byte ^ (guess[i] as number));
    const iv = FIRST_COUNTER.map((byte) => byte ^ 16);
    const encryption = algorithm(OID.aes256Cbc, octets(iv));
    return madeInCbc(recipients, PLAINTEXT, { encryption, content: keystream });
  }

  const said = ({ error }: { readonly error?: Error & { code?: string; hint?: string } }) => [
    error?.code,
    error?.message,
    error?.hint,
  ];
  const right = PLAINTEXT.subarray(0, 16);
  const wrong = right.map((byte) => byte ^ 1);

  it("is refused alike, whatever is in it", async () => {
    const [yes, no] = [await opened(asking(right)), await opened(asking(wrong))];
    expect(yes.error).toMatchObject({ code: "ERR_UNAUTHENTICATED" });
    expect(said(no)).toEqual(said(yes));
    expect([yes.plaintext, no.plaintext]).toEqual([undefined, undefined]);
  });

  it("would answer the question to whoever allows it: so that is asked of a person", async () => {
    const allows = { unauthenticated: true };
    expect(await tried(asking(right), allows)).toMatchObject({ code: undefined });
    expect(await tried(asking(wrong), allows)).toMatchObject({ code: "ERR_NOT_AUTHENTIC" });
  });

  it("is refused as it stands, too: neither fits into the other's envelope", async () => {
    const parts = { recipients, type: OID.envelopedData, version: 2, trailer: [] };
    for (const allows of [{}, { unauthenticated: true }]) {
      const relabelled = made({ ...parts, encryption: gcmAlgorithm() });
      expect(await tried(relabelled, allows)).toEqual({ code: "ERR_CMS", unlocked: false });
    }
    const cbc = algorithm(OID.aes256Cbc, octets(new Uint8Array(16)));
    const claimed = made({ recipients, encryption: cbc });
    expect(await tried(claimed)).toEqual({ code: "ERR_CMS", unlocked: false });
  });

  it("gets another key, where its sender derived one for the cipher", async () => {
    const derived = (inner: Uint8Array): Uint8Array =>
      algorithm("1.2.840.113549.1.9.16.3.31", inner);
    const iv = FIRST_COUNTER.map((byte) => byte ^ 16);
    const encryption = derived(algorithm(OID.aes256Cbc, octets(iv)));
    const keystream = sealed.map((byte, i) => byte ^ (right[i] as number));
    const message = madeInCbc(recipients, PLAINTEXT, { encryption, content: keystream });
    const { code } = await tried(message, { unauthenticated: true });
    expect(code).toBe("ERR_NOT_AUTHENTIC");
  });

  it("tells nothing by a signature that is cut into it", async () => {
    // What is in CBC opens where a signature inside holds, and nobody else's key makes one.
    const sound = madeInCbc(recipients, signedMessage(), { contentType: OID.signedData });
    expect(await tried(sound)).toMatchObject({ code: undefined });
    const damaged = signedMessage();
    damaged[damaged.length - 1] = (damaged.at(-1) as number) ^ 1;
    const forged = madeInCbc(recipients, damaged, { contentType: OID.signedData });
    expect(await tried(forged)).toMatchObject({ code: "ERR_UNAUTHENTICATED" });
  });
});

describe("PKCS#1 v1.5", () => {
  const oaepOfAnotherHash = algorithm(
    OID.oaep,
    sequence(der(0xa0, algorithm("2.16.840.1.101.3.4.2.1"))),
  );
  const v15 = to({
    algorithm: algorithm(OID.rsa, Uint8Array.of(5, 0)),
    encryptedKey: pkcs1(rsa, KEY),
  });

  /** As of a token that undoes OAEP with SHA-1 and PKCS#1 v1.5. */
  function limited(used: string[]): Identity {
    const privateKey: PrivateKey<RsaPublicKey> = {
      publicKey: rsa,
      oaep: {
        hashes: ["sha1"],
        labels: "empty",
        decrypt: () => {
          used.push("oaep");
          return Promise.resolve(null);
        },
      },
      decryptPkcs1: (ciphertext) => {
        used.push("v1.5");
        const padding = constants.RSA_NO_PADDING;
        const block = privateDecrypt({ key: TEST_KEYS.rsa2048, padding }, ciphertext);
        const key = block.subarray(-KEY.length);
        return Promise.resolve(new Secret(new Uint8Array(key)));
      },
    };
    return { ...rsaIdentity, unlock: () => Promise.resolve(privateKey) };
  }

  it.each([
    ["before", [v15, to({ algorithm: oaepOfAnotherHash })]],
    ["behind", [to({ algorithm: oaepOfAnotherHash }), v15]],
  ])("%s an OAEP that the key can't undo is not undone in its place", async (_, recipients) => {
    const used: string[] = [];
    const message = made({ recipients });
    expect(await tried(message, {}, [limited(used)])).toMatchObject({ code: "ERR_OAEP_HASH" });
    const change = { identities: [limited(used)], add: [], remove: [], nowMs: 0 };
    expect(await codeOf(rewrapMessage(message, change))).toBe("ERR_OAEP_HASH");
    expect(used).toEqual([]);
    expect(await tried(message, { legacy: true }, [limited(used)])).toMatchObject({
      code: undefined,
    });
    expect(used).toEqual(["v1.5"]);
  });

  it("is not tried where OAEP of an unknown kind is named", async () => {
    const unknown = algorithm(OID.oaep, sequence(der(0xa0, algorithm("1.2.3.4"))));
    const message = made({
      recipients: [to({ algorithm: unknown, encryptedKey: pkcs1(rsa, KEY) })],
    });
    const used: string[] = [];
    const outcome = await tried(message, { legacy: true }, [limited(used)]);
    expect([outcome, used]).toEqual([{ code: "ERR_NO_MATCH", unlocked: false }, []]);
  });
});

describe("triple DES around the key of another cipher", () => {
  const wrap = algorithm("1.2.840.113549.1.9.16.3.6", Uint8Array.of(5, 0));
  const weak = agreement(curve, curveKeyId, { wrap, cipher: ["des3-wrap", 24] });

  it("needs permission", async () => {
    const message = made({ recipients: [weak] });
    expect(await tried(message)).toEqual({ code: "ERR_LEGACY", unlocked: false });
    expect(await tried(message, { legacy: true })).toEqual({ code: undefined, unlocked: true });
  });

  it("is passed over where there is a better wrap", async () => {
    const message = made({ recipients: [weak, agreement(curve, curveKeyId)] });
    expect(await tried(message)).toEqual({ code: undefined, unlocked: true });
  });
});
