/**
 * Writes a message from the formulas of docs/format.md, and lets every part of it be replaced: what
 * depends on a part is made from what was put in its place. So a message has the one fault it was
 * given, and nothing else is wrong with it.
 */
import { createPrivateKey, createPublicKey, sign } from "node:crypto";
import * as f from "../../test/docs/formulas.mjs";
import { encapsulate, ephemeral, oaep, signature } from "./wraps.mjs";

/** @typedef {Uint8Array} Bytes */
/** @typedef {import("node:crypto").KeyObject} KeyObject */
/** @typedef {{ type: number, tag: Bytes, body: Bytes, bodyLen?: number }} Stanza */
/** @typedef {(label: string, bytes?: number) => Buffer} Random */

/**
 * @typedef {object} Wrapping whom a stanza is for, and what is to be different in it
 * @property {string} pem the recipient's private key
 * @property {1 | 2 | 3 | 4} [hash] for RSA
 * @property {Bytes} [label] for OAEP
 * @property {number} [attempt] for other random values
 * @property {Bytes} [enc] in place of the ephemeral key
 * @property {Bytes} [dh] in place of what was agreed on; of a hybrid, of the KEM's secret
 * @property {Bytes} [infoId] in place of the message id in HPKE's info
 * @property {Bytes} [aad] in place of the key's hash
 */

/**
 * @typedef {object} Making what a message is made with, for those who change a part of it
 * @property {Random} random
 * @property {Bytes} messageId
 * @property {Bytes} fileKey
 * @property {(wrapping: Wrapping) => Stanza} wrap
 */

/** @typedef {Map<number, Bytes>} Entries CORE's values, encoded, by key */

/**
 * @typedef {object} Sender
 * @property {string} pem
 * @property {number} [createdMs] @property {number} [expiresMs] @property {number} [serial]
 * @property {Bytes} [spki] in place of the key's own
 * @property {number} [algorithm] in place of the key's own
 * @property {(message: Bytes, random: Random) => Bytes} [sign] in place of the key's own way
 * @property {(block: Buffer) => Bytes} [block] changes SIG, without its length field
 * @property {(summary: Bytes, oneTime: KeyObject) => Bytes} [signBody] in place of the one-time
 *   key's way
 */

/**
 * @typedef {object} Body
 * @property {Bytes} start the FLOE header @property {Bytes[]} segments @property {Bytes} trailer
 */

/**
 * @typedef {object} Spec
 * @property {readonly Wrapping[]} to
 * @property {Bytes} [plaintext]
 * @property {{ magic?: Bytes, version?: number, suite?: number, segLog2?: number, flags?: number,
 *   coreLen?: number }} [prelude]
 * @property {Bytes} [fileKey]
 * @property {(stanzas: Stanza[], making: Making) => Stanza[]} [stanzas]
 * @property {(recips: Buffer) => Bytes} [recips] changes RECIPS, without its length field
 * @property {(entries: Entries, making: Making) => Entries | Bytes} [core]
 * @property {Sender} [sender]
 * @property {Bytes | ((made: ForExt) => Bytes)} [ext] EXT, without its length field
 * @property {(stanzas: Stanza[], making: Making) => Stanza[]} [rewrap] changes stanzas once all is
 *   signed
 * @property {(mac: Buffer) => Bytes} [mac]
 * @property {{ parameters?: Bytes, headerTag?: (tag: Bytes) => Bytes }} [floe]
 * @property {(segment: (i: number, final: boolean, text: Bytes, aad?: Bytes) => Bytes, text: Bytes)
 *   => Bytes[]} [segments]
 * @property {(body: Body) => Body} [body] changes the body once all is made
 */

/**
 * @typedef {object} ForExt what EXT may be made from
 * @property {Random} random
 * @property {Bytes} messageId
 * @property {Bytes} immutable PRELUDE ‖ CORE ‖ SIG
 * @property {Bytes} recips RECIPS as it is in the message
 */

export const MAGIC = Buffer.from("8b5031310d0a1a0a", "hex");

/** Random bytes that come from a name. @param {string} name @returns {Random} */
export const randomOf =
  (name) =>
  (label, bytes = 32) =>
    f.expand("sha512", f.ascii(`p11seal format kit: ${name}`), f.ascii(label), bytes);

/** `len u32 ‖ content` @param {...Bytes} parts */
export function block(...parts) {
  const content = f.join(...parts);
  return f.join(f.uint(4, content.length), content);
}

// ── CBOR (RFC 8949 §3) ──

