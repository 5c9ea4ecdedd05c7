/**
 * A message of three segments, cut at every byte, with a bit flipped in every byte, with segments
 * swapped, doubled, dropped and exchanged. Each is refused with its documented error, and no byte
 * of plaintext is delivered without a valid tag.
 */
import { describe, expect, it } from "@jest/globals";
import { concat, u32 } from "../../src/bytes.js";
import { openMessage, sealMessage } from "../../src/envelope/messages.js";
import type { Identity } from "../../src/keys/key.js";
import {
  bodyBytes,
  FULL,
  headerBytes,
  holder,
  MESSAGE_ID,
  messageBytes,
  SEG_LOG2,
  SEGMENT_BYTES,
} from "../support/forge.js";
import { counting, identityOf, recipientOf } from "../support/identities.js";
import { readAll } from "../support/streams.js";
import { places } from "../support/scale.js";

const text = (length: number, seed = 1) =>
  Uint8Array.from({ length }, (_, i) => (i * seed + (i >> 7)) & 0xff);
const parts = [text(FULL), text(FULL, 3), text(100, 5)];
const plaintext = concat(...parts);

const message = messageBytes({}, parts);
const headerLength = headerBytes().length;
const segmentsAt = headerLength + 74;

interface Refused {
  readonly error: string;
  readonly delivered: Uint8Array;
}

/** What opening delivers, and the class and code of its error. */
async function attempt(bytes: Uint8Array, identity: Identity = holder): Promise<Refused> {
  try {
    const opened = await openMessage(bytes, { identities: [identity] });
    const { bytes: delivered, error } = await readAll(opened.plaintext);
    return { error: told(error), delivered };
  } catch (error) {
    return { error: told(error), delivered: new Uint8Array(0) };
  }
}

function told(error: unknown): string {
  if (error === undefined) return "opened";
  const { name, code } = error as { name: string; code?: string };
  return `${name} ${String(code)}`;
}

/** Whole segments from the start, without the last. */
function isUnfinished(delivered: Uint8Array): boolean {
  const whole = delivered.length % FULL === 0 && delivered.length < plaintext.length;
  return whole && Buffer.compare(delivered, plaintext.subarray(0, delivered.length)) === 0;
}

function flipped(bytes: Uint8Array, at: number, mask = 1): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[at] = (copy[at] as number) ^ mask;
  return copy;
}

const NOT_A_MESSAGE = "FormatError ERR_NOT_A_MESSAGE";
const TRUNCATED = "AuthenticationError ERR_TRUNCATED";
const HEADER = "AuthenticationError ERR_HEADER";
const NOT_AUTHENTIC = "AuthenticationError ERR_NOT_AUTHENTIC";
const BODY_HEADER = "AuthenticationError ERR_BODY_HEADER";
const SEGMENT = "AuthenticationError ERR_SEGMENT";
const TRAILING = "AuthenticationError ERR_TRAILING";
const NO_MATCH = "NoMatchError ERR_NO_MATCH";

it("the message itself opens", async () => {
  const { error, delivered } = await attempt(message);
  expect(error).toBe("opened");
  expect(Buffer.compare(delivered, plaintext)).toBe(0);
  expect(message.length).toBe(segmentsAt + 2 * SEGMENT_BYTES + 132);
});

describe("a message cut", () => {
  it("at any byte is refused, and delivers whole segments before the cut and nothing else", async () => {
    const wrong: unknown[] = [];
    for (const length of places(0, message.length, 7)) {
      const { error, delivered } = await attempt(message.subarray(0, length));
      const expected = length === 0 ? NOT_A_MESSAGE : TRUNCATED;
      const segments = Math.max(0, Math.floor((length - segmentsAt) / SEGMENT_BYTES));
      const right = error === expected && delivered.length === segments * FULL;
      if (!right || !isUnfinished(delivered)) wrong.push([length, error, delivered.length]);
    }
    expect(wrong).toEqual([]);
  }, 300_000);

  it("anywhere in its header asks for no private key", async () => {
    for (let length = 0; length < headerLength; length++) {
      const counted = counting(holder);
      await attempt(message.subarray(0, length), counted.identity);
      expect([length, counted.unlocks]).toEqual([length, 0]);
    }
  });
});

