/**
 * Messages that other programs take and p11seal must not: made of those programs' own messages,
 * with a field or two replaced. That the programs take them shows that they are well made.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { der, DerReader, TAG } from "../../../src/asn1/der.js";
import { derOid } from "../../../src/asn1/oid.js";
import { type Encryption, PRESENT_PEERS } from "../../support/cms-peers/peer.js";
import { freshToken, importKey } from "../../support/softhsm.js";
import { CmsBench } from "./bench.js";

const bench = new CmsBench();
const { holders } = bench;
const CONTENT = randomBytes(10_000);
const rsa = holders.of("rsa");
let token = "";

beforeAll(async () => {
  const fresh = await freshToken("cms-forgeries");
  token = `pkcs11:token=${fresh.label};object=rsa`;
  const privateHalf = { UNWRAP: true, DECRYPT: true };
  const options = { label: "rsa", id: Buffer.of(1), privateHalf };
  await importKey(fresh, readFileSync(rsa.key, "utf8"), options);
});

const V15: Encryption = { form: "auth-enveloped", recipient: "rsa-pkcs1", cipher: "aes-256-gcm" };

/** Paths of fields: indices from the ContentInfo inwards. */
const AT = {
  keyAlgorithm: [1, 0, 1, 0, 2],
  nonceAndLength: [1, 0, 2, 1, 1],
  tag: [1, 0, 3],
  signedContent: [1, 0, 2, 1, 0],
  signedAttributes: [1, 0, 4, 0, 3],
} as const;

for (const peer of PRESENT_PEERS.filter(({ kind }) => kind === "openssl")) {
  describe(`of messages by ${peer.name}`, () => {
    it("PKCS#1 v1.5 is not undone where OAEP is named", async () => {
      const program = await bench.program(peer);
      const message = await program.encrypt(V15, rsa, CONTENT);
      const named = (...parameters: readonly Uint8Array[]): Uint8Array => {
        const algorithm = der(TAG.sequence, derOid("1.2.840.113549.1.1.7"), ...parameters);
        return edited(message, AT.keyAlgorithm, () => algorithm);
      };
      const sound = named(der(TAG.sequence));
      await expect(program.decrypt(rsa, sound)).rejects.toThrow("Error decrypting");
      for (const identity of [rsa.key, token]) {
        await bench.refuses(opening(sound, identity), /"ERR_NOT_AUTHENTIC"/);
      }
      for (const forged of [named(), named(der(TAG.null))]) {
        expect(await program.decrypt(rsa, forged)).toEqual(CONTENT);
        await bench.refuses(opening(forged, token), /"ERR_(?:CMS|ALGORITHM|DER)"/);
      }
    });

    it("a tag of 4 bytes is refused", async () => {
      const program = await bench.program(peer);
      const message = await program.encrypt(V15, rsa, CONTENT);
      const short = edited(message, AT.tag, (tag) => der(TAG.octetString, tag.subarray(2, 6)));
      const forged = edited(short, AT.nonceAndLength, (value) => {
        const nonce = new DerReader(value, "parameters").sequence().read(TAG.octetString);
        const length = der(TAG.integer, Uint8Array.of(4));
        return der(TAG.sequence, der(TAG.octetString, nonce), length);
      });
      expect(await program.decrypt(rsa, forged)).toEqual(CONTENT);
      await bench.refuses(opening(forged, token), /"ERR_TAG_LENGTH"/);
    });

    it("signed attributes are not taken for content", async () => {
      const signed = await (await bench.program(peer)).sign("opaque", rsa, CONTENT);
      const { forged, attributes } = attributesAsContent(signed);
      for (const other of PRESENT_PEERS) {
        const program = await bench.program(other);
        expect(await program.verify(rsa, forged)).toEqual(Buffer.from(attributes));
      }
      const path = bench.file(".p7m", forged);
      await bench.refuses(["verify", "--any-signer", path], /"ERR_ATTRIBUTES_AS_CONTENT"/);
    });
  });
}

function opening(message: Uint8Array, identity: string): readonly string[] {
  const path = bench.file(".p7m", message);
  return ["open", path, "-i", identity, "--cert", rsa.certificate, "--allow-legacy"];
}

/** A signature over no attributes, of which the content are those that were signed. */
function attributesAsContent(signed: Uint8Array) {
  let attributes: Uint8Array = new Uint8Array();
  const without = edited(signed, AT.signedAttributes, (value) => {
    attributes = value.slice();
    attributes[0] = TAG.set;
    return new Uint8Array();
  });
  const content = der(TAG.octetString, attributes);
  return { forged: edited(without, AT.signedContent, () => content), attributes };
}

/** The message with the value at this path replaced. */
function edited(
  value: Uint8Array,
  path: readonly number[],
  change: (value: Uint8Array) => Uint8Array,
): Uint8Array {
  const [index, ...rest] = path;
  if (index === undefined) return change(value);
  const [tag = 0] = value;
  const fields: Uint8Array[] = [];
  const reader = new DerReader(value, "a message").constructed(tag);
  while (reader.peek() !== undefined) {
    const field = reader.any();
    fields.push(fields.length === index ? edited(field, rest, change) : field);
  }
  expect(fields.length).toBeGreaterThan(index);
  return der(tag, ...fields);
}
