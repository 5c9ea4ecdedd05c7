/** The messages of the kit that open: each shows one thing that a reader must take. */
import * as f from "../../test/docs/formulas.mjs";
import {
  add,
  BASE,
  bytesOf,
  decode,
  encode,
  L,
  littleEndian,
  NEUTRAL,
  smallOrderPoints,
  times,
} from "../../test/support/edwards.mjs";
import { cbor } from "./writer.mjs";

/**
 * @typedef {object} Case
 * @property {string} name the file's, without its ending
 * @property {string} why
 * @property {readonly string[]} keys each opens it, or is refused as `error` says
 * @property {import("./writer.mjs").Spec} spec
 * @property {string} [sender] the signing key
 * @property {string} [custodian] who passed the message on, and is to be taken
 * @property {boolean} [detached] header and body are two files
 * @property {number} [step] of docs/format.md §13, at which it is refused
 * @property {string} [error] p11seal's name for that
 * @property {(message: { header: Buffer, body: Buffer }) => Uint8Array} [bytes] changes the whole
 *   message
 */

/** @typedef {Record<string, string>} Keys private keys in PEM, by name */

/** Bytes that repeat a text. @param {number} length */
export const text = (length) => Buffer.alloc(length, "p11seal format kit ");
/** Bytes of plaintext in a segment of 2^12. */
export const FULL = 4064;

/** @param {Keys} pems @returns {Case[]} */
export function goodCases(pems) {
  const pem = (/** @type {string} */ name) => /** @type {string} */ (pems[name]);
  const to = (/** @type {string[]} */ ...names) => names.map((name) => ({ pem: pem(name) }));
  const p256 = to("p256");
  const ed25519 = { pem: pem("ed25519-sign") };
  const foreign = (/** @type {number} */ i, type = 99) => ({
    type,
    tag: f.uint(8, i),
    body: Buffer.alloc(0),
  });
  /**
   * @type {(name: string, why: string, spec: Partial<import("./writer.mjs").Spec>, more?:
   *   Partial<Case>) => Case}
   */
  const good = (name, why, spec, more = {}) => ({
    ...{ name, why, keys: ["p256"], spec: { to: p256, ...spec } },
    ...(spec.sender === undefined ? {} : { sender: "ed25519-sign" }),
    ...more,
  });

  const all = ["p256", "p384", "p521", "x25519", "mlkem768-p256", "mlkem1024-p384"];
  const rsa = /** @type {const} */ ([
    ["sha1", 1],
    ["sha256", 2],
    ["sha384", 3],
    ["sha512", 4],
  ]);
  const two = [
    { pem: pem("rsa2048"), hash: /** @type {const} */ (2) },
    { pem: pem("rsa2048"), hash: /** @type {const} */ (1) },
  ];
  return [
    ...all.map((key) => good(key, `to one key, ${key}`, { to: to(key) }, { keys: [key] })),
    ...rsa.map(([name, hash]) =>
      good(
        `rsa2048-${name}`,
        `RSA-OAEP with ${name}`,
        { to: [{ pem: pem("rsa2048"), hash }] },
        { keys: ["rsa2048"] },
      ),
    ),
    good("rsa3072", "to RSA-3072", { to: to("rsa3072") }, { keys: ["rsa3072"] }),
    good("rsa2048-two-stanzas", "SHA-256, then SHA-1", { to: two }, { keys: ["rsa2048"] }),
    good(
      "several-recipients",
      "one stanza each, two for RSA; every key opens it",
      { to: [...to(...all), ...two] },
      { keys: [...all, "rsa2048"] },
    ),

    good("empty", "no plaintext: one segment of 32 bytes", { plaintext: text(0) }),
    good("one-byte", "one byte", { plaintext: text(1) }),
    good("full-segment", "4,064 bytes: one full segment, the last", { plaintext: text(FULL) }),
    good("full-segment-and-a-byte", "4,065 bytes", { plaintext: text(FULL + 1) }),
    good("two-full-segments", "8,128 bytes", { plaintext: text(2 * FULL) }),
    good("seglog2-18", "segments of 256 KiB", { prelude: { segLog2: 18 } }),
    good("seglog2-22", "the largest segments", { prelude: { segLog2: 22 } }),

    good("core-key-64", "a key that means nothing in an unsigned message", {
      core: (entries) => entries.set(64, cbor.bytes(f.ascii("later"))),
    }),
    good("core-key-65", "a key that readers may ignore", {
      sender: ed25519,
      core: (entries) => entries.set(65, cbor.bytes(f.ascii("later"))),
    }),
    good("core-rules-hash", "the hash of the sender's rules", {
      sender: ed25519,
      core: (entries) => entries.set(64, cbor.bytes(Buffer.alloc(32, 7))),
    }),
    good("core-key-max", "the largest key, 2^53 − 1", {
      core: (entries) => entries.set(2 ** 53 - 1, cbor.bytes(Buffer.alloc(0))),
    }),
    good("ext-skippable", "EXT types 8000 and ffff, one of them twice", {
      ext: f.join(extension(0x8000, "a"), extension(0xffff, ""), extension(0x8000, "b")),
    }),
    good("stanza-of-unknown-type", "types 0, 8, 9 and ffff before the reader's own", {
      stanzas: (own) => [...[0, 8, 9, 0xffff].map((type, i) => foreign(i, type)), ...own],
    }),
    good("stanzas-2048", "1,024 recipients with two stanzas each: the most there can be", {
      stanzas: (own) => [
        ...Array.from({ length: 1023 }, (_, i) => [foreign(i), foreign(i)]).flat(),
        ...[...own, ...own],
      ],
    }),
    good("second-stanza-of-a-key", "of two for one key and hash, the reader takes the first", {
      stanzas: (own) => [...own, ...own.map((one) => ({ ...one, body: spoiled(one.body) }))],
    }),
    good("detached", "key blob and body file", {}, { detached: true }),

    ...["ed25519", "p256", "p384", "rsa2048"].map((key) =>
      good(
        `signed-${key}`,
        `signed with ${key}-sign`,
        { to: to("x25519"), sender: { pem: pem(`${key}-sign`) } },
        { keys: ["x25519"], sender: `${key}-sign` },
      ),
    ),
    ...[0, 1, 2, 3, 5].map((count) =>
      good(`signed-${count}-segments`, "the shape of the Merkle tree", {
        plaintext: text(count === 0 ? 0 : count * FULL - 100),
        sender: ed25519,
      }),
    ),
    good("signed-several-recipients", "five addressees, six stanzas", {
      ...{ to: [...to(...all), ...two], sender: ed25519 },
    }),
    good("signed-expires", "a message that expires, in 2100", {
      sender: { ...ed25519, expiresMs: 4_102_444_800_000 },
    }),
    good("signed-expired-before-created", "well formed; step 8 refuses it if expiry is checked", {
      sender: { ...ed25519, expiresMs: 1 },
    }),
    good("signed-numbers", "serial and time at the ends of their ranges", {
      sender: { ...ed25519, serial: 2 ** 53 - 1, createdMs: 0, expiresMs: 2 ** 53 - 1 },
    }),
    good("signed-addressee-twice", "an addressee tag given twice is one addressee", {
      sender: ed25519,
      core: (entries) => {
        const tag = /** @type {Uint8Array} */ (entries.get(7)).subarray(-32);
        return entries.set(7, cbor.array([tag, tag]));
      },
    }),
    good("signed-ed25519-small-r", "a signature with R = 0: only the key's holder can make it", {
      sender: { ...ed25519, sign: (message) => ownEquation(pem("ed25519-sign"), message, NEUTRAL) },
    }),
    good("signed-ed25519-mixed-order", "a key of mixed order, and a signature that holds", {
      sender: { ...ed25519, ...mixedOrder(true) },
    }),
  ];
}

