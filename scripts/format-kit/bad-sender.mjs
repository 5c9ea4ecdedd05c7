/**
 * Messages that a reader refuses at steps 7 to 10: by the sender's signature, and whom it is for.
 */
import { createPrivateKey, createPublicKey, sign } from "node:crypto";
import * as f from "../../test/docs/formulas.mjs";
import {
  BASE,
  bytesOf,
  encode,
  L,
  littleEndian,
  NEUTRAL,
  times,
} from "../../test/support/edwards.mjs";
import { mixedOrder, ownEquation, spoiled } from "./good.mjs";
import { ecdsa, pss } from "./wraps.mjs";
import { addresseeTag, cbor } from "./writer.mjs";

/** @typedef {import("./good.mjs").Case} Case */
/** @typedef {import("./writer.mjs").Spec} Spec */
/** @typedef {import("./writer.mjs").Sender} Sender */

/** @param {import("./good.mjs").Keys} pems @returns {Case[]} */
export function badSenders(pems) {
  const pem = (/** @type {string} */ name) => /** @type {string} */ (pems[name]);
  const to = [{ pem: pem("p256") }];
  /** @type {(name: string, why: string, key: string, change?: Partial<Sender>) => Case} */
  const signature = (name, why, key, change = {}) => ({
    ...{ name, why, keys: ["p256"], sender: key, step: 7, error: "ERR_SENDER_SIGNATURE" },
    spec: { to, sender: { pem: pem(key), ...change } },
  });
  /**
   * @type {(step: number, error: string, name: string, why: string, spec: Partial<Spec>, key?:
   *   string) => Case}
   */
  const refused = (step, error, name, why, spec, key = "p256") => ({
    ...{ name, why, keys: [key], step, error, spec: { to, ...spec } },
    ...(spec.sender === undefined ? {} : { sender: "ed25519-sign" }),
  });
  const ed25519 = { pem: pem("ed25519-sign") };
  const own = (/** @type {Uint8Array} */ message) =>
    sign(null, message, createPrivateKey(pem("ed25519-sign")));

  return [
    // Step 7: the signature, and what it is by
    ...["ed25519", "p256", "p384", "rsa2048"].map((key) =>
      signature(`signature-altered-${key}`, "one bit of SIG changed", `${key}-sign`, {
        block: spoiled,
      }),
    ),
    signature("algorithm-0", "a number that is no algorithm's", "ed25519-sign", { algorithm: 0 }),
    signature("algorithm-5", "a number not yet assigned", "ed25519-sign", { algorithm: 5 }),
    signature("algorithm-of-another-key", "P-384's number with a P-256 key", "p256-sign", {
      algorithm: 2,
      sign: (message, random) => ecdsa(pem("p256-sign"), "sha384", message, random("nonce")),
    }),
    signature("signer-p521", "no algorithm signs with P-521", "p521-sign"),
    signature("sender-key-id-of-another", "senderKeyId names another key", "ed25519-sign", {
      ...{ spki: f.spkiOf(pem("ed25519-sign")), block: (b) => withKey(b, pem("p256-sign")) },
    }),
    signature("ecdsa-der", "the same r and s as a DER SEQUENCE", "p256-sign", {
      sign: (message, random) =>
        derSignature(ecdsa(pem("p256-sign"), "sha256", message, random("nonce"))),
    }),
    signature("ecdsa-sha384-with-p256", "another hash than the algorithm's", "p256-sign", {
      sign: (message, random) => ecdsa(pem("p256-sign"), "sha384", message, random("nonce")),
    }),
    signature("pss-salt-20-bytes", "a salt of another length", "rsa2048-sign", {
      sign: (message, random) => pss(pem("rsa2048-sign"), message, random("salt", 20)),
    }),
    signature("rsa-pkcs1", "RSASSA-PKCS1-v1_5 in place of PSS", "rsa2048-sign", {
      sign: (message) => sign("sha256", message, createPrivateKey(pem("rsa2048-sign"))),
    }),
    signature("rsa-signature-longer", "a zero byte before the signature", "rsa2048-sign", {
      sign: (message, random) =>
        f.join(Buffer.of(0), pss(pem("rsa2048-sign"), message, random("salt"))),
    }),
    // Step 7: the key's one encoding
    signature("spki-compressed", "a compressed point", "p256-sign", {
      spki: compressed(pem("p256-sign")),
    }),
    signature("spki-rsa-without-null", "rsaEncryption without its NULL", "rsa2048-sign", {
      spki: withoutNull(pem("rsa2048-sign")),
    }),
    signature("spki-ed25519-with-null", "parameters that RFC 8410 forbids", "ed25519-sign", {
      spki: f.join(Buffer.from("302c300706032b65700500032100", "hex"), raw(pem("ed25519-sign"))),
    }),
    signature("spki-trailing-byte", "a byte after the key", "ed25519-sign", {
      spki: f.join(f.spkiOf(pem("ed25519-sign")), Buffer.of(0)),
    }),
    // Step 7: RSA keys bounded in size and exponent
    signature("rsa-1016-bits", "a modulus below 1,024 bits", "rsa1016-sign"),
    signature("rsa-8200-bits", "a modulus above 8,192 bits", "rsa8200-sign"),
    signature("rsa-exponent-34-bits", "an exponent above 32 bits", "rsa2048-e34-sign"),
    // Step 7: the rule for Ed25519, for the sender's key
    signature(
      "ed25519-key-of-small-order",
      "anybody can sign for the neutral point",
      "ed25519-sign",
      {
        ...{ spki: f.join(f.spkiOf(pem("ed25519-sign")).subarray(0, 12), encode(NEUTRAL)) },
        sign: anybody,
      },
    ),
    signature("ed25519-key-not-canonical", "the neutral point as 1 + p", "ed25519-sign", {
      ...{ spki: f.join(f.spkiOf(pem("ed25519-sign")).subarray(0, 12), bytesOf(P + 1n)) },
      sign: anybody,
    }),
    signature("ed25519-s-not-below-l", "s + L in place of s", "ed25519-sign", {
      sign: (message) => withL(own(message)),
    }),
    signature("ed25519-r-not-canonical", "R = 0, encoded as 1 + p", "ed25519-sign", {
      sign: (message) => ownEquation(pem("ed25519-sign"), message, NEUTRAL, bytesOf(P + 1n)),
    }),
    signature("ed25519-cofactored-only", "holds only after multiplying by 8", "ed25519-sign", {
      ...mixedOrder(false),
    }),
    // Step 7: the rule for Ed25519, for the one-time key
    {
      ...signature("one-time-key-of-small-order", "anybody can sign the body", "ed25519-sign", {
        signBody: anybody,
      }),
      spec: {
        ...{ to, sender: { ...ed25519, signBody: anybody } },
        core: (entries) => entries.set(8, cbor.bytes(encode(NEUTRAL))),
      },
    },
    // Step 7: RECIPS, and one key for two purposes
    refused(
      7,
      "ERR_REWRAPPED",
      "rewrapped",
      "a stanza added to a signed message, with a right MAC",
      {
        sender: ed25519,
        rewrap: (stanzas, { wrap }) => [...stanzas, wrap({ pem: pem("p384") })],
      },
    ),
    refused(7, "ERR_REWRAPPED", "recips-hash-of-another", "recipsHash is not RECIPS's", {
      sender: ed25519,
      core: (entries) => entries.set(9, cbor.bytes(Buffer.alloc(32, 7))),
    }),
    {
      ...refused(7, "ERR_SAME_KEY", "signer-is-addressee", "the signing key is an addressee's", {
        sender: { pem: pem("p256-sign") },
        core: (entries, { messageId }) => {
          const keys = ["p256", "p256-sign"].map(pem);
          return entries.set(7, cbor.array(keys.map((key) => addresseeTag(messageId, key))));
        },
      }),
      sender: "p256-sign",
    },
    {
      ...refused(7, "ERR_SAME_KEY", "signer-is-recipient", "a stanza is for the signing key", {
        sender: { pem: pem("p256-sign") },
        stanzas: (stanzas, { wrap }) => [...stanzas, wrap({ pem: pem("p256-sign") })],
      }),
      sender: "p256-sign",
    },
    refused(
      7,
      "ERR_REWRAPPED",
      "order-rewrapped-before-addressee",
      "not the reader's in two ways",
      {
        sender: ed25519,
        core: (entries) => entries.set(7, cbor.array([Buffer.alloc(32)])),
        rewrap: (stanzas) => [...stanzas, ...stanzas],
      },
    ),
    // Step 9
    refused(9, "ERR_NO_MATCH", "no-stanza", "for another key", {
      to: [{ pem: pem("p256-other") }],
    }),
    refused(9, "ERR_NO_MATCH", "stanza-of-another-type", "the reader's tag on P-384's type", {
      stanzas: (stanzas) => stanzas.map((one) => ({ ...one, type: 3, body: Buffer.alloc(145, 7) })),
    }),
    refused(
      ...[9, "ERR_NO_MATCH", "rsa-stanza-of-another-size", "the reader's tag, RSA-3072's length"],
      {
        to: [{ pem: pem("rsa2048") }],
        stanzas: (stanzas) =>
          stanzas.map((one) => ({ ...one, body: f.join(Buffer.of(2, 2), Buffer.alloc(384, 7)) })),
      },
      "rsa2048",
    ),
    // Step 10
    refused(10, "ERR_NOT_ADDRESSEE", "not-addressee", "a stanza for the reader, and no tag", {
      sender: ed25519,
      core: (entries, { messageId }) =>
        entries.set(7, cbor.array([addresseeTag(messageId, pem("p256-other"))])),
    }),
  ];
}

