/**
 * The second worked message of docs/format.md: signed, and passed on by a custodian. The kit's
 * writer makes it with the kit's keys; here it is taken apart.
 *
 *     node test/docs/worked-passed-on.mjs        prints the page's two blocks
 */
import { readFileSync } from "node:fs";
import { argv } from "node:process";
import { pathToFileURL } from "node:url";
import { padded, recordOf } from "../../scripts/format-kit/records.mjs";
import { cbor, writeMessage } from "../../scripts/format-kit/writer.mjs";
import * as f from "./formulas.mjs";

const NAME = "worked message, passed on";
export const PLAINTEXT = "hello, custodian\n";

/** A TEST key of the kit. @param {string} name */
export const keyOf = (name) =>
  readFileSync(new URL(`../../docs/format-kit/keys/${name}.pem`, import.meta.url), "utf8");

const [first, next, sender, custodian] = ["p256", "x25519", "ed25519-sign", "p256-sign"].map(keyOf);

/** What the sender wrote. @returns {import("../../scripts/format-kit/writer.mjs").Spec} */
const original = () => ({
  to: [{ pem: first ?? "" }],
  sender: { pem: sender ?? "" },
  plaintext: f.ascii(PLAINTEXT),
});

/** The message in annotated parts, and the values that were hashed and signed. */
export function passedOnMessage() {
  const old = writeMessage(NAME, original()).header;
  const coreLen = old.readUInt32BE(12);
  const immutable = old.subarray(0, 16 + coreLen + 4 + old.readUInt32BE(16 + coreLen));
  const replaced = old.subarray(immutable.length);
  const previous = f.hash("sha256", replaced);
  const record = recordOf({
    by: custodian ?? "",
    to: [first ?? "", next ?? ""],
    fields: (entries) => entries.set(4, cbor.bytes(previous)),
  });
  const { header, body } = writeMessage(NAME, {
    ...original(),
    ext: padded(record),
    rewrap: (stanzas, { wrap }) => [...stanzas, wrap({ pem: next ?? "" })],
  });

  const parts = new Parts(f.join(header, body));
  parts.take(16, "PRELUDE: flags 01, SIGNED; coreLen");
  parts.take(3, "CORE: a map of eight; key 1; 16 bytes");
  parts.take(16, "message id");
  parts.take(10, "key 2: createdMs");
  parts.take(3, "key 4: 32 bytes");
  parts.take(32, "senderKeyId");
  parts.take(2, "key 5: 16 bytes");
  parts.take(16, "streamId");
  parts.take(2, "key 6: serial 1");
  parts.take(4, "key 7: an array of one; 32 bytes");
  parts.take(32, "the sender's addressee");
  parts.take(3, "key 8: 32 bytes");
  parts.take(32, "oneTimeKey");
  parts.take(3, "key 9: 32 bytes");
  parts.take(32, "recipsHash: of the sender's RECIPS, not of the one below");
  parts.block("SIG", "the sender's signature");
  parts.keySignature();
  parts.take(4, "EXT");
  parts.take(6, "type 8001: re-wrap record");
  const fields = parts.take(4, "fieldsLen").readUInt32BE();
  const signed = parts.peek(fields);
  parts.take(2, "a map of six; key 1");
  parts.take(9, "rewrappedMs");
  parts.take(3, "key 2: 32 bytes");
  parts.take(32, "custodianKeyId");
  parts.take(2, "key 3: generation 1");
  parts.take(3, "key 4: 32 bytes");
  parts.take(32, "previous");
  parts.take(4, "key 5: an array of two; 32 bytes");
  parts.take(32, "the sender's addressee, who stays");
  parts.take(2, "32 bytes");
  parts.take(32, "the new addressee");
  parts.take(3, "key 6: 32 bytes");
  parts.take(32, "recipsHash: of the RECIPS below");
  parts.block("sigLen", "the custodian's signature");
  parts.keySignature();
  const padding = parts.take(6, "type 8002: padding").readUInt32BE(2);
  parts.take(padding, "zeros");
  parts.take(6, "RECIPS: two stanzas");
  parts.take(14, "type 2, tag, 113 bytes: the sender's, for P-256");
  parts.take(113, "enc ‖ ct");
  parts.take(14, "type 5, tag, 80 bytes: the custodian's, for X25519");
  parts.take(80, "enc ‖ ct");
  parts.take(32, "MAC");
  parts.take(74, "BODY: FLOE header");
  parts.take(4 + 12 + PLAINTEXT.length + 16, "segment 0, the last");
  parts.take(64, "TRAILER");

  const digest = f.hash("sha384", immutable, signed);
  /** @type {(readonly [name: string, bytes: Uint8Array])[]} */
  const values = [
    ["replaced EXT", replaced.subarray(0, 4)],
    ["replaced RECIPS", replaced.subarray(4, -32)],
    ["replaced MAC", replaced.subarray(-32)],
    ["previous", previous],
    ["SHA-384(PRELUDE ‖ CORE ‖ SIG ‖ fields)", digest],
    ["signed by the custodian", f.join(f.ascii("p11seal/v1 rewrap\0"), digest)],
  ];
  return { parts: parts.taken, values, message: parts.all };
}

/** A message that is taken apart from its start. */
class Parts {
  /** @param {Buffer} all */
  constructor(all) {
    this.all = all;
    this.at = 0;
    /** @type {(readonly [note: string, bytes: Buffer])[]} */
    this.taken = [];
  }

  /** @param {number} bytes */
  peek(bytes) {
    return this.all.subarray(this.at, this.at + bytes);
  }

  /** @param {number} bytes @param {string} note */
  take(bytes, note) {
    const part = this.peek(bytes);
    this.taken.push([note, part]);
    this.at += bytes;
    return part;
  }

  /** A length, and the number of what follows. @param {string} length @param {string} what */
  block(length, what) {
    this.take(4, length);
    this.take(4, `${what}: algorithm, spkiLen`);
  }

  /** SIG from its key on. */
  keySignature() {
    this.take(this.all.readUInt16BE(this.at - 2), "spki");
    this.take(this.take(2, "sigLen").readUInt16BE(), "signature");
  }
}

/** As the page shows the message: offset, at most 16 bytes, and what they are. */
export function messageBlock() {
  const lines = [];
  let offset = 0;
  for (const [note, bytes] of passedOnMessage().parts) {
    const isBlank = bytes.length > 100 && bytes.every((byte) => byte === 0);
    for (let at = 0; at < bytes.length; at += isBlank ? bytes.length : 16) {
      const hex = isBlank ? `00 × ${bytes.length}` : bytes.toString("hex", at, at + 16);
      const line = `${String(offset + at).padStart(4)}  ${hex.padEnd(32)}`;
      lines.push(at === 0 ? `${line}  ${note}` : line.trimEnd());
    }
    offset += bytes.length;
  }
  return lines.join("\n");
}

/** As the page shows the values: name, then at most 32 bytes a line. */
export function valuesBlock() {
  return passedOnMessage()
    .values.flatMap(([name, bytes]) => {
      const lines =
        Buffer.from(bytes)
          .toString("hex")
          .match(/.{1,64}/g) ?? [];
      return [name, ...lines.map((line) => `  ${line}`)];
    })
    .join("\n");
}

if (import.meta.url === pathToFileURL(argv[1] ?? "").href) {
  console.log(`${messageBlock()}\n\n${valuesBlock()}`);
}
