/** The kit's messages that were re-wrapped or padded (docs/format.md §6.1, §6.2, §15). */
import * as f from "../../test/docs/formulas.mjs";
import { extension, refusedBy, spoiled } from "./good.mjs";
import { signature } from "./wraps.mjs";
import { addresseeTag, block, cbor, head } from "./writer.mjs";

/** @typedef {import("./good.mjs").Case} Case */
/** @typedef {import("./writer.mjs").Spec} Spec */
/** @typedef {import("./writer.mjs").ForExt} ForExt */
/** @typedef {Uint8Array} Bytes */
/** @typedef {Map<number, Bytes>} Entries a record's values, encoded, by key */

/**
 * @typedef {object} Record
 * @property {string} by the custodian's private key
 * @property {readonly string[]} [to] its addressees' private keys; absent: it has no such field
 * @property {(entries: Entries, made: ForExt) => Entries | Bytes} [fields] changes what is signed
 * @property {(made: ForExt) => Bytes} [immutable] in place of the message's own
 * @property {string} [label] in place of the record's own
 * @property {(fields: Buffer) => Bytes} [altered] changes the fields once they are signed
 * @property {(sig: Buffer) => Bytes} [sig] changes the signature's block, without its length field
 * @property {(body: Buffer) => Bytes} [body] changes the whole block
 */

const RECORD = 0x8001;
const PADDING = 0x8002;
const CUSTODIAN = "p384-sign";

/** @param {import("./good.mjs").Keys} pems @returns {Case[]} */
export function goodRecords(pems) {
  const { to, passedOn, unsigned, record, pem, sender } = parts(pems);
  const taken = { sender: "ed25519-sign", custodian: CUSTODIAN };
  const own = record({ to: [pem("p256")] });
  return [
    good("padded", "padding to 4,096 bytes", { ext: padded() }),
    good("padding-empty", "padding without a byte", { ext: extension(PADDING, "") }),
    good("rewrapped-unsigned", "a stanza added, no record", { ...unsigned, ext: padded() }),
    good("rewrapped-unsigned-record", "a record, without addressees", {
      ...unsigned,
      ext: padded(record({})),
    }),
    ...["p256", "p384", "rsa2048"].map((key) =>
      good(`passed-on-by-${key}`, "signed to X25519, and passed on to P-256", passedOn({}, key), {
        ...{ sender: "ed25519-sign", custodian: `${key}-sign` },
      }),
    ),
    good(
      "passed-on-by-ed25519",
      "a custodian with Ed25519",
      { ...passedOn({}, "ed25519"), sender: { pem: pem("p256-sign") } },
      { sender: "p256-sign", custodian: "ed25519-sign" },
    ),
    toP256("passed-on-with-rules", "a record with the hash of rules, and numbers at their ends", {
      fields: (entries) =>
        entries
          .set(1, cbor.uint(0))
          .set(3, cbor.uint(2 ** 53 - 1))
          .set(7, cbor.bytes(Buffer.alloc(32, 7))),
    }),
    toP256("passed-on-record-key-64", "a field that readers may ignore", {
      fields: (entries) => entries.set(64, cbor.bytes(f.ascii("later"))),
    }),
    good(
      "passed-on-among-others",
      "a block of another type before the record, and one after it",
      {
        ...passedOn({}),
        ext: padded(
          () => extension(0x8000, "a"),
          own,
          () => extension(0xffff, "b"),
        ),
      },
      taken,
    ),
    good(
      "record-of-own-recipients",
      "the sender's own recipients: no custodian is asked for",
      { sender, ext: padded(own) },
      { sender: "ed25519-sign" },
    ),
  ];

  /**
   * @param {string} name @param {string} why @param {Partial<Spec>} spec @param {Partial<Case>}
   *   [more]
   * @returns {Case}
   */
  function good(name, why, spec, more = {}) {
    return { ...{ name, why, keys: ["p256"], spec: { to, ...spec } }, ...more };
  }
  /** @param {string} name @param {string} why @param {Omit<Record, "by">} change */
  function toP256(name, why, change) {
    return good(name, why, passedOn(change), taken);
  }
}