/** The shortest head. @param {number} major @param {number} value */
export function head(major, value) {
  const size = [24, 2 ** 8, 2 ** 16, 2 ** 32].findIndex((limit) => value < limit);
  const bytes = [0, 1, 2, 4][size] ?? 8;
  const first = (major << 5) | (bytes === 0 ? value : 24 + Math.log2(bytes));
  return f.join(Buffer.of(first), f.uint(bytes, bytes === 0 ? 0 : value));
}
export const cbor = {
  /** @param {number} value */
  uint: (value) => head(0, value),
  /** @param {Bytes} value */
  bytes: (value) => f.join(head(2, value.length), value),
  /** @param {readonly Bytes[]} values */
  array: (values) => f.join(head(4, values.length), ...values.map(cbor.bytes)),
  /** @param {Entries} entries */
  map: (entries) => {
    const sorted = [...entries].sort(([a], [b]) => a - b);
    return f.join(
      head(5, entries.size),
      ...sorted.flatMap(([key, value]) => [head(0, key), value]),
    );
  },
};

// ── The message ──

/**
 * @param {string} name what its random values are made from
 * @param {Spec} spec
 * @returns {{ header: Buffer, body: Buffer }}
 */
export function writeMessage(name, spec) {
  const random = randomOf(name);
  const messageId = random("message id", 16);
  const fileKey = spec.fileKey ?? random("file key");
  /** @type {(wrapping: Wrapping) => Stanza} */
  const wrap = (wrapping) => stanzaOf(wrapping, { messageId, fileKey, random });
  const making = { random, messageId, fileKey, wrap };
  const { prelude: given = {}, stanzas: change = (list) => list } = spec;
  const segLog2 = given.segLog2 ?? 12;

  const stanzas = change(spec.to.map(wrap), making);
  const recips = recipsOf(stanzas, spec);
  const core = coreOf(spec, making, recips);
  const prelude = f.join(
    given.magic ?? MAGIC,
    Buffer.of(given.version ?? 1, given.suite ?? 1, segLog2),
    Buffer.of(given.flags ?? (spec.sender === undefined ? 0 : 1)),
    f.uint(4, given.coreLen ?? core.length),
  );
  const signed = f.join(prelude, core);
  const immutable = f.join(signed, sigOf(spec.sender, signed, random));
  const last = spec.rewrap === undefined ? recips : recipsOf(spec.rewrap(stanzas, making), spec);
  const { ext: extOf = Buffer.alloc(0) } = spec;
  const forExt = { random, messageId, immutable, recips: last };
  const ext = block(typeof extOf === "function" ? extOf(forExt) : extOf);
  const transcript = f.join(immutable, ext, last);
  const mac = f.hmac("sha256", f.fromFileKey(fileKey, "p11seal/v1 header mac"), transcript);
  const header = f.join(transcript, spec.mac?.(mac) ?? mac);
  return { header, body: bodyOf(spec, { random, fileKey, immutable, segLog2 }) };
}

/** @param {Wrapping} wrapping @param {Omit<Making, "wrap">} making @returns {Stanza} */
function stanzaOf(wrapping, { messageId, fileKey, random }) {
  const { pem, hash = 2, attempt = 0 } = wrapping;
  const spki = f.spkiOf(pem);
  const spkiHash = f.hash("sha256", spki);
  const tag = f.stanzaTag(messageId, spki);
  const seed = random(`wrap to ${spkiHash.toString("hex")}, hash ${hash}, ${attempt}`);
  const hybrid = f.hybridOf(pem);
  if (hybrid !== undefined) {
    const type = /** @type {6 | 7} */ (hybrid.type);
    const made = encapsulate(hybrid, seed);
    const { enc = made.enc, infoId = messageId, aad = spkiHash } = wrapping;
    const { key, nonce } = f.scheduleFrom(type, wrapping.dh ?? made.shared, infoId);
    return { type, tag, body: f.join(enc, f.gcmSeal(key, nonce, aad, fileKey)) };
  }
  const { kty, crv } = createPublicKey(pem).export({ format: "jwk" });
  if (kty === "RSA") {
    const ciphertext = oaep(pem, hash, fileKey, seed, wrapping.label);
    return { type: 1, tag, body: f.join(Buffer.of(hash, hash), ciphertext) };
  }
  const type = /** @type {2 | 3 | 4 | 5} */ (
    2 + ["P-256", "P-384", "P-521", "X25519"].indexOf(crv ?? "")
  );
  const made = ephemeral(pem, seed);
  const { enc = made.enc, dh = made.dh, infoId = messageId, aad = spkiHash } = wrapping;
  const point = spki.subarray(-f.KEMS[type].encBytes);
  const { key, nonce } = f.hpkeSchedule(type, dh, enc, point, infoId);
  return { type, tag, body: f.join(enc, f.gcmSeal(key, nonce, aad, fileKey)) };
}

/** @param {readonly Stanza[]} stanzas @param {Spec} spec */
function recipsOf(stanzas, { recips = (bytes) => bytes }) {
  const parts = stanzas.flatMap(({ type, tag, body, bodyLen = body.length }) => [
    ...[f.uint(2, type), tag, f.uint(4, bodyLen), body],
  ]);
  return block(recips(f.join(f.uint(2, stanzas.length), ...parts)));
}

