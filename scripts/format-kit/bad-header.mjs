/** Messages that a reader refuses at steps 1 to 6: what anyone can see without any key. */
import * as f from "../../test/docs/formulas.mjs";
import { extension, FULL, refusedBy, text } from "./good.mjs";
import { cbor, head, MAGIC } from "./writer.mjs";

/** @typedef {import("./good.mjs").Case} Case */
/** @typedef {import("./writer.mjs").Spec} Spec */

/** @param {import("./good.mjs").Keys} pems @returns {Case[]} */
export function badHeaders(pems) {
  const pem = (/** @type {string} */ name) => /** @type {string} */ (pems[name]);
  const to = [{ pem: pem("p256") }];
  const sender = { pem: pem("ed25519-sign") };
  const refused = refusedBy(to);
  const foreign = refused(1, "ERR_NOT_A_MESSAGE");
  const cut = (/** @type {number} */ step) => refused(step, "ERR_TRUNCATED");
  const whole = (/** @type {(all: Buffer) => Uint8Array} */ change) => ({
    bytes: (/** @type {{ header: Buffer, body: Buffer }} */ { header, body }) =>
      change(f.join(header, body)),
  });
  const malformed = refused(5, "ERR_HEADER");

  /**
   * CORE of one id and some more, as the bytes say. @param {number} entries @param {string} more
   */
  const core = (entries, more) => ({
    core: (/** @type {unknown} */ _, /** @type {{ messageId: Uint8Array }} */ { messageId }) =>
      f.join(head(5, entries), Buffer.from("0150", "hex"), messageId, Buffer.from(more, "hex")),
  });
  /** CORE as hexadecimal, where ID stands for the message id. @param {string} hex */
  const raw = (hex) => ({
    core: (/** @type {unknown} */ _, /** @type {{ messageId: Uint8Array }} */ { messageId }) =>
      Buffer.from(hex.replace("ID", Buffer.from(messageId).toString("hex")), "hex"),
  });
  /**
   * A signed message with one value of CORE replaced. @param {number} key @param {Uint8Array |
   * null} value
   */
  const claim = (key, value) => ({
    sender,
    core: (/** @type {Map<number, Uint8Array>} */ entries) => {
      if (value === null) entries.delete(key);
      else entries.set(key, value);
      return entries;
    },
  });
  const sized = (/** @type {number} */ bytes) => cbor.bytes(Buffer.alloc(bytes, 7));
  /** @param {number} type @param {Uint8Array} body */
  const stranger = (type, body) => ({
    stanzas: (/** @type {import("./writer.mjs").Stanza[]} */ own) => [
      ...own,
      { type, tag: f.uint(8, 1), body },
    ],
  });
  const rsa = (/** @type {number} */ hash, /** @type {number} */ mgf, /** @type {number} */ size) =>
    stranger(1, f.join(Buffer.of(hash, mgf), Buffer.alloc(size, 7)));
  const empty = Buffer.alloc(0);
  const many = (/** @type {number} */ count, distinct = count) => ({
    stanzas: (/** @type {import("./writer.mjs").Stanza[]} */ own) => [
      ...own,
      ...Array.from({ length: count }, (_, i) => ({
        ...{ type: 99, tag: f.uint(8, i % distinct), body: empty },
      })),
    ],
  });

  return [
    // Step 1
    foreign("nothing", "an empty input", {}, { bytes: () => empty }),
    foreign(
      "seven-bytes",
      "seven bytes of something else",
      {},
      { bytes: () => f.ascii("7 bytes") },
    ),
    cut(1)(
      "seven-bytes-of-magic",
      "a message cut within its magic",
      {},
      { bytes: () => MAGIC.subarray(0, 7) },
    ),
    cut(1)(
      "prelude-cut",
      "a message of another version, cut within PRELUDE: it is too short to be judged by that",
      { prelude: { version: 2 } },
      { bytes: ({ header }) => header.subarray(0, 12) },
    ),
    foreign("magic-last-byte", "a magic with another last byte", {
      prelude: { magic: f.join(MAGIC.subarray(0, 7), Buffer.of(0x0b)) },
    }),
    foreign(
      "magic-line-end",
      "CR LF became LF on the way",
      {},
      {
        bytes: ({ header, body }) => f.join(header.subarray(0, 4), header.subarray(5), body),
      },
    ),
    // Step 2
    ...[0, 2].map((version) =>
      refused(2, "ERR_VERSION")(`version-${version}`, "another version", { prelude: { version } }),
    ),
    ...[0, 2].map((suite) =>
      refused(2, "ERR_SUITE")(`suite-${suite}`, "another suite", { prelude: { suite } }),
    ),
    refused(2, "ERR_VERSION")("order-version-first", "another version, and another suite", {
      prelude: { version: 2, suite: 2 },
    }),
    // Step 3
    ...[11, 23].map((segLog2) =>
      refused(3, "ERR_HEADER")(`seglog2-${segLog2}`, "segments out of range", {
        prelude: { segLog2 },
      }),
    ),
    refused(3, "ERR_HEADER")("flags-2", "a flag that is not defined", { prelude: { flags: 2 } }),
    refused(3, "ERR_HEADER")("flags-3", "SIGNED, and a flag that is not defined", {
      ...{ sender, prelude: { flags: 3 } },
    }),
    refused(3, "ERR_HEADER")(
      "core-length-65537",
      "refused by its length: what it announces is not there",
      { prelude: { coreLen: 65_537 } },
      whole((all) => all.subarray(0, 16)),
    ),
    // Step 4
    cut(4)(
      "core-cut",
      "the input ends within CORE",
      {},
      whole((all) => all.subarray(0, 30)),
    ),
    refused(4, "ERR_HEADER")(
      "sig-length-16385",
      "refused by its length",
      { sender },
      {
        bytes: ({ header }) => f.join(beforeSig(header), f.uint(4, 16_385)),
      },
    ),
    cut(4)(
      "sig-cut",
      "the input ends within SIG",
      { sender },
      {
        bytes: ({ header }) => header.subarray(0, beforeSig(header).length + 50),
      },
    ),
    refused(4, "ERR_HEADER")(
      "ext-length-65537",
      "refused by its length",
      {},
      {
        bytes: ({ header }) => f.join(header.subarray(0, 35), f.uint(4, 65_537)),
      },
    ),
    cut(4)(
      "ext-cut",
      "the input ends within EXT's length",
      {},
      whole((all) => all.subarray(0, 37)),
    ),
    refused(4, "ERR_HEADER")(
      "recips-length-4194305",
      "refused by its length",
      {},
      {
        bytes: ({ header }) => f.join(header.subarray(0, 39), f.uint(4, 4_194_305)),
      },
    ),
    cut(4)(
      "recips-cut",
      "the input ends within RECIPS",
      {},
      whole((all) => all.subarray(0, 100)),
    ),
    cut(4)(
      "mac-cut",
      "the input ends within the MAC",
      {},
      {
        bytes: ({ header }) => header.subarray(0, -1),
      },
    ),
    cut(4)(
      "order-length-before-form",
      "CORE is no map, and RECIPS is cut: all blocks are read before one is looked into",
      raw("50ID"),
      whole((all) => all.subarray(0, 100)),
    ),
    // Step 5: CORE is the one encoding of a map
    malformed("core-empty", "no bytes", { core: () => empty }),
    malformed("core-no-id", "a map without the message id", raw("a0")),
    malformed("core-array", "an array", raw("820150ID")),
    malformed("core-trailing-byte", "a byte after the map", raw("a10150ID00")),
    malformed("core-tagged", "a tag before the map", raw("c0a10150ID")),
    malformed("core-map-indefinite", "a map of indefinite length", raw("bf0150IDff")),
    malformed("core-map-long-head", "the number of entries in two bytes", raw("b8010150ID")),
    malformed("core-key-long-head", "a key in two bytes", raw("a1180150ID")),
    malformed("core-length-long-head", "a length in two bytes", raw("a1015810ID")),
    malformed("core-id-indefinite", "a byte string of indefinite length", raw("a1015f50IDff")),
    malformed("core-id-text", "text in place of bytes", raw(`a10170${"61".repeat(16)}`)),
    malformed("core-id-15-bytes", "an id of 15 bytes", raw(`a1014f${"07".repeat(15)}`)),
    malformed("core-id-17-bytes", "an id of 17 bytes", raw(`a10151${"07".repeat(17)}`)),
    malformed("core-keys-out-of-order", "key 64 before key 1", raw("a2184041aa0150ID")),
    malformed("core-key-twice", "key 64 twice", core(3, "184041aa184041aa")),
    malformed("core-key-float", "a float for a key", core(2, "f9540041aa")),
    malformed("core-key-text", "text for a key", core(2, "614141aa")),
    malformed("core-key-negative", "a negative key", core(2, "2041aa")),
    malformed("core-key-above-2-53", "a key of 2^53", core(2, "1b002000000000000041aa")),
    malformed("core-key-0", "key 0", raw("a20041aa0150ID")),
    malformed("core-key-10", "a key that must be understood", core(2, "0a41aa")),
    malformed("core-key-63", "the last key that must be understood", core(2, "183f41aa")),
    malformed("core-key-2-unsigned", "a claim in an unsigned message", core(2, "0200")),
    ...[
      ["integer", "00"],
      ["text", "6161"],
      ["array", "8100"],
      ["null", "f6"],
    ].map(([name, value]) =>
      malformed(`core-value-${name}`, "key 64 holds something else than bytes", {
        ...core(2, `1840${value}`),
      }),
    ),
    ...[2, 4, 5, 6, 7, 8, 9].map((key) =>
      malformed(`core-without-key-${key}`, "a claim that signed messages have", claim(key, null)),
    ),
    malformed("core-key-10-signed", "a key that must be understood", claim(10, sized(1))),
    malformed(
      "core-created-text",
      "text in place of a number",
      claim(2, Buffer.from("6131", "hex")),
    ),
    malformed("core-created-negative", "a time before 1970", claim(2, Buffer.of(0x20))),
    malformed("core-expires-float", "a float in place of a number", {
      ...claim(3, Buffer.from("f93c00", "hex")),
    }),
    malformed("core-serial-above-2-53", "a serial of 2^53", {
      ...claim(6, Buffer.from("1b0020000000000000", "hex")),
    }),
    malformed("core-sender-key-id-31-bytes", "an id of 31 bytes", claim(4, sized(31))),
    malformed("core-stream-id-15-bytes", "a stream id of 15 bytes", claim(5, sized(15))),
    malformed("core-one-time-key-31-bytes", "a key of 31 bytes", claim(8, sized(31))),
    malformed("core-recips-hash-31-bytes", "a hash of 31 bytes", claim(9, sized(31))),
    malformed("core-rules-hash-31-bytes", "a hash of 31 bytes", claim(64, sized(31))),
    malformed("core-no-addressee", "an empty array", claim(7, cbor.array([]))),
    malformed(
      "core-addressee-31-bytes",
      "a tag of 31 bytes",
      claim(7, cbor.array([Buffer.alloc(31)])),
    ),
    malformed("core-addressees-1025", "one addressee more than there can be", {
      ...claim(7, cbor.array(Array.from({ length: 1025 }, (_, i) => f.uint(8, i)).map(to32))),
    }),
    // Step 5: SIG
    malformed("sig-empty", "SIG of no bytes", { sender: { ...sender, block: () => empty } }),
    malformed("sig-trailing-byte", "a byte after the signature", {
      sender: { ...sender, block: (bytes) => f.join(bytes, Buffer.of(0)) },
    }),
    malformed("sig-key-longer-than-sig", "the key's length leads beyond the block", {
      sender: { ...sender, block: (b) => f.join(b.subarray(0, 2), f.uint(2, 999), b.subarray(4)) },
    }),
    // Step 5: EXT
    ...[1, 0x7fff].map((type) =>
      refused(5, "ERR_EXTENSION")(
        `ext-type-${type.toString(16).padStart(4, "0")}`,
        "an extension that must be understood",
        { ext: extension(type, "x") },
      ),
    ),
    malformed("ext-longer-than-block", "an extension's length leads beyond the block", {
      ext: f.join(f.uint(2, 0x8000), f.uint(4, 2), f.ascii("x")),
    }),
    malformed("ext-trailing-bytes", "bytes that are no extension", {
      ext: f.join(extension(0x8000, "x"), Buffer.of(0x80)),
    }),
    // Step 5: RECIPS
    malformed("stanza-count-0", "no stanza", { stanzas: () => [] }),
    malformed("stanza-count-too-low", "two stanzas, counted as one", {
      stanzas: (own) => [...own, ...own],
      recips: (bytes) => f.join(f.uint(2, 1), bytes.subarray(2)),
    }),
    malformed("stanza-count-too-high", "one stanza, counted as two", {
      recips: (bytes) => f.join(f.uint(2, 2), bytes.subarray(2)),
    }),
    malformed("stanza-count-2049", "one stanza more than there can be", many(2048, 1000)),
    malformed("recipients-1025", "one tag more than there can be, in as many stanzas", many(1024)),
    malformed("recips-trailing-byte", "a byte after the stanzas", {
      recips: (bytes) => f.join(bytes, Buffer.of(0)),
    }),
    malformed("stanza-longer-than-recips", "a stanza's length leads beyond the block", {
      stanzas: (own) => own.map((one) => ({ ...one, bodyLen: 114 })),
    }),
    malformed("rsa-hash-0", "another reader's stanza with hash 0", rsa(0, 0, 256)),
    malformed("rsa-hash-5", "another reader's stanza with hash 5", rsa(5, 5, 256)),
    malformed("rsa-mgf-hash-differs", "SHA-256, and MGF1 with SHA-1", rsa(2, 1, 256)),
    malformed("rsa-ciphertext-255", "shorter than any RSA-2048's", rsa(2, 2, 255)),
    malformed("rsa-ciphertext-1025", "longer than any RSA-8192's", rsa(2, 2, 1025)),
    malformed("rsa-no-hash", "a stanza of type 1 without bytes", stranger(1, empty)),
    ...[
      ["p256", 2, 113],
      ["p384", 3, 145],
      ["p521", 4, 181],
      ["x25519", 5, 80],
      ["mlkem768-p256", 6, 1201],
      ["mlkem1024-p384", 7, 1713],
    ].flatMap(([name, type, size]) =>
      [-1, 1].map((off) =>
        malformed(
          `hpke-${name}-${Number(size) + off}-bytes`,
          "another reader's stanza of another length than its type has",
          stranger(Number(type), Buffer.alloc(Number(size) + off)),
        ),
      ),
    ),
    refused(5, "ERR_HEADER")("order-core-before-ext", "both wrong: CORE is looked into first", {
      ...{ ...raw("a10150ID00"), ext: extension(1, "x") },
    }),
    refused(5, "ERR_EXTENSION")("order-ext-before-recips", "both wrong: EXT is looked into first", {
      ...{ ext: extension(1, "x"), stanzas: () => [] },
    }),
    // Step 6
    refused(6, "ERR_TRAILING")(
      "key-blob-trailing-byte",
      "a byte after the MAC of a key blob",
      {},
      {
        detached: true,
        bytes: ({ header }) => f.join(header, Buffer.of(0)),
      },
    ),
    refused(6, "ERR_TRAILING")(
      "key-blob-whole-message",
      "a whole message as key blob",
      {
        ...{ plaintext: text(FULL) },
      },
      { detached: true, bytes: ({ header, body }) => f.join(header, body) },
    ),
  ];
}

/** PRELUDE and CORE. @param {Buffer} header */
function beforeSig(header) {
  return header.subarray(0, 16 + header.readUInt32BE(12));
}

/** @param {Uint8Array} bytes */
const to32 = (bytes) => f.join(Buffer.alloc(32 - bytes.length), bytes);