/** @param {import("./good.mjs").Keys} pems @returns {Case[]} */
export function badRecords(pems) {
  const { to, passedOn, unsigned, record, pem, sender } = parts(pems);
  const refused = refusedBy(to);
  const allowed = { custodian: CUSTODIAN, sender: "ed25519-sign" };
  /** @param {string} name @param {string} why @param {Omit<Record, "by">} change */
  const bad = (name, why, change) =>
    refused(7, "ERR_REWRAP_RECORD")(`record-${name}`, why, passedOn(change), allowed);
  /** @param {string} name @param {string} why @param {number} key @param {Bytes | null} value */
  const field = (name, why, key, value) =>
    bad(name, why, {
      fields: (entries) => {
        if (value === null) entries.delete(key);
        else entries.set(key, value);
        return entries;
      },
    });
  const sized = (/** @type {number} */ bytes) => cbor.bytes(Buffer.alloc(bytes, 7));
  /** @param {(map: Buffer) => Bytes} change */
  const encoded = (change) => ({
    fields: (/** @type {Entries} */ entries) => change(cbor.map(entries)),
  });
  const sameKey = refused(7, "ERR_SAME_KEY");
  const none = Buffer.alloc(0);

  return [
    // Step 5
    refused(5, "ERR_HEADER")("padding-not-zero", "a byte in the padding", {
      ext: extension(PADDING, "\0\0x"),
    }),
    refused(5, "ERR_HEADER")("padding-not-last", "a block after the padding", {
      ext: f.join(extension(PADDING, "\0"), extension(0x8000, "x")),
    }),
    refused(5, "ERR_HEADER")("padding-twice", "padding after padding", {
      ext: f.join(extension(PADDING, "\0"), extension(PADDING, "\0")),
    }),
    // Step 7: one record, of one form
    refused(7, "ERR_REWRAP_RECORD")(
      "record-twice",
      "the same record a second time",
      { ...passedOn({}), ext: twice(record({ to: [pem("p256")] })) },
      allowed,
    ),
    bad("empty", "a block of no bytes", { body: () => none }),
    bad("cut", "a block that ends early", { body: (all) => all.subarray(0, -1) }),
    bad("trailing-byte", "a byte after the signature", {
      body: (all) => f.join(all, f.uint(1, 0)),
    }),
    bad("fields-longer-than-record", "the fields lead beyond the block", {
      body: (all) => f.join(f.uint(4, 65_000), all.subarray(4)),
    }),
    bad("sig-empty", "no signature", { sig: () => none }),
    bad("sig-trailing-byte", "a byte after the signature, in its block", {
      sig: (sig) => f.join(sig, f.uint(1, 0)),
    }),
    bad(
      "array",
      "an array in place of the map",
      encoded(() => Buffer.of(0x80)),
    ),
    bad(
      "not-cbor",
      "a break without a beginning",
      encoded(() => Buffer.of(0xff)),
    ),
    bad(
      "fields-trailing-byte",
      "a byte after the map",
      encoded((map) => f.join(map, f.uint(1, 0))),
    ),
    bad("keys-out-of-order", "key 2 before key 1", {
      fields: (entries) => {
        const list = [...entries].sort(([a], [b]) => a - b);
        const [first, second, ...rest] = list;
        const swapped = [second, first, ...rest].flatMap((one) =>
          one === undefined ? [] : [head(0, one[0]), one[1]],
        );
        return f.join(head(5, entries.size), ...swapped);
      },
    }),
    bad("long-head", "generation 1 in two bytes", {
      fields: (entries) => entries.set(3, Buffer.from("1801", "hex")),
    }),
    field("key-0", "a key that is none", 0, cbor.uint(0)),
    field("key-8", "a key that no table has", 8, sized(32)),
    field("key-63", "a key that no table has", 63, sized(32)),
    field("key-64-number", "a number where a byte string must be", 64, cbor.uint(1)),
    ...[1, 2, 3, 4, 5, 6].map((key) => field(`without-key-${key}`, "a field missing", key, null)),
    field("time-bytes", "a byte string in place of the time", 1, sized(8)),
    field("key-id-31-bytes", "a key id too short", 2, sized(31)),
    field("generation-0", "a generation before the first", 3, cbor.uint(0)),
    field("generation-above-2-53", "an integer of 2^53", 3, cbor.uint(2 ** 53)),
    field("previous-33-bytes", "a hash too long", 4, sized(33)),
    field("no-addressee", "an empty array", 5, head(4, 0)),
    field("addressee-31-bytes", "a tag too short", 5, cbor.array([Buffer.alloc(31)])),
    field(
      ...["addressees-1025", "more than a message has"],
      ...[5, cbor.array(Array.from({ length: 1025 }, () => Buffer.alloc(32)))],
    ),
    field("recips-hash-31-bytes", "a hash too short", 6, sized(31)),
    field("rules-hash-31-bytes", "a hash too short", 7, sized(31)),
    refused(7, "ERR_REWRAP_RECORD")(
      "record-addressees-unsigned",
      "addressees in an unsigned message, which had none",
      { ...unsigned, ext: record({ to: [pem("p256")] }) },
    ),
    // Step 7: what the signature holds
    bad("signature-altered", "one bit of the signature changed", { sig: spoiled }),
    ...[1, 2, 3, 4, 5, 6, 7].map((key) =>
      bad(`altered-key-${key}`, "a field changed after it was signed", {
        fields: (entries) => entries.set(3, cbor.uint(2)).set(7, sized(32)),
        altered: (map) => alteredAt(map, key),
      }),
    ),
    bad("of-another-message", "a signature over another CORE", {
      immutable: ({ immutable }) =>
        f.join(immutable.subarray(0, 19), spoiled(immutable.subarray(19))),
    }),
    bad("label-of-core", "a signature of another purpose", { label: "p11seal/v1 core\0" }),
    field("key-id-of-another", "custodianKeyId names another key", 2, sized(32)),
    field("recips-hash-of-another", "recipsHash is not RECIPS's", 6, sized(32)),
    refused(7, "ERR_REWRAP_RECORD")(
      "record-by-p521",
      "no algorithm signs with P-521",
      passedOn({}, "p521"),
      { ...allowed, custodian: "p521-sign" },
    ),
    refused(7, "ERR_REWRAP_RECORD")(
      "record-unsigned-altered",
      "in an unsigned message, with a signature that does not hold",
      { ...unsigned, ext: record({ sig: spoiled }) },
    ),
    refused(7, "ERR_REWRAP_RECORD")(
      "record-of-own-recipients-altered",
      "the sender's own recipients, and a record that does not hold",
      { sender, ext: record({ to: [pem("p256")], sig: spoiled }) },
    ),
    // Step 7: one key for two purposes
    sameKey(
      "custodian-is-recipient",
      "a stanza is for the custodian's signing key",
      {
        ...passedOn({}, "p256"),
        rewrap: (_, { wrap }) => [wrap({ pem: pem("p256") }), wrap({ pem: pem("p256-sign") })],
      },
      { ...allowed, custodian: "p256-sign" },
    ),
    sameKey(
      "custodian-is-addressee",
      "the custodian's signing key is among the record's addressees",
      passedOn({ to: [pem("p256"), pem(CUSTODIAN)] }),
      allowed,
    ),
    sameKey(
      "custodian-was-addressee",
      "the custodian's signing key is among the sender's addressees",
      {
        ...passedOn({}),
        core: (entries, { messageId }) =>
          entries.set(7, cbor.array([addresseeTag(messageId, pem(CUSTODIAN))])),
      },
      allowed,
    ),
    sameKey("custodian-is-sender", "the sender signed the record", passedOn({}, "ed25519"), {
      ...allowed,
      custodian: "ed25519-sign",
    }),
    sameKey(
      "signer-is-new-addressee",
      "passed on to the sender's signing key",
      { ...passedOn({ to: [pem("p256"), pem("p256-sign")] }), sender: { pem: pem("p256-sign") } },
      { ...allowed, sender: "p256-sign" },
    ),
    sameKey(
      "custodian-is-recipient-unsigned",
      "an unsigned message, re-wrapped by a key that receives it",
      { ...unsigned, ext: record({ by: pem("p256") }) },
    ),
    // Step 7: the reader's policy
    refused(7, "ERR_REWRAPPED")(
      "custodian-not-taken",
      "a record that holds, by a key that the reader takes for no custodian",
      passedOn({}),
      { sender: "ed25519-sign" },
    ),
    refused(7, "ERR_SENDER_SIGNATURE")(
      "order-signature-before-record",
      "both signatures altered: the sender's is looked at first",
      { ...passedOn({ sig: spoiled }), sender: { ...sender, block: spoiled } },
      allowed,
    ),
    refused(7, "ERR_REWRAP_RECORD")(
      "order-record-before-keys",
      "the sender signed a record that does not hold",
      passedOn({ sig: spoiled }, "ed25519"),
      { ...allowed, custodian: "ed25519-sign" },
    ),
    // Step 10
    refused(10, "ERR_NOT_ADDRESSEE")(
      "record-not-addressee",
      "the record names others; the sender had addressed the reader",
      {
        ...passedOn({ to: [pem("p256-other")] }),
        to,
        rewrap: (stanzas, { wrap }) => [...stanzas, wrap({ pem: pem("p256-other") })],
      },
      allowed,
    ),
  ];
}