const P = 2n ** 255n - 19n;

/** R = [5]B and s = 5 hold under the neutral point for every message. */
function anybody() {
  return f.join(encode(times(5n, BASE)), bytesOf(5n));
}

/** @param {Uint8Array} signature */
export function withL(signature) {
  const s = littleEndian(signature.subarray(32));
  return f.join(signature.subarray(0, 32), bytesOf(s + L));
}

/** SEQUENCE of two INTEGERs, as most libraries write ECDSA's. @param {Uint8Array} signature */
function derSignature(signature) {
  const integers = [signature.subarray(0, 32), signature.subarray(32)].map((number) => {
    const bytes = Buffer.from(number);
    const content = f.join(bytes.readUInt8(0) < 0x80 ? Buffer.alloc(0) : Buffer.of(0), bytes);
    return f.join(Buffer.of(2, content.length), content);
  });
  const content = f.join(...integers);
  return f.join(Buffer.of(0x30, content.length), content);
}

/** SIG's content with another key in it. @param {Buffer} block @param {string} pem */
function withKey(block, pem) {
  const length = block.readUInt16BE(2);
  const spki = f.spkiOf(pem);
  const rest = block.subarray(4 + length);
  return f.join(block.subarray(0, 2), f.uint(2, spki.length), spki, rest);
}

/** @param {string} pem */
const raw = (pem) => f.spkiOf(pem).subarray(-32);

/** RFC 5480 §2.2. @param {string} pem */
function compressed(pem) {
  const { x = "", y = "" } = createPublicKey(pem).export({ format: "jwk" });
  const odd = Buffer.from(y, "base64url").readUInt8(31) & 1;
  const head = Buffer.from("3039301306072a8648ce3d020106082a8648ce3d030107032200", "hex");
  return f.join(head, Buffer.of(2 + odd), Buffer.from(x, "base64url"));
}

/** @param {string} pem */
function withoutNull(pem) {
  const spki = f.spkiOf(pem);
  // SEQUENCE, four bytes of head; SEQUENCE of 13 bytes, of which the last two are the NULL.
  const rest = f.join(Buffer.from("300b", "hex"), spki.subarray(6, 17), spki.subarray(19));
  return f.join(Buffer.from("3082", "hex"), f.uint(2, rest.length), rest);
}