/**
 * What makes a message to `to` that is refused at a step, with an error, for one reason.
 * @param {import("./writer.mjs").Wrapping[]} to
 * @returns {(step: number, error: string) => (name: string, why: string,
 *   spec: Partial<import("./writer.mjs").Spec>, more?: Partial<Case>) => Case}
 */
export const refusedBy =
  (to) =>
  (step, error) =>
  (name, why, spec, more = {}) => ({
    ...{ name, why, keys: ["p256"], step, error, spec: { to, ...spec } },
    ...(spec.sender === undefined ? {} : { sender: "ed25519-sign" }),
    ...more,
  });

/** @param {number} type @param {string} body */
export const extension = (type, body) =>
  f.join(f.uint(2, type), f.uint(4, body.length), f.ascii(body));

/** The same bytes with one bit of the last changed. @param {Uint8Array} bytes */
export function spoiled(bytes) {
  const changed = Buffer.from(bytes);
  changed[changed.length - 1] = /** @type {number} */ (changed[changed.length - 1]) ^ 1;
  return changed;
}

/** RFC 8032 §5.1.5: the secret scalar. @param {string} pem */
export function secretScalar(pem) {
  const seed = Buffer.from(pem.replaceAll(/-----.*-----|\s/g, ""), "base64").subarray(-32);
  const wide = f.hash("sha512", seed).subarray(0, 32);
  wide[0] = wide.readUInt8(0) & 0xf8;
  wide[31] = (wide.readUInt8(31) & 0x7f) | 0x40;
  return littleEndian(wide);
}

/** @param {Uint8Array} r @param {Uint8Array} a @param {Uint8Array} message */
const challenge = (r, a, message) => littleEndian(f.hash("sha512", r, a, message)) % L;

/**
 * A signature with the given R, of the known multiple r of the base point.
 * @param {string} pem @param {Uint8Array} message @param
 *   {import("../../test/support/edwards.mjs").Point} point
 * @param {Uint8Array} [encoded] in place of R's own encoding
 */
export function ownEquation(pem, message, point, encoded = encode(point)) {
  const publicKey = f.spkiOf(pem).subarray(-32);
  const s = (challenge(encoded, publicKey, message) * secretScalar(pem)) % L;
  return f.join(encoded, bytesOf(s));
}

/**
 * A sender whose key is a multiple of the base point and a point of order 8, and signs by the
 * equation of one without it: that holds if the challenge is a multiple of 8, and otherwise only
 * after multiplying both sides by the cofactor, which the format doesn't do.
 * @param {boolean} holds
 */
export function mixedOrder(holds) {
  const a = 0x1234_5678_9abc_def0n;
  const torsion = smallOrderPoints().find((one) => times(4n, one)[1] !== 1n);
  if (torsion === undefined) throw new Error("no point of order 8");
  const publicKey = encode(add(times(a, BASE), torsion));
  if (decode(publicKey) === null) throw new Error("the sum is not on the curve");
  const spki = f.join(Buffer.from("302a300506032b6570032100", "hex"), publicKey);
  /** @param {Uint8Array} message */
  const sign = (message) => {
    for (let r = 1n; ; r++) {
      const point = encode(times(r, BASE));
      const k = challenge(point, publicKey, message);
      if ((k % 8n === 0n) === holds) return f.join(point, bytesOf((r + k * a) % L));
    }
  };
  return { spki, sign };
}