/** @param {import("./good.mjs").Keys} pems */
function parts(pems) {
  const pem = (/** @type {string} */ name) => /** @type {string} */ (pems[name]);
  const to = [{ pem: pem("p256") }];
  const first = [{ pem: pem("x25519") }];
  const sender = { pem: pem("ed25519-sign") };
  /** @param {Partial<Record>} change */
  const record = (change) => recordOf({ by: pem(CUSTODIAN), ...change });
  /** @type {Spec["rewrap"]} */
  const rewrap = (stanzas, { wrap }) => [...stanzas, wrap({ pem: pem("p256") })];
  const unsigned = { to: first, rewrap };
  /**
   * A message signed to X25519, and passed on to P-256. @param {Omit<Record, "by">} change
   * @param {string} by @returns {Spec}
   */
  const passedOn = (change, by = "p384") => ({
    ...{ to: first, sender, rewrap },
    ext: padded(recordOf({ by: pem(`${by}-sign`), to: [pem("x25519"), pem("p256")], ...change })),
  });
  return { pem, to, sender, record, unsigned, passedOn };
}

/** §6.1. @param {Record} record @returns {(made: ForExt) => Buffer} */
export function recordOf({ by, to, fields = (entries) => entries, ...change }) {
  return (made) => {
    /** @type {Entries} */
    const entries = new Map([
      [1, cbor.uint(1_800_000_100_000)],
      [2, cbor.bytes(f.hash("sha256", f.spkiOf(by)))],
      [3, cbor.uint(1)],
      [4, cbor.bytes(made.random("previous header"))],
      [6, cbor.bytes(f.hash("sha256", made.recips))],
    ]);
    if (to !== undefined) {
      entries.set(5, cbor.array(to.map((pem) => addresseeTag(made.messageId, pem))));
    }
    const changed = fields(entries, made);
    const signed = Buffer.from(changed instanceof Map ? cbor.map(changed) : changed);
    const immutable = change.immutable?.(made) ?? made.immutable;
    const message = f.join(
      f.ascii(change.label ?? "p11seal/v1 rewrap\0"),
      f.hash("sha384", immutable, signed),
    );
    const { algorithm, bytes } = signature(by, message, made.random("custodian's nonce"));
    const spki = f.spkiOf(by);
    const sig = f.join(
      ...[f.uint(2, algorithm), f.uint(2, spki.length), spki],
      ...[f.uint(2, bytes.length), bytes],
    );
    const body = f.join(block(change.altered?.(signed) ?? signed), block(change.sig?.(sig) ?? sig));
    return extensionOf(RECORD, change.body?.(body) ?? body);
  };
}

