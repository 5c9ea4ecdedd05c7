/** Messages that a reader refuses at steps 11 to 16: the wrapped key, the MAC, and the body. */
import { createPrivateKey, createPublicKey, diffieHellman, sign } from "node:crypto";
import * as f from "../../test/docs/formulas.mjs";
import { withL } from "./bad-sender.mjs";
import { extension, FULL, refusedBy, spoiled, text } from "./good.mjs";
import { modulusOf } from "./wraps.mjs";
import { randomOf, writeMessage } from "./writer.mjs";

/** @typedef {import("./good.mjs").Case} Case */
/** @typedef {import("./writer.mjs").Spec} Spec */
/** @typedef {import("./writer.mjs").Body} Body */

/** @param {import("./good.mjs").Keys} pems @returns {Case[]} */
export function badBodies(pems) {
  const pem = (/** @type {string} */ name) => /** @type {string} */ (pems[name]);
  const to = [{ pem: pem("p256") }];
  const sender = { pem: pem("ed25519-sign") };
  const refused = refusedBy(to);
  const unauthentic = refused(12, "ERR_NOT_AUTHENTIC");
  const segment = refused(14, "ERR_SEGMENT");
  const trailer = refused(15, "ERR_TRAILER");
  const cut = (/** @type {number} */ step) => refused(step, "ERR_TRUNCATED");
  /** @type {(change: (segments: Uint8Array[]) => Uint8Array[]) => Partial<Spec>} */
  const segments = (change) => ({
    ...{ plaintext: text(2 * FULL + 9) },
    body: (body) => ({ ...body, segments: change(body.segments) }),
  });
  /** @type {(length: (bytes: Buffer) => number) => Partial<Case>} */
  const shortened = (length) => ({
    bytes: ({ header, body }) => {
      const all = f.join(header, body);
      return all.subarray(0, length(all));
    },
  });
  const rsa = { to: [{ pem: pem("rsa2048") }] };
  const hybrid = { pem: pem("mlkem768-p256") };
  /**
   * One bit of the last byte of a part of each stanza.
   * @type {(start: number, end: number) => NonNullable<Spec["stanzas"]>}
   */
  const altered = (start, end) => (own) =>
    own.map((one) => {
      const { body } = one;
      const parts = [
        body.subarray(0, start),
        spoiled(body.subarray(start, end)),
        body.subarray(end),
      ];
      return { ...one, body: f.join(...parts) };
    });

  return [
    // Steps 11 and 12: whatever goes wrong with a stanza looks like an altered header
    unauthentic("mac-altered", "one bit of the MAC changed", { mac: spoiled }),
    unauthentic(
      "ext-added",
      "an extension added by somebody without the file key",
      {},
      {
        bytes: ({ header, body }) => {
          const ext = extension(0x8000, "x");
          const rest = header.subarray(39);
          return f.join(header.subarray(0, 35), f.uint(4, ext.length), ext, rest, body);
        },
      },
    ),
    ...["p256", "p384", "p521", "x25519", "rsa2048", "mlkem768-p256", "mlkem1024-p384"].map((key) =>
      unauthentic(
        `stanza-altered-${key}`,
        "one bit of the wrapped key changed; the MAC is over the change",
        {
          to: [{ pem: pem(key) }],
          stanzas: (own) => own.map((one) => ({ ...one, body: spoiled(one.body) })),
        },
        { keys: [key] },
      ),
    ),
    unauthentic("second-stanza-not-tried", "of two for one key and hash, only the second unwraps", {
      stanzas: (own) => [...own.map((one) => ({ ...one, body: spoiled(one.body) })), ...own],
    }),
    ...[0, 31, 33].map((size) =>
      unauthentic(
        `file-key-${size}-bytes`,
        "everything is made from a file key of another length",
        { ...rsa, fileKey: Buffer.alloc(size, 7) },
        { keys: ["rsa2048"] },
      ),
    ),
    unauthentic("enc-off-curve", "enc is no point of P-256", {
      stanzas: (own) =>
        own.map((one) => ({
          ...one,
          body: f.join(spoiled(one.body.subarray(0, 65)), one.body.subarray(65)),
        })),
    }),
    unauthentic(
      "enc-x25519-not-canonical",
      "enc is u + p: a reader that takes it agrees on the right secret",
      { to: [{ pem: pem("x25519"), ...notCanonical(pem("x25519")) }] },
      { keys: ["x25519"] },
    ),
    unauthentic(
      "enc-x25519-high-bit",
      "enc has its highest bit set: a reader that masks it agrees on the right secret",
      { to: [{ pem: pem("x25519"), ...highBit(pem("x25519")) }] },
      { keys: ["x25519"] },
    ),
    unauthentic(
      "enc-x25519-small-order",
      "enc is zero, and the message is made for the zeros that come of it",
      { to: [{ pem: pem("x25519"), enc: Buffer.alloc(32), dh: Buffer.alloc(32) }] },
      { keys: ["x25519"] },
    ),
    unauthentic(
      "enc-mlkem-altered",
      "one bit of the ML-KEM ciphertext changed: it decapsulates, to another secret",
      { to: [hybrid], stanzas: altered(0, 100) },
      { keys: ["mlkem768-p256"] },
    ),
    unauthentic(
      "enc-mlkem-point-off-curve",
      "the point after the ML-KEM ciphertext is not on the curve",
      { to: [hybrid], stanzas: altered(1088, 1153) },
      { keys: ["mlkem768-p256"] },
    ),
    unauthentic("hpke-info-of-another", "info has another message's id", {
      to: [{ pem: pem("p256"), infoId: Buffer.alloc(16, 7) }],
    }),
    unauthentic("hpke-without-aad", "sealed with an empty aad", {
      to: [{ pem: pem("p256"), aad: Buffer.alloc(0) }],
    }),
    unauthentic(
      "oaep-with-label",
      "OAEP with a label that is not empty",
      { to: [{ pem: pem("rsa2048"), label: f.ascii("label") }] },
      { keys: ["rsa2048"] },
    ),
    unauthentic(
      "rsa-ciphertext-above-modulus",
      "the modulus added to the ciphertext: RSADP refuses it (RFC 8017 §5.1.2)",
      { ...rsa, stanzas: (_own, { wrap }) => [aboveModulus(wrap, pem("rsa2048"))] },
      { keys: ["rsa2048"] },
    ),
    // Step 13
    cut(13)("body-missing", "a header and nothing else", {}, { bytes: ({ header }) => header }),
    cut(13)(
      "body-header-cut",
      "the input ends within the FLOE header",
      {},
      {
        bytes: ({ header, body }) => f.join(header, body.subarray(0, 73)),
      },
    ),
    ...[
      ["floe-aead-1", "another aeadId", "01000000100000000020"],
      ["floe-kdf-1", "another kdfId", "00010000100000000020"],
      ["floe-segment-length", "another segment length than PRELUDE's", "00000000200000000020"],
      ["floe-iv-length", "another length of iv", "00000000100000000010"],
    ].map(([name = "", why = "", parameters = ""]) =>
      refused(13, "ERR_BODY_HEADER")(name, why, {
        floe: { parameters: Buffer.from(parameters, "hex") },
      }),
    ),
    refused(13, "ERR_BODY_HEADER")("floe-tag-altered", "one bit of headerTag changed", {
      floe: { headerTag: spoiled },
    }),
    refused(13, "ERR_BODY_HEADER")(
      "body-of-another-message",
      "sealed under another file key",
      {},
      {
        bytes: ({ header }) => f.join(header, writeMessage("another", { to }).body),
      },
    ),
    // Step 14
    segment("segment-altered", "one bit of the first segment's tag changed", {
      ...segments(([first = Buffer.alloc(0), ...rest]) => [spoiled(first), ...rest]),
    }),
    segment("last-segment-altered", "one bit of the last segment's tag changed", {
      ...segments((all) => all.map((one, i) => (i === 2 ? spoiled(one) : one))),
    }),
    segment("segments-swapped", "the first two in the other order", {
      ...segments((all) => [all[1], all[0], all[2]].map((one) => one ?? Buffer.alloc(0))),
    }),
    segment("segment-twice", "the first one twice", {
      ...segments((all) => [all[0], all[0], all[2]].map((one) => one ?? Buffer.alloc(0))),
    }),
    segment("segment-marked-last", "the middle one marked as last, and nothing after it", {
      ...segments((all) =>
        all.slice(0, 2).map((one, i) => (i === 1 ? f.join(f.uint(4, 4096), one.subarray(4)) : one)),
      ),
    }),
    segment("segment-sealed-as-not-last", "the last one's associated data says that it is not", {
      segments: (seal, plaintext) => [seal(0, true, plaintext, f.segmentAad(0, false))],
    }),
    segment("segment-position-off", "the only segment is sealed as the second", {
      segments: (seal, plaintext) => [seal(0, true, plaintext, f.segmentAad(1, true))],
    }),
    segment("last-segment-empty", "a full segment, then an empty one", {
      plaintext: text(FULL),
      segments: (seal, plaintext) => [seal(0, false, plaintext), seal(1, true, Buffer.alloc(0))],
    }),
    segment("segment-length-31", "shorter than any segment", {
      body: (body) => ({ ...body, segments: [f.join(f.uint(4, 31), Buffer.alloc(27))] }),
    }),
    segment("segment-length-4097", "longer than a segment of this message", {
      plaintext: Buffer.alloc(FULL + 1),
      segments: (seal, plaintext) => [seal(0, true, plaintext)],
    }),
    cut(14)(
      "segment-cut",
      "the input ends within the last segment",
      {},
      {
        ...shortened(({ length }) => length - 1),
      },
    ),
    cut(14)(
      "segment-length-cut",
      "the input ends within a segment's length",
      {},
      {
        bytes: ({ header, body }) => f.join(header, body.subarray(0, 77)),
      },
    ),
    cut(14)("last-segment-missing", "the input ends after a segment that is not the last", {
      ...segments((all) => all.slice(0, 2)),
    }),
    cut(14)("no-segment", "the input ends after the FLOE header", {
      body: (body) => ({ ...body, segments: [] }),
    }),
    // Step 15
    trailer("trailer-altered", "one bit of the trailer changed", {
      ...{ sender, body: (body) => ({ ...body, trailer: spoiled(body.trailer) }) },
    }),
    trailer("trailer-s-not-below-l", "s + L in place of s", {
      ...{ sender, body: (body) => ({ ...body, trailer: withL(body.trailer) }) },
    }),
    trailer("trailer-by-the-sender", "the long-term key signed, not the one-time key", {
      sender: {
        ...sender,
        signBody: (summary) => sign(null, summary, createPrivateKey(pem("ed25519-sign"))),
      },
    }),
    trailer("trailer-counts-swapped", "segments before N in what is signed", {
      sender: {
        ...sender,
        signBody: (summary, oneTime) => {
          const counts = f.join(summary.subarray(178), summary.subarray(170, 178));
          const swapped = f.join(summary.subarray(0, 170), counts);
          return sign(null, swapped, oneTime);
        },
      },
    }),
    trailer(
      "body-replaced",
      "another recipient, who has the file key, sealed another body",
      {
        ...{ sender, plaintext: f.ascii("what the sender wrote") },
      },
      {
        bytes: ({ header, body }) => {
          const plaintext = f.ascii("what somebody else wrote");
          const other = writeMessage("body-replaced", { to, sender, plaintext });
          return f.join(header, other.body.subarray(0, -64), body.subarray(-64));
        },
      },
    ),
    cut(15)(
      "trailer-missing",
      "a signed message without its trailer",
      { sender },
      {
        ...shortened(({ length }) => length - 64),
      },
    ),
    cut(15)(
      "trailer-cut",
      "the input ends within the trailer",
      { sender },
      {
        ...shortened(({ length }) => length - 1),
      },
    ),
    // Step 16
    refused(16, "ERR_TRAILING")(
      "trailing-byte",
      "a byte after the last segment",
      {},
      {
        bytes: ({ header, body }) => f.join(header, body, Buffer.of(0)),
      },
    ),
    refused(16, "ERR_TRAILING")(
      "trailing-byte-signed",
      "a byte after the trailer",
      { sender },
      {
        bytes: ({ header, body }) => f.join(header, body, Buffer.of(0)),
      },
    ),
    refused(16, "ERR_TRAILING")(
      "two-messages",
      "two messages, one after the other",
      {},
      {
        bytes: ({ header, body }) => f.join(header, body, header, body),
      },
    ),
  ];
}

