/**
 * The header's parser with damaged headers, signed and unsigned. It refuses each with one of our
 * errors and a known code, or reads it and then writes the same bytes. It doesn't hang, leak or use
 * much memory.
 */
import { beforeAll, describe, expect, it } from "@jest/globals";
import { concat, fromHex } from "../../src/bytes.js";
import { encodeTranscript, readHeader } from "../../src/envelope/native/header.js";
import { inspectMessage, openMessage, sealMessage } from "../../src/envelope/messages.js";
import { P11SealError } from "../../src/errors.js";
import { Reader } from "../../src/stream.js";
import {
  ext,
  headerBytes,
  holder,
  MESSAGE_ID,
  messageBytes,
  recips,
  stanza,
} from "../support/forge.js";
import type { Sender } from "../../src/envelope/seal-options.js";
import { recipientOf, senderOf } from "../support/identities.js";
import { custodianOf, parsed, RECORD, rewrapped, sealed } from "../support/rewrapped.js";
import { EXCHANGE_KEY_NAMES } from "../support/keys.js";
import { fuzz } from "../support/mutate.js";
import { scaled } from "../support/scale.js";

const PARSER_CODES = [
  "ERR_NOT_A_MESSAGE",
  "ERR_VERSION",
  "ERR_SUITE",
  "ERR_HEADER",
  "ERR_TRUNCATED",
  "ERR_EXTENSION",
];

const plaintext = new Uint8Array(10);
let seeds: Uint8Array[];
/** Small seeds, so that changes hit structure and not the middle of an RSA ciphertext. */
beforeAll(async () => {
  const small = [recipientOf("x25519")];
  const sealed = await Promise.all([
    sealMessage(plaintext, { recipients: small }),
    sealMessage(plaintext, { recipients: EXCHANGE_KEY_NAMES.map((name) => recipientOf(name)) }),
    ...(["ed25519", "p256", "rsa2048"] as const).map((name) =>
      sealMessage(plaintext, { recipients: small, sender: senderOf(name) }),
    ),
  ]);
  const skippable = { type: 0x8100, body: new Uint8Array(7) };
  const record = { type: 0x8001, body: new Uint8Array(7) };
  const padding = { type: 0x8002, body: new Uint8Array(9) };
  seeds = [
    ...sealed.map(({ header }) => header),
    headerBytes(),
    headerBytes({ ext: ext(skippable, skippable) }),
    headerBytes({ ext: ext(record, padding) }),
    ...(await Promise.all([passedOn(), passedOn(senderOf("ed25519"))])),
    headerBytes({ core: concat(fromHex("a30150"), MESSAGE_ID, fromHex("184041aa19ffff43bbbbbb")) }),
    headerBytes({ recips: recips([stanza({ type: 9, body: new Uint8Array(3) }), stanza()]) }),
  ];
});

/** The header of a message that a custodian re-wrapped, without its long padding. */
async function passedOn(sender?: Sender): Promise<Uint8Array> {
  const custodian = custodianOf("p256");
  const header = await parsed(await rewrapped(await sealed(sender), { custodian, add: [] }));
  const extensions = header.extensions.filter(({ type }) => type === RECORD);
  return concat(encodeTranscript({ ...header, extensions }), header.mac);
}

async function parse(input: Uint8Array): Promise<true | Error | string> {
  try {
    const reader = new Reader(input);
    const header = await readHeader(reader);
    const read = concat(encodeTranscript(header), header.mac);
    if (Buffer.compare(read, input.subarray(0, reader.consumed)) !== 0) return "encodes otherwise";
    return true;
  } catch (error) {
    return refusal(error, PARSER_CODES);
  }
}

function refusal(error: unknown, codes: readonly string[]): Error | string {
  if (!(error instanceof P11SealError)) return `threw ${String(error)}`;
  if (!codes.includes(error.code)) return `threw ${error.code}`;
  return /[^\x20-\x7e]/.test(error.message) ? "says what can't be printed" : error;
}

const MIB = 2 ** 20;

describe("a damaged header", () => {
  const tries = scaled(1_000_000, 10_000);

  it(`is refused, or read and written alike, ${tries} times`, async () => {
    const report = await fuzz(seeds, tries, 0x50_31_31, parse);
    expect(report.broken).toEqual([]);
    // Proof that the fuzzer works: every refusal occurs, and some inputs are accepted.
    expect([...report.codes.keys()].sort()).toEqual([...PARSER_CODES].sort());
    expect(report.codes.get("ERR_HEADER")).toBeGreaterThan(report.tried / 10);
    expect(report.taken).toBeGreaterThan(report.tried / 100);
    expect(report.slowestMs).toBeLessThan(10_000);
    expect(report.grown).toBeLessThan(300 * MIB);
  }, 1_800_000);

  it("is never opened, and shows without a fault, signed or not", async () => {
    const whole = [...seeds, messageBytes()];
    const codes = [
      ...PARSER_CODES,
      "ERR_SENDER_SIGNATURE",
      "ERR_REWRAPPED",
      "ERR_REWRAP_RECORD",
      "ERR_NO_MATCH",
      "ERR_NOT_AUTHENTIC",
      "ERR_BODY_HEADER",
      "ERR_SEGMENT",
      "ERR_TRAILING",
    ];
    const report = await fuzz(whole, scaled(50_000, 2000), 0x5ea1, async (input) => {
      const seen = await inspectMessage(input).then(
        () => true,
        (error: unknown) => refusal(error, PARSER_CODES),
      );
      if (typeof seen === "string") return seen;
      try {
        const opened = await openMessage(input, { identities: [holder] });
        const bytes = await opened.plaintext.bytes();
        const same = whole.some((each) => Buffer.compare(each, input) === 0);
        return same ? true : `opened to ${bytes.length} bytes`;
      } catch (error) {
        return refusal(error, codes);
      }
    });
    expect(report.broken).toEqual([]);
    expect(report.codes.size).toBeGreaterThan(8);
    expect(report.slowestMs).toBeLessThan(10_000);
  }, 300_000);
});