/** Where the fields of `message` start, and the errors that a flipped bit in each may cause. */
const fields: [string, number, number, readonly string[]][] = [
  ["magic", 0, 8, [NOT_A_MESSAGE]],
  ["version", 8, 9, ["UnsupportedError ERR_VERSION"]],
  ["suite", 9, 10, ["UnsupportedError ERR_SUITE"]],
  // 12 becomes 13, 14 and 8: other segment sizes, which the MAC covers, or one that is too small.
  ["segment size", 10, 11, [NOT_AUTHENTIC, HEADER]],
  ["flags", 11, 12, [HEADER, TRUNCATED]],
  ["core length", 12, 16, [HEADER, TRUNCATED]],
  ["core's head", 16, 19, [HEADER]],
  ["message id", 19, 35, [NO_MATCH]],
  ["extensions' length", 35, 39, [HEADER, TRUNCATED, "UnsupportedError ERR_EXTENSION"]],
  ["recipients' length", 39, 43, [HEADER, TRUNCATED]],
  ["number of stanzas", 43, 45, [HEADER]],
  ["stanza type", 45, 47, [NO_MATCH, HEADER]],
  ["stanza tag", 47, 55, [NO_MATCH]],
  ["stanza length", 55, 59, [HEADER]],
  ["OAEP hashes", 59, 61, [HEADER]],
  // `holder` knows the file key without the ciphertext, so it is the MAC that refuses this.
  ["wrapped key", 61, 317, [NOT_AUTHENTIC]],
  ["MAC", 317, 349, [NOT_AUTHENTIC]],
];

describe("one bit flipped in the header", () => {
  it("is looked for in every field, and the fields are all there is", () => {
    expect(fields.map(([, from]) => from)).toEqual([
      0,
      ...fields.slice(0, -1).map(([, , to]) => to),
    ]);
    expect(fields.at(-1)?.[2]).toBe(headerLength);
    expect(Buffer.from(message.subarray(19, 35))).toEqual(Buffer.from(MESSAGE_ID));
  });

  it.each(fields)(
    "(%s) is refused, each of eight at every byte",
    async (_field, from, to, allowed) => {
      for (let at = from; at < to; at++) {
        for (let bit = 0; bit < 8; bit++) {
          const { error, delivered } = await attempt(flipped(message, at, 1 << bit));
          expect([at, bit, allowed.includes(error) ? "refused" : error]).toEqual([
            at,
            bit,
            "refused",
          ]);
          expect(delivered.length).toBe(0);
        }
      }
    },
  );

  it("is refused by real keys, too", async () => {
    for (const name of ["p256", "x25519", "rsa2048"] as const) {
      const options = { recipients: [recipientOf(name, "sha256")], segLog2: SEG_LOG2 };
      const sealed = await sealMessage(plaintext, options);
      const whole = await sealed.stream().bytes();
      const step = name === "rsa2048" ? 5 : 1;
      for (let at = 0; at < sealed.header.length; at += step) {
        const { error, delivered } = await attempt(
          flipped(whole, at, 1 << (at & 7)),
          identityOf(name),
        );
        const kinds = [NOT_A_MESSAGE, TRUNCATED, HEADER, NOT_AUTHENTIC, NO_MATCH];
        const known = kinds.includes(error) || error.startsWith("UnsupportedError");
        expect([at, known ? "refused" : error]).toEqual([at, "refused"]);
        expect(delivered.length).toBe(0);
      }
    }
  });
});

describe("one bit flipped in the body", () => {
  it("is refused at every byte, and nothing of its segment or a later one is delivered", async () => {
    const wrong: unknown[] = [];
    for (const at of places(headerLength, message.length, 7)) {
      const { error, delivered } = await attempt(flipped(message, at, 1 << (at & 7)));
      const segment = Math.max(0, Math.floor((at - segmentsAt) / SEGMENT_BYTES));
      // A length field says whether the message ends here or goes on.
      const inLength = at >= segmentsAt && (at - segmentsAt) % SEGMENT_BYTES < 4;
      const allowed = at < segmentsAt ? [BODY_HEADER] : inLength ? [SEGMENT, TRUNCATED] : [SEGMENT];
      const right = allowed.includes(error) && delivered.length === segment * FULL;
      if (!right || !isUnfinished(delivered)) wrong.push([at, error, delivered.length]);
    }
    expect(wrong).toEqual([]);
  }, 300_000);
});

