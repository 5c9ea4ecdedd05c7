/** How much AES-GCM may encrypt under one nonce: no file of 64 GiB is needed to see it counted. */
import { randomBytes } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { readAlgorithm } from "../../../src/asn1/algorithm-identifier.js";
import { DerReader } from "../../../src/asn1/der.js";
import {
  ContentDecryption,
  parseContentCipher,
} from "../../../src/envelope/cms/content-encryption.js";
import {
  cbcEncryption,
  gcmEncryption,
  MAX_DER_CONTENT_BYTES,
  sealed,
} from "../../../src/envelope/cms/write-content.js";
import { Secret } from "../../../src/secret.js";
import { collect, Reader } from "../../../src/stream.js";
import { codeOf, inSteps } from "../../support/streams.js";
import { algorithm, gcmAlgorithm, octets, OID } from "./made.js";

/** SP 800-38D §5.2.1.1: 2^39 - 256 bits. */
const MOST = 68_719_476_704;

const gcm = parseContentCipher(readAlgorithm(new DerReader(gcmAlgorithm(), "cipher")), true);
const cbc = parseContentCipher(
  readAlgorithm(new DerReader(algorithm(OID.aes256Cbc, octets(new Uint8Array(16))), "cipher")),
  false,
);
const key = (): Secret => new Secret(new Uint8Array(32));

describe("content in GCM", () => {
  it("has a limit, and in CBC none", () => {
    expect([gcm.mostBytes, cbc.mostBytes]).toEqual([MOST, Infinity]);
    expect(gcmEncryption(key()).most).toBe(MOST);
    expect(cbcEncryption(key()).most).toBeGreaterThan(2 ** 50);
  });

  it("is decrypted up to the limit, and not a byte beyond it", () => {
    const most = new ContentDecryption({ ...gcm, mostBytes: 33 }, key());
    expect(most.update(new Uint8Array(20))).toHaveLength(20);
    expect(most.update(new Uint8Array(13))).toHaveLength(13);
    expect(() => most.update(new Uint8Array(1))).toThrow("longer than one AES-GCM nonce allows");
  });

  it("is encrypted up to the limit, and not a byte beyond it", async () => {
    const most = MAX_DER_CONTENT_BYTES + 1000;
    const write = (bytes: number): Promise<Uint8Array> => {
      const encryption = { ...gcmEncryption(key()), most };
      const content = new Reader(inSteps(randomBytes(bytes), 50_000));
      return collect(sealed(new Uint8Array(0), encryption, content));
    };
    expect((await write(most)).length).toBeGreaterThan(most);
    expect(await codeOf(write(most + 1))).toBe("ERR_TOO_LONG");
  });
});
