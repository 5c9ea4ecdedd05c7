/**
 * Two message formats made up for tests, which src/ knows nothing of: the key wrapped with RSA-OAEP
 * for one recipient, and a body that is one stream, or FLOE segments. They only use `Envelope`.
 */
import type { RsaPublicKey } from "../../src/keys/key.js";
import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import type { BodyToOpen, BodyToSeal } from "../../src/body/body.js";
import { FLOE_HEADER_BYTES, floeOpen, floeSeal } from "../../src/body/floe.js";
import { readFloeSegment } from "../../src/body/floe-reading.js";
import { ascii, concat, equal, toHex, u64 } from "../../src/bytes.js";
import { defined } from "../../src/defined.js";
import type { Envelope } from "../../src/envelope/envelope.js";
import type { MessageInfo } from "../../src/envelope/message-info.js";
import { AuthenticationError } from "../../src/errors.js";
import type { Reader } from "../../src/stream.js";
import { openByKey } from "../../src/wrap/opener.js";
import { oaepEncrypt } from "../../src/wrap/rsa-oaep.js";

/** How a toy's body is made under a key; nothing else tells the toys apart. */
interface ToyBody {
  readonly segmentBytes?: number;
  seal(key: Uint8Array): BodyToSeal;
  open(key: Uint8Array, body: Reader): BodyToOpen | Promise<BodyToOpen>;
}

/** Header: magic 4 ‖ the recipient's fingerprint 32 ‖ the wrapped key 256. */
function toy(name: string, magic: string, body: ToyBody): Envelope {
  const start = ascii(magic);
  const headerBytes = start.length + 32 + 256;
  const read = async (reader: Reader) => {
    const header = await reader.exactly(headerBytes, `the ${name}'s header`);
    const fingerprint = header.subarray(4, 36);
    const recipient = {
      type: "toy",
      oaep: "sha256",
      operation: "C_Decrypt, RSA-OAEP sha256",
      matches: (key: { fingerprint: Uint8Array }) => equal(key.fingerprint, fingerprint),
    } as const;
    const info: MessageInfo = {
      ...{ format: name, version: 7, signed: false, headerBytes, recipients: [recipient] },
      ...defined({ segmentBytes: body.segmentBytes }),
      messageId: toHex(createHash("sha256").update(header).digest().subarray(0, 16)),
      plaintextBytes: () => undefined,
    };
    return { info, recipient, wrapped: header.subarray(36) };
  };
  return {
    name,
    armorLabel: name.toUpperCase(),
    startBytes: start.length,
    detect: (seen) => equal(seen, start),
    inspect: async (reader) => (await read(reader)).info,
    beginSealing({ recipients: [recipient] }) {
      if (recipient === undefined) throw new TypeError("a toy has one recipient");
      const { fingerprint, object } = recipient.publicKey as RsaPublicKey;
      const key = randomBytes(32);
      const header = concat(start, fingerprint, oaepEncrypt(object, key, { hash: "sha256" }));
      return Promise.resolve({ messageId: "", header, body: body.seal(key) });
    },
    async beginOpening(sealed, receiver) {
      const { info, recipient, wrapped } = await read(sealed.header);
      await receiver.authenticate(undefined);
      const oaep = { hash: "sha256" } as const;
      const { identity, contentKey } = await openByKey(await receiver.identities(info), {
        for: (key) =>
          recipient.matches(key)
            ? [{ type: "rsa-oaep", parameters: oaep, ciphertext: wrapped }]
            : [],
        keyBytes: 32,
      });
      const opened = await body.open(contentKey.expose(), sealed.body);
      return { info, identity, body: opened };
    },
    verifySender: () => Promise.resolve(undefined),
  };
}

/**
 * Chunks of 1,000 bytes under AES-256-GCM; the nonce says which one it is, and whether the last.
 */
export const toyStream = toy("toy stream", "TOY1", {
  seal: (key) => ({
    kind: "stream",
    async *seal(plaintext) {
      for (let index = 0, final = false; !final; index++) {
        const chunk = await plaintext.upTo(1000);
        final = (await plaintext.peek(1)).length === 0;
        const cipher = createCipheriv("aes-256-gcm", key, nonce(index, final));
        yield concat(cipher.update(chunk), cipher.final(), cipher.getAuthTag());
      }
    },
  }),
  open: (key) => ({
    kind: "stream",
    async *open(sealed) {
      for (let index = 0, final = false; !final; index++) {
        const chunk = await sealed.upTo(1016);
        final = (await sealed.peek(1)).length === 0;
        if (chunk.length < 16) throw forged(index);
        const decipher = createDecipheriv("aes-256-gcm", key, nonce(index, final));
        decipher.setAuthTag(chunk.subarray(-16));
        const plaintext = decipher.update(chunk.subarray(0, -16));
        try {
          decipher.final();
        } catch {
          throw forged(index);
        }
        yield plaintext;
      }
    },
  }),
});

/** FLOE segments of 4 KiB, bound to nothing, without a trailer. */
export const toySegments = toy("toy segments", "TOY2", {
  segmentBytes: 4096,
  seal(key) {
    const { header, segments } = floeSeal(key, new Uint8Array(0), { segmentBytes: 4096 });
    return { kind: "segments", start: header, cipher: segments };
  },
  async open(key, body) {
    const header = await body.exactly(FLOE_HEADER_BYTES, "the toy's body");
    const cipher = floeOpen(key, new Uint8Array(0), { segmentBytes: 4096 }, header);
    return { kind: "segments", cipher, readSegment: readFloeSegment };
  },
});

function nonce(index: number, final: boolean): Uint8Array {
  return concat(Uint8Array.of(0, 0, 0, final ? 1 : 0), u64(index));
}

function forged(index: number): AuthenticationError {
  return new AuthenticationError("ERR_SEGMENT", `chunk ${index} of the toy is not authentic`);
}