/** PKCS#8 of an X25519 key, up to its 32 bytes (RFC 8410 §7). */
const X25519_HEAD = Buffer.from("302e020100300506032b656e04220420", "hex");

/** The right secret beside an enc with its highest bit set. @param {string} pem */
function highBit(pem) {
  const der = f.join(X25519_HEAD, randomOf("high bit")("ephemeral key"));
  const privateKey = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  const publicKey = createPublicKey(privateKey);
  const enc = Buffer.from(publicKey.export({ format: "der", type: "spki" }).subarray(-32));
  enc[31] = enc.readUInt8(31) | 0x80;
  return { enc, dh: diffieHellman({ privateKey, publicKey: createPublicKey(pem) }) };
}

/**
 * The base point, 9, which has a second encoding, 9 + p, and what the recipient agrees on with it.
 * @param {string} pem
 */
function notCanonical(pem) {
  const u = Buffer.alloc(32);
  u[0] = 9;
  const spki = f.join(Buffer.from("302a300506032b656e032100", "hex"), u);
  const publicKey = createPublicKey({ key: spki, format: "der", type: "spki" });
  const enc = Buffer.from(`f6${"ff".repeat(30)}7f`, "hex");
  return { enc, dh: diffieHellman({ privateKey: createPrivateKey(pem), publicKey }) };
}

/** @param {import("./writer.mjs").Making["wrap"]} wrap @param {string} pem */
function aboveModulus(wrap, pem) {
  const number = (/** @type {Uint8Array} */ bytes) =>
    BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
  // Only a small ciphertext leaves room for the sum in as many bytes.
  for (let attempt = 0; ; attempt++) {
    const stanza = wrap({ pem, attempt });
    const sum = number(stanza.body.subarray(2)) + number(modulusOf(pem));
    const bytes = Buffer.from(sum.toString(16).padStart(514, "0"), "hex");
    if (bytes[0] !== 0) continue;
    return { ...stanza, body: f.join(stanza.body.subarray(0, 2), bytes.subarray(1)) };
  }
}