/**
 * Blocks, and padding after them. @param {...((made: ForExt) => Bytes)} blocks
 * @returns {(made: ForExt) => Buffer}
 */
export function padded(...blocks) {
  return (made) => {
    const before = f.join(...blocks.map((one) => one(made)));
    const bytes = made.immutable.length + 4 + before.length + made.recips.length + 32;
    const padding = Math.ceil((bytes + 6) / 4096) * 4096 - bytes - 6;
    return f.join(before, extensionOf(PADDING, Buffer.alloc(padding)));
  };
}

/** @param {(made: ForExt) => Bytes} one @returns {(made: ForExt) => Buffer} */
const twice = (one) => (made) => f.join(one(made), one(made));

/** @param {number} type @param {Bytes} body */
const extensionOf = (type, body) => f.join(f.uint(2, type), f.uint(4, body.length), body);

/**
 * One bit changed in the value of a key, in a record with all keys and two addressees.
 * @param {Buffer} map @param {number} key
 */
function alteredAt(map, key) {
  const ends = [1 + 1 + 9, 1 + 34, 1 + 1, 1 + 34, 1 + 1 + 2 * 34, 1 + 34, 1 + 34];
  const end = ends.slice(0, key).reduce((sum, size) => sum + size, 0);
  return f.join(spoiled(map.subarray(0, end)), map.subarray(end));
}