describe("segments", () => {
  const first = message.subarray(segmentsAt, segmentsAt + SEGMENT_BYTES);
  const second = message.subarray(segmentsAt + SEGMENT_BYTES, segmentsAt + 2 * SEGMENT_BYTES);
  const last = message.subarray(segmentsAt + 2 * SEGMENT_BYTES);
  const start = message.subarray(0, segmentsAt);
  const sibling = bodyBytes(parts).subarray(74);
  const siblingFirst = sibling.subarray(0, SEGMENT_BYTES);
  const siblingLast = sibling.subarray(2 * SEGMENT_BYTES);
  const asLast = (segment: Uint8Array) => concat(u32(segment.length), segment.subarray(4));
  const asMiddle = (segment: Uint8Array) => concat(u32(0xffff_ffff), segment.subarray(4));

  const arrangements: [string, Uint8Array[], string, number][] = [
    ["swapped", [second, first, last], SEGMENT, 0],
    ["the first one dropped", [second, last], SEGMENT, 0],
    ["the second one dropped", [first, last], SEGMENT, 1],
    ["the last one dropped", [first, second], TRUNCATED, 2],
    ["all dropped", [], TRUNCATED, 0],
    ["the first one twice", [first, first, second, last], SEGMENT, 1],
    ["the second one twice", [first, second, second, last], SEGMENT, 2],
    ["the last one twice", [first, second, last, last], TRAILING, 2],
    ["the last one first", [last, first, second], SEGMENT, 0],
    ["the second one marked as the last", [first, asLast(second)], SEGMENT, 1],
    ["the last one marked as another", [first, second, asMiddle(last)], TRUNCATED, 2],
    ["one from a sibling under the same file key", [siblingFirst, second, last], SEGMENT, 0],
    ["the last from a sibling under the same file key", [first, second, siblingLast], SEGMENT, 2],
    ["one byte more", [first, second, last, Uint8Array.of(0)], TRAILING, 2],
    ["a mebibyte of zeros more", [first, second, last, new Uint8Array(2 ** 20)], TRAILING, 2],
    ["another message after it", [first, second, last, message], TRAILING, 2],
    ["a last one claiming 31 bytes", [first, second, u32(31), new Uint8Array(27)], SEGMENT, 2],
    [
      "a last one claiming 4,097 bytes",
      [first, second, u32(4097), new Uint8Array(5000)],
      SEGMENT,
      2,
    ],
    ["a last one claiming 4 GiB less 2", [first, second, u32(0xffff_fffe), last], SEGMENT, 2],
    ["a last one claiming no bytes", [first, second, u32(0), last], SEGMENT, 2],
  ];

  it.each(arrangements)("(%s) are refused", async (_how, segments, expected, whole) => {
    const { error, delivered } = await attempt(concat(start, ...segments));
    expect([error, delivered.length]).toEqual([expected, whole * FULL]);
    expect(isUnfinished(delivered)).toBe(true);
  });

  it("(an empty one at the end of a full message) are refused: a length has one chunking", async () => {
    const none = new Uint8Array(0);
    const chunked = messageBytes({}, [text(FULL), none]);
    const { error, delivered } = await attempt(chunked);
    expect([error, delivered.length]).toEqual([SEGMENT, FULL]);
    expect((await attempt(messageBytes({}, [none]))).error).toBe("opened");
    expect((await attempt(messageBytes({}, [text(FULL)]))).error).toBe("opened");
  });
});

describe("a body", () => {
  it("of another message to the same recipient is refused", async () => {
    const options = { recipients: [recipientOf("p256")], segLog2: SEG_LOG2 };
    const [one, other] = [
      await sealMessage(plaintext, options),
      await sealMessage(plaintext, options),
    ];
    const mixed = concat(one.header, await other.body.bytes());
    expect((await attempt(mixed, identityOf("p256"))).error).toBe(BODY_HEADER);
  });

  it("of a message with the same file key and another id, or other segments, is refused", async () => {
    const header = headerBytes();
    for (const lie of [{ core: concat(Uint8Array.of(0xa1, 1, 0x50), text(16)) }, { segLog2: 13 }]) {
      const { error } = await attempt(concat(header, bodyBytes([text(9)], lie)));
      expect(error).toBe(BODY_HEADER);
    }
    expect((await attempt(concat(header, bodyBytes([text(9)])))).error).toBe("opened");
  });

  it("goes with every header for its file key that keeps PRELUDE and CORE: that is re-wrapping", async () => {
    const body = message.subarray(headerLength);
    const more = { ext: concat(u32(6), Uint8Array.of(0x80, 0, 0, 0, 0, 0)) };
    expect((await attempt(concat(headerBytes(more), body))).error).toBe("opened");
  });
});
