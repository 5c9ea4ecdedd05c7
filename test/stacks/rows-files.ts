/**
 * Rows about whole messages: sealed without the token, opened with it, by the library's own names.
 */
import { createPrivateKey, createPublicKey, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "@jest/globals";
import { open, seal } from "../../src/index.js";
import { der, DerReader, TAG } from "../../src/asn1/der.js";
import type { OaepHash } from "../../src/keys/key.js";
import { CKO } from "../../src/token/modules/constants.js";
import type { AttributeValues } from "../../src/token/modules/template.js";
import type { KeyInfo } from "../../src/token/values.js";
import { parseUri } from "../../src/token/uri.js";
import { TEST_KEYS } from "../support/keys.js";
import { importSteps } from "../support/raw-token.js";
import { type Bench, freshLabel } from "./bench.js";
import { row, type Row } from "./row.js";
import { HASHES } from "./rows-open.js";

const fixtures = join(import.meta.dirname, "fixtures");

/** One message, sealed once to four TEST keys and kept, and its text. */
const SAME_MESSAGE = new Uint8Array(readFileSync(join(fixtures, "same-message.p11seal")));
const SAME_TEXT = "the same message, whatever the token\n";

/** Its recipients on NIST curves. */
const EC_KEYS = ["p256", "p384", "p521"] as const;

const CERTIFICATE = readFileSync(
  join(import.meta.dirname, "../keys/fixtures/rsa2048-enc.crt.pem"),
  "utf8",
);

export const fileRows: readonly Row[] = [
  row("files-rsa", async (bench) => {
    for (const type of bench.types("rsa:2048", "rsa:3072", "rsa:4096")) {
      // A key that may decrypt opens more hashes. Making large keys twice takes long.
      const purpose = type === "rsa:2048" ? "decrypt" : "exchange";
      const key = await bench.key(type, purpose);
      const hashes = hashesOf(bench, purpose);
      // Senders are told exactly what the token proved able to undo.
      expect((await bench.door.probeOaep(key)).sort()).toEqual([...hashes].sort());
      for (const hash of hashes) await sealAndOpen(bench, key, hash);
    }
  }),

  row("files-ec", async (bench) => {
    const types = bench.types("ec:p256", "ec:p384", "ec:p521", "x25519");
    for (const type of types.length > 0 ? types : (["ec:p256"] as const)) {
      await sealAndOpen(bench, await bench.key(type));
    }
  }),

  row("same-message-rsa", async (bench) => {
    await openSame(bench, ["rsa2048"], { DECRYPT: true, UNWRAP: false, SIGN: false });
  }),

  row("same-message-ec", async (bench) => {
    const types = bench.types("ec:p256", "ec:p384", "ec:p521");
    const names = EC_KEYS.filter((name) => types.includes(`ec:${name}`));
    await openSame(bench, names.length > 0 ? names : EC_KEYS, { DERIVE: true, SIGN: false });
  }),

  row("certificate", async (bench) => {
    const id = Uint8Array.of(0xce, 0x27);
    const label = freshLabel("certificate");
    const [privateHalf] = importSteps(
      createPrivateKey(TEST_KEYS.rsa2048),
      { label, id },
      { DECRYPT: true, SIGN: false },
    );
    const base64 = CERTIFICATE.replaceAll(/-----[^-]*-----|\s/g, "");
    const VALUE = new Uint8Array(Buffer.from(base64, "base64"));
    const certificate = {
      CLASS: CKO.CERTIFICATE,
      CERTIFICATE_TYPE: 0,
      TOKEN: true,
      LABEL: `${label}, certified`,
      ID: id,
      VALUE,
    };
    const names = namesOf(VALUE);
    await bench.put([privateHalf, { do: "create", values: certificate, names }]);
    const key = await bench.door.findKey({ ...parseUri(bench.uri), id });
    expect(key.seenAs).toBe("certificate");
    await sealAndOpen(bench, key);
    await bench.raw([{ do: "destroy", values: { ID: id } }]);
  }),
];

/**
 * What a key of this purpose opens. If a token has no keys that only unwrap, it makes one that
 * decrypts.
 */
export function hashesOf(bench: Bench, purpose: "exchange" | "decrypt"): OaepHash[] {
  const unwrapped = HASHES.filter((hash) => bench.offers(`oaep-unwrap-${hash}`));
  if (purpose === "exchange" && unwrapped.length > 0) return unwrapped;
  return HASHES.filter((hash) => bench.offers(`oaep-decrypt-${hash}`));
}

/** A file of several segments. */
async function sealAndOpen(bench: Bench, key: KeyInfo, oaep?: OaepHash): Promise<void> {
  const text = new Uint8Array(randomBytes(20_000));
  const recipient = { publicKey: bench.door.identity(key).publicKey };
  const sealed = await seal(text, {
    recipients: [recipient],
    segLog2: 12,
    ...(oaep === undefined ? {} : { oaep }),
  });
  const opened = await open(sealed.stream(), { identities: [bench.door.identity(key)] });
  expect(Buffer.compare(await opened.plaintext.bytes(), text)).toBe(0);
}

/** Opens that message with each of these TEST keys, which the token has or gets imported. */
async function openSame(
  bench: Bench,
  names: readonly (keyof typeof TEST_KEYS)[],
  use: AttributeValues,
): Promise<void> {
  for (const [i, name] of names.entries()) {
    const id = Uint8Array.of(0x5a, i);
    const held = await heldKey(bench, name);
    if (held === undefined) {
      const label = freshLabel(name);
      await bench.put(importSteps(createPrivateKey(TEST_KEYS[name]), { label, id }, use));
    }
    const key = held ?? (await bench.door.findKey({ ...parseUri(bench.uri), id }));
    const opened = await open(SAME_MESSAGE, { identities: [bench.door.identity(key)] });
    expect(new TextDecoder().decode(await opened.plaintext.bytes())).toBe(SAME_TEXT);
    if (held === undefined) await bench.raw([{ do: "destroy", values: { ID: id } }]);
  }
}

/** A TEST key that was preloaded on the token. */
async function heldKey(bench: Bench, name: keyof typeof TEST_KEYS): Promise<KeyInfo | undefined> {
  const wanted = createPublicKey(TEST_KEYS[name]);
  const listed = await bench.door.keys(parseUri(bench.uri));
  return listed.find(({ publicKey }) => publicKey?.object.equals(wanted));
}

/** Serial number, issuer and subject of a certificate, DER (RFC 5280 §4.1). */
function namesOf(certificate: Uint8Array) {
  const fields = new DerReader(certificate, "certificate").sequence().sequence();
  fields.skip(); // version
  const serial = der(TAG.integer, fields.read(TAG.integer));
  fields.skip(); // algorithm
  const issuer = der(TAG.sequence, fields.read(TAG.sequence));
  fields.skip(); // validity
  return { serial, issuer, subject: der(TAG.sequence, fields.read(TAG.sequence)) };
}
