/**
 * The worked message of docs/format.md, made again from the page's formulas. Its random values are
 * cut from hashes of their names, so that everybody gets the same bytes. No real writer may do
 * that.
 *
 *     node test/docs/worked-message.mjs        prints the page's two blocks
 */
import { createECDH } from "node:crypto";
import { argv } from "node:process";
import { pathToFileURL } from "node:url";
import * as f from "./formulas.mjs";

/** TEST key, published here and on the page; never use it for anything else. */
export const RECIPIENT_PEM = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgYiwSfNX8pYPS+upq
SEqVCY5CHg2UEnLPPnnJU/hjEIahRANCAAQL5Vc3VdZ4oQszIORe8e62iJ6G5jXc
5aUzBQyzsdXxbVq+mixiCdDy9FH9K/gygfeMA3E1ohm8X7rM+HcKhQ5+
-----END PRIVATE KEY-----
`;
export const PLAINTEXT = "hello, token\n";
const SEG_LOG2 = 12;

/** @param {string} name @param {number} bytes */
const random = (name, bytes) =>
  f.hash("sha256", f.ascii(`p11seal worked message: ${name}`)).subarray(0, bytes);

/** The message in annotated parts, and the intermediate values. */
export function workedMessage() {
  const spki = f.spkiOf(RECIPIENT_PEM);
  const point = spki.subarray(-65);
  const messageId = random("message id", 16);
  const fileKey = random("file key", 32);

  const magic = Buffer.from("8b5031310d0a1a0a", "hex");
  const core = f.join(Buffer.from("a10150", "hex"), messageId);
  const prelude = [Buffer.of(1), Buffer.of(1), Buffer.of(SEG_LOG2), Buffer.of(0)];

  const ephemeral = createECDH("prime256v1");
  ephemeral.setPrivateKey(random("ephemeral key", 32));
  const enc = ephemeral.getPublicKey();
  const dh = ephemeral.computeSecret(point);
  const hpke = f.hpkeSchedule(2, dh, enc, point, messageId);
  const spkiHash = f.hash("sha256", spki);
  const ct = f.gcmSeal(hpke.key, hpke.nonce, spkiHash, fileKey);
  const tag = f.stanzaTag(messageId, spki);
  const stanza = [f.uint(2, 2), tag, f.uint(4, enc.length + ct.length), enc, ct];
  const recips = f.join(f.uint(2, 1), ...stanza);

  const immutable = f.join(magic, ...prelude, f.uint(4, core.length), core);
  const transcript = f.join(immutable, f.uint(4, 0), f.uint(4, recips.length), recips);
  const macKey = f.fromFileKey(fileKey, "p11seal/v1 header mac");
  const mac = f.hmac("sha256", macKey, transcript);

  const floeKey = f.fromFileKey(fileKey, "p11seal/v1 floe");
  const aad = f.hash("sha384", immutable);
  const parameters = f.floeParameters(SEG_LOG2);
  const floeIv = random("FLOE iv", 32);
  const start = f.join(parameters, floeIv);
  const { headerTag, messageKey } = f.floeStart(floeKey, start, aad);
  const segmentKey = f.segmentKey(messageKey, start, aad, 0);
  const segmentIv = random("segment iv", 12);
  const segmentAad = f.segmentAad(0, true);
  const sealed = f.gcmSeal(segmentKey, segmentIv, segmentAad, f.ascii(PLAINTEXT));
  const ciphertext = sealed.subarray(0, -16);
  const segmentTag = sealed.subarray(-16);

  /** @type {(readonly [note: string, bytes: Uint8Array])[]} */
  const parts = [
    ["PRELUDE: magic", magic],
    ["version", prelude[0] ?? magic],
    ["suite", prelude[1] ?? magic],
    ["segLog2: segments of 4,096 bytes", prelude[2] ?? magic],
    ["flags: not signed", prelude[3] ?? magic],
    ["coreLen: 19", f.uint(4, core.length)],
    ["CORE: a map of one; key 1; 16 bytes", core.subarray(0, 3)],
    ["message id", messageId],
    ["EXT: 0 bytes", f.uint(4, 0)],
    ["RECIPS: 129 bytes", f.uint(4, recips.length)],
    ["one stanza", f.uint(2, 1)],
    ["type 2: HPKE, P-256", f.uint(2, 2)],
    ["tag", tag],
    ["113 bytes", f.uint(4, enc.length + ct.length)],
    ["enc: the ephemeral public key", enc],
    ["ct: the file key, sealed", ct.subarray(0, 32)],
    ["AES-GCM tag", ct.subarray(32)],
    ["MAC", mac],
    ["BODY: FLOE parameters", parameters],
    ["FLOE iv", floeIv],
    ["FLOE header tag", headerTag],
    ["segment 0, the last: 45 bytes", f.uint(4, 32 + ciphertext.length)],
    ["segment iv", segmentIv],
    ["ciphertext", ciphertext],
    ["AES-GCM tag; end of the message", segmentTag],
  ];
  /** @type {(readonly [name: string, bytes: Uint8Array])[]} */
  const values = [
    ["SPKI", spki],
    ["SHA-256(SPKI)", spkiHash],
    ["message id", messageId],
    ["tag", tag],
    ["ephemeral private key", random("ephemeral key", 32)],
    ["dh", dh],
    ["shared_secret", hpke.shared],
    ["HPKE key", hpke.key],
    ["HPKE base_nonce", hpke.nonce],
    ["file key", fileKey],
    ["MAC key", macKey],
    ["MAC", mac],
    ["FLOE key", floeKey],
    ["body aad", aad],
    ["FLOE header tag", headerTag],
    ["FLOE message key", messageKey],
    ["segment key", segmentKey],
    ["segment aad", segmentAad],
    ["plaintext", f.ascii(PLAINTEXT)],
  ];
  return { parts, values, message: f.join(...parts.map(([, bytes]) => bytes)) };
}

/** As the page shows the message: offset, at most 16 bytes, and what they are. */
export function messageBlock() {
  const lines = [];
  let offset = 0;
  for (const [note, bytes] of workedMessage().parts) {
    for (let at = 0; at < bytes.length; at += 16) {
      const hex = Buffer.from(bytes.subarray(at, at + 16)).toString("hex");
      const line = `${String(offset + at).padStart(3)}  ${hex.padEnd(32)}`;
      lines.push(at === 0 ? `${line}  ${note}` : line.trimEnd());
    }
    offset += bytes.length;
  }
  return lines.join("\n");
}

/** As the page shows the values: name, then at most 32 bytes a line. */
export function valuesBlock() {
  const width = Math.max(...workedMessage().values.map(([name]) => name.length)) + 2;
  return workedMessage()
    .values.flatMap(([name, bytes]) =>
      (
        Buffer.from(bytes)
          .toString("hex")
          .match(/.{1,64}/g) ?? []
      ).map((hex, line) => (line === 0 ? name : "").padEnd(width) + hex),
    )
    .join("\n");
}

if (import.meta.url === pathToFileURL(argv[1] ?? "").href) {
  console.log(`${messageBlock()}\n\n${valuesBlock()}`);
}
