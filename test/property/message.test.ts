/** For any size, chunks, cut or change: the same bytes, or a refusal. */
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { concat } from "../../src/bytes.js";
import { encodeTranscript, readHeader } from "../../src/envelope/native/header.js";
import { openMessage, sealMessage } from "../../src/envelope/messages.js";
import { P11SealError } from "../../src/errors.js";
import { Reader } from "../../src/stream.js";
import { FULL, headerBytes, holder, messageBytes, SEGMENT_BYTES } from "../support/forge.js";
import { identityOf, recipientOf, senderOf } from "../support/identities.js";
import { scaled } from "../support/scale.js";
import { readAll } from "../support/streams.js";

const runs = scaled(10, 1);

/** Sizes from zero to three segments, with edge cases more often than by chance. */
const size = fc.oneof(
  fc.nat(3 * FULL),
  fc
    .tuple(fc.nat(3), fc.integer({ min: -2, max: 2 }))
    .map(([segments, off]) => Math.max(0, segments * FULL + off)),
);

/** Chunk lengths into which any byte string is cut; they are used cyclically. */
const steps = fc.array(fc.integer({ min: 1, max: 6000 }), { minLength: 1, maxLength: 8 });

function* inChunks(bytes: Uint8Array, lengths: readonly number[]): Generator<Uint8Array> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const length = lengths[i % lengths.length] as number;
    yield bytes.slice(at, at + length);
    at += length;
  }
}

/** `exactOptionalPropertyTypes`: an absent property must be missing. */
function withoutAbsent<T extends { expiresMs?: number | undefined }>(claims: T) {
  const { expiresMs, ...rest } = claims;
  return expiresMs === undefined ? rest : { ...rest, expiresMs };
}

const text = (length: number, seed: number) =>
  Uint8Array.from({ length }, (_, i) => (Math.imul(i + seed, 0x9e3779b1) >>> 24) & 0xff);

/** What opening `bytes` delivers, and its error; any other exception fails the test. */
async function attempt(bytes: Iterable<Uint8Array>, identity = holder) {
  try {
    const { plaintext } = await openMessage(bytes, { identities: [identity] });
    return await readAll(plaintext);
  } catch (error) {
    return { bytes: new Uint8Array(0), error };
  }
}

/** `plaintext` cut into the segments of a message to `holder`. */
function sealedTo(plaintext: Uint8Array): Uint8Array {
  const segments: Uint8Array[] = [];
  for (let at = 0; at === 0 || at < plaintext.length; at += FULL) {
    segments.push(plaintext.subarray(at, at + FULL));
  }
  return messageBytes({}, segments);
}

function expectRefused(
  { bytes, error }: { bytes: Uint8Array; error: unknown },
  plaintext: Uint8Array,
): void {
  expect(error).toBeInstanceOf(P11SealError);
  expect(bytes.length % FULL).toBe(0);
  expect(bytes.length).toBeLessThan(Math.max(1, plaintext.length));
  expect(Buffer.compare(bytes, plaintext.subarray(0, bytes.length))).toBe(0);
}

describe("any message", () => {
  it("comes back as it was, in whatever chunks it was sealed and opened, signed or not", async () => {
    await fc.assert(
      fc.asyncProperty(
        size,
        fc.nat(),
        steps,
        steps,
        fc.boolean(),
        async (n, seed, a, b, signed) => {
          const plaintext = text(n, seed);
          const sealed = await sealMessage(inChunks(plaintext, a), {
            recipients: [recipientOf("x25519")],
            segLog2: 12,
            ...(signed ? { sender: senderOf("ed25519") } : {}),
          });
          const whole = await sealed.stream().bytes();
          const segments = Math.max(1, Math.ceil(n / FULL));
          const trailer = signed ? 64 : 0;
          expect(whole.length).toBe(sealed.header.length + 74 + n + 32 * segments + trailer);
          const { bytes, error } = await attempt(inChunks(whole, b), identityOf("x25519"));
          expect(error).toBeUndefined();
          expect(Buffer.compare(bytes, plaintext)).toBe(0);
        },
      ),
      { numRuns: 100 * runs },
    );
  });

  it("cut anywhere is refused", async () => {
    await fc.assert(
      fc.asyncProperty(size, fc.nat(), fc.nat(), steps, async (n, seed, at, lengths) => {
        const plaintext = text(n, seed);
        const whole = sealedTo(plaintext);
        const cut = whole.subarray(0, at % whole.length);
        expectRefused(await attempt(inChunks(cut, lengths)), plaintext);
      }),
      { numRuns: 300 * runs },
    );
  });

  it("with any bits flipped anywhere is refused", async () => {
    const flips = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })), {
      minLength: 1,
      maxLength: 4,
    });
    await fc.assert(
      fc.asyncProperty(size, fc.nat(), flips, async (n, seed, changes) => {
        const plaintext = text(n, seed);
        const whole = sealedTo(plaintext);
        const altered = whole.slice();
        for (const [at, mask] of changes) {
          const i = at % whole.length;
          altered[i] = (altered[i] as number) ^ mask;
        }
        fc.pre(Buffer.compare(altered, whole) !== 0);
        expectRefused(await attempt([altered]), plaintext);
      }),
      { numRuns: 300 * runs },
    );
  });

  it("with bytes put in, taken out or doubled anywhere is refused", async () => {
    const piece = fc.uint8Array({ minLength: 1, maxLength: 2 * SEGMENT_BYTES });
    await fc.assert(
      fc.asyncProperty(
        size,
        fc.nat(),
        fc.nat(),
        fc.nat(),
        piece,
        async (n, seed, from, to, put) => {
          const plaintext = text(n, seed);
          const whole = sealedTo(plaintext);
          const i = from % whole.length;
          const j = i + 1 + (to % (whole.length - i));
          const [before, between, after] = [
            whole.subarray(0, i),
            whole.subarray(i, j),
            whole.subarray(j),
          ];
          for (const edited of [
            concat(before, put, between, after),
            concat(before, after),
            concat(before, between, between, after),
            concat(before, put, after),
          ]) {
            if (Buffer.compare(edited, whole) === 0) continue;
            expectRefused(await attempt([edited]), plaintext);
          }
        },
      ),
      { numRuns: 150 * runs },
    );
  });

  it("made of the segments of two, in any order, is refused", async () => {
    const n = 2 * FULL + 10;
    const [one, other] = [text(n, 1), text(n, 2)].map(sealedTo) as [Uint8Array, Uint8Array];
    const at = headerBytes().length + 74;
    const segmentsOf = (whole: Uint8Array) =>
      [0, 1, 2].map((i) => whole.subarray(at + i * SEGMENT_BYTES, at + (i + 1) * SEGMENT_BYTES));
    const all = [...segmentsOf(one), ...segmentsOf(other)];
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(5), { maxLength: 5 }), async (order) => {
        fc.pre(order.join() !== "0,1,2");
        const edited = concat(one.subarray(0, at), ...order.map((i) => all[i] as Uint8Array));
        expectRefused(await attempt([edited]), text(n, 1));
      }),
      { numRuns: 200 * runs },
    );
  });
});