/** §4: what a recipient is called in CORE. @param {Bytes} messageId @param {string} pem */
export const addresseeTag = (messageId, pem) =>
  f.hmac("sha256", f.join(f.ascii("p11seal/v1 addr"), messageId), f.hash("sha256", f.spkiOf(pem)));

/** @param {Spec} spec @param {Making} making @param {Bytes} recips */
function coreOf({ to, sender, core = (entries) => entries }, making, recips) {
  const { messageId, random } = making;
  /** @type {Entries} */
  const entries = new Map([[1, cbor.bytes(messageId)]]);
  if (sender !== undefined) {
    const { pem, createdMs = 1_800_000_000_000, expiresMs, serial = 1 } = sender;
    const addressees = to.map((one) => addresseeTag(messageId, one.pem));
    entries.set(2, cbor.uint(createdMs));
    if (expiresMs !== undefined) entries.set(3, cbor.uint(expiresMs));
    entries.set(4, cbor.bytes(f.hash("sha256", sender.spki ?? f.spkiOf(pem))));
    entries.set(5, cbor.bytes(random("stream id", 16)));
    entries.set(6, cbor.uint(serial));
    entries.set(
      7,
      cbor.array([...new Map(addressees.map((tag) => [tag.toString("hex"), tag])).values()]),
    );
    entries.set(8, cbor.bytes(rawOf(oneTimeOf(random))));
    entries.set(9, cbor.bytes(f.hash("sha256", recips)));
  }
  const changed = core(entries, making);
  return changed instanceof Map ? cbor.map(changed) : changed;
}

/** The 32 bytes of an Ed25519 public key. @param {KeyObject} privateKey */
const rawOf = (privateKey) =>
  createPublicKey(privateKey).export({ format: "der", type: "spki" }).subarray(-32);

/** @param {Random} random */
function oneTimeOf(random) {
  const start = Buffer.from("302e020100300506032b657004220420", "hex");
  return createPrivateKey({
    ...{ key: f.join(start, random("one-time key")), format: "der", type: "pkcs8" },
  });
}

/** @param {Sender | undefined} sender @param {Bytes} signed @param {Random} random */
function sigOf(sender, signed, random) {
  if (sender === undefined) return Buffer.alloc(0);
  const message = f.join(f.ascii("p11seal/v1 core\0"), f.hash("sha384", signed));
  const own = signature(sender.pem, message, random("nonce"));
  const { algorithm = own.algorithm, spki = f.spkiOf(sender.pem) } = sender;
  const bytes = sender.sign?.(message, random) ?? own.bytes;
  const content = f.join(
    ...[f.uint(2, algorithm), f.uint(2, spki.length), spki],
    ...[f.uint(2, bytes.length), bytes],
  );
  return block(sender.block?.(content) ?? content);
}

/**
 * @param {Spec} spec
 * @param {{ random: Random, fileKey: Bytes, immutable: Bytes, segLog2: number }} made
 */
function bodyOf(spec, { random, fileKey, immutable, segLog2 }) {
  const { plaintext = f.ascii("hello"), floe = {}, sender } = spec;
  const size = 2 ** segLog2 - 32;
  const floeKey = f.fromFileKey(fileKey, "p11seal/v1 floe");
  const aad = f.hash("sha384", immutable);
  const start = f.join(floe.parameters ?? f.floeParameters(segLog2), random("FLOE iv"));
  const { headerTag, messageKey } = f.floeStart(floeKey, start, aad);
  const floeHeader = f.join(start, floe.headerTag?.(headerTag) ?? headerTag);

  /** @param {number} i @param {boolean} final @param {Bytes} text @param {Bytes} [segmentAad] */
  const segment = (i, final, text, segmentAad = f.segmentAad(i, final)) => {
    const iv = random(`segment iv ${i}`, 12);
    const key = f.segmentKey(messageKey, start, aad, i);
    const length = final ? f.uint(4, 32 + text.length) : Buffer.alloc(4, 0xff);
    return f.join(length, iv, f.gcmSeal(key, iv, segmentAad, text));
  };
  const count = Math.max(1, Math.ceil(plaintext.length / size));
  const segments =
    spec.segments?.(segment, plaintext) ??
    Array.from({ length: count }, (_, i) =>
      segment(i, i === count - 1, plaintext.subarray(i * size, (i + 1) * size)),
    );

  const bytes = segments.reduce((sum, { length }) => sum + length - 32, 0);
  const summary = f.join(
    ...[f.ascii("p11seal/v1 body\0"), aad, floeHeader, f.treeHash(segments)],
    ...[f.uint(8, bytes), f.uint(8, segments.length)],
  );
  const trailer =
    sender === undefined
      ? Buffer.alloc(0)
      : (sender.signBody?.(summary, oneTimeOf(random)) ?? sign(null, summary, oneTimeOf(random)));
  const body = { start: floeHeader, segments, trailer };
  const { start: first, segments: rest, trailer: end } = spec.body?.(body) ?? body;
  return f.join(first, ...rest, end);
}