describe("any header", () => {
  it("that is read encodes to the bytes it was read from, and ends where it says", async () => {
    const bytes = (max: number) => fc.uint8Array({ maxLength: max });
    const tag = fc.uint8Array({ minLength: 8, maxLength: 8 });
    const stanza = fc.oneof(
      fc.record({
        type: fc.constant("rsa-oaep" as const),
        tag,
        hash: fc.constantFrom(
          "sha1" as const,
          "sha256" as const,
          "sha384" as const,
          "sha512" as const,
        ),
        ciphertext: fc.uint8Array({ minLength: 256, maxLength: 300 }),
      }),
      fc.record({
        type: fc.constant("hpke" as const),
        tag,
        kem: fc.constant("X25519" as const),
        enc: fc.uint8Array({ minLength: 32, maxLength: 32 }),
        ciphertext: fc.uint8Array({ minLength: 48, maxLength: 48 }),
      }),
      fc.record({
        type: fc.constant("unknown" as const),
        tag,
        number: fc.integer({ min: 8, max: 0xffff }),
        body: bytes(100),
      }),
    );
    const of = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
    const claims = fc.record(
      {
        createdMs: fc.maxSafeNat(),
        expiresMs: fc.maxSafeNat(),
        senderKeyId: of(32),
        streamId: of(16),
        serial: fc.maxSafeNat(),
        addressees: fc.array(of(32), { minLength: 1, maxLength: 4 }),
        oneTimeKey: of(32),
        recipsHash: of(32),
      },
      {
        requiredKeys: [
          "createdMs",
          "senderKeyId",
          "streamId",
          "serial",
          "addressees",
          "oneTimeKey",
          "recipsHash",
        ],
      },
    );
    // Key 64 is the hash of the sender's rules, which has a size of its own.
    const others = fc.dictionary(fc.integer({ min: 65, max: 100_000 }).map(String), bytes(40), {
      maxKeys: 4,
    });
    const header = fc.record({
      segLog2: fc.integer({ min: 12, max: 22 }),
      messageId: of(16),
      claims: fc.option(claims, { nil: undefined }),
      others,
      signature: fc.record({ algorithm: fc.nat(0xffff), spki: bytes(100), signature: bytes(100) }),
      extensions: fc.array(
        // 0x8002 is padding, which has rules of its own.
        fc.record({
          type: fc.integer({ min: 0x8000, max: 0xffff }).filter((type) => type !== 0x8002),
          body: bytes(60),
        }),
        {
          maxLength: 3,
        },
      ),
      stanzas: fc.array(stanza, { minLength: 1, maxLength: 5 }),
    });
    await fc.assert(
      fc.asyncProperty(header, bytes(40), async (value, after) => {
        const more = Object.entries(value.others).map(([key, v]) => [Number(key), v] as const);
        const transcript = encodeTranscript({
          segLog2: value.segLog2,
          core: {
            messageId: value.messageId,
            ...(value.claims === undefined ? {} : { claims: withoutAbsent(value.claims) }),
            ...(more.length === 0 ? {} : { others: new Map(more) }),
          },
          ...(value.claims === undefined ? {} : { signature: value.signature }),
          extensions: value.extensions,
          stanzas: value.stanzas,
        });
        const reader = new Reader(concat(transcript, new Uint8Array(32), after));
        const parsed = await readHeader(reader);
        expect(Buffer.compare(encodeTranscript(parsed), transcript)).toBe(0);
        expect(Buffer.compare(parsed.transcript, transcript)).toBe(0);
        expect(reader.consumed).toBe(transcript.length + 32);
        expect(parsed.stanzas.map(({ type }) => type)).toEqual(
          value.stanzas.map(({ type }) => type),
        );
      }),
      { numRuns: 300 * runs },
    );
  });
});
