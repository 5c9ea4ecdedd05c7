import { describe, expect, it } from "@jest/globals";
import { BerReader, MAX_HEADER_VALUES_BYTES } from "../../src/asn1/ber-reader.js";
import { MAX_DEPTH, toDer } from "../../src/asn1/ber.js";
import { der, DerReader } from "../../src/asn1/der.js";
import { concat, fromHex, toHex } from "../../src/bytes.js";
import { P11SealError } from "../../src/errors.js";
import { collect, fillingSource, Reader, type ByteSource } from "../../src/stream.js";
import { fuzz, Random } from "../support/mutate.js";
import { scaled } from "../support/scale.js";

function raw(hex: string): Uint8Array {
  return fromHex(hex.replaceAll(" ", ""));
}

function indefinite(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  return concat(Uint8Array.of(tag, 0x80), ...parts, new Uint8Array(2));
}

/** With a length that has a needless zero. */
function longer(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = concat(...parts);
  return concat(Uint8Array.of(tag, 0x83, 0, content.length >> 8, content.length), content);
}

/** So many values in one another, all of unknown length. */
function nested(levels: number): Uint8Array {
  return concat(raw("3080".repeat(levels)), new Uint8Array(2 * levels));
}

function reader(source: ByteSource): BerReader {
  return new BerReader(new Reader(source), "the test message");
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "nothing was refused",
    (error: unknown) => (error instanceof P11SealError ? error.code : String(error)),
  );
}

/** In chunks of so many bytes, all in the same memory. */
function inChunks(bytes: Uint8Array, size: number): ByteSource {
  let at = 0;
  return fillingSource((target) => {
    const chunk = bytes.subarray(at, at + Math.min(size, target.length));
    target.set(chunk);
    at += chunk.length;
    return Promise.resolve(chunk.length);
  });
}

describe("a value made DER", () => {
  it.each([
    ["an indefinite length", "3080 020101 0000", "3003020101"],
    ["indefinite lengths in one another", "3080 3080 0500 0000 020101 0000", "300730020500020101"],
    ["a length longer than need be", "308104 02810101", "3003020101"],
    ["an octet string in pieces", "2480 040101 24040402 0203 0000", "0403010203"],
    ["an octet string in no pieces", "2400", "0400"],
    ["a bit string in pieces", "2380 03020001 030204f0 0000", "03030401f0"],
    ["text in pieces", "2c80 0c0161 0c0162 0000", "0c026162"],
    ["text in pieces that are octet strings", "3380 040161 0000", "130161"],
    ["true as 1", "010101", "0101ff"],
    ["pieces under a context tag, which stay", "a080 040101 0000", "a003040101"],
  ])("%s", async (_, sent, made) => {
    expect(toHex(toDer(raw(sent), "the test message"))).toBe(made.replaceAll(" ", ""));
    const one = reader(raw(sent));
    expect(toHex(await one.der())).toBe(made.replaceAll(" ", ""));
    await one.end();
    expect(toHex(await reader(raw(sent)).sent())).toBe(sent.replaceAll(" ", ""));
  });

  it.each([
    ["a tag of several bytes", "3003 1f8101"],
    ["a primitive value without a length", "3004 0480 0000"],
    ["a length of nine bytes", "0489000000000000000001 00"],
    ["a length of 2^53", "048820000000000000 00"],
    ["an end of contents in a value of known length", "3002 0000"],
    ["a string whose pieces are of another kind", "2403 020101"],
    ["a bit string whose first piece is not whole bytes", "2380 030204f0 03020001 0000"],
    ["a bit string with an empty piece", "2380 0300 0000"],
    ["a boolean of two bytes", "01020000"],
    ["a value longer than the one around it", "3003 020201 01"],
  ])("%s is refused", async (_, sent) => {
    expect(await codeOf(reader(raw(sent)).der())).toMatch(/^ERR_(?:BER|TRUNCATED)$/);
  });

  it("is refused from a depth of 33 on", async () => {
    expect(await codeOf(reader(nested(MAX_DEPTH)).der())).toBe("nothing was refused");
    expect(await codeOf(reader(nested(MAX_DEPTH + 1)).der())).toBe("ERR_BER");
    const definite = Array.from({ length: MAX_DEPTH + 1 }).reduce<Uint8Array>(
      (inner) => der(0x30, inner),
      new Uint8Array(0),
    );
    expect(await codeOf(reader(definite).der())).toBe("ERR_BER");
  });
});

describe("walking", () => {
  it("enters and leaves, and says what comes next", async () => {
    const one = reader(raw("3080 020101 a0020500 0000"));
    await one.enter(0x30);
    expect(await one.tag()).toBe(0x02);
    expect(toHex(await one.der(0x02))).toBe("020101");
    await one.enter(0xa0);
    expect(await one.tag()).toBe(0x05);
    await one.der();
    expect(await one.tag()).toBeUndefined();
    await one.leave();
    expect(await one.tag()).toBeUndefined();
    await one.leave();
    await one.end();
    expect(one.offset).toBe(11);
  });

  it.each([
    ["values that are left", "3080 020101 0000", "ERR_BER"],
    ["no end of contents", "3080", "ERR_TRUNCATED"],
    ["half an end of contents", "3080 00", "ERR_TRUNCATED"],
  ])("leaving refuses %s", async (_, sent, code) => {
    const one = reader(raw(sent));
    await one.enter(0x30);
    expect(await codeOf(one.leave())).toBe(code);
  });

  it("refuses another tag, a value that is missing, and what follows the end", async () => {
    expect(await codeOf(reader(raw("3000")).enter(0x31))).toBe("ERR_BER");
    expect(await codeOf(reader(raw("")).der(0x31))).toBe("ERR_BER");
    const one = reader(raw("3000 00"));
    await one.der();
    expect(await codeOf(one.end())).toBe("ERR_TRAILING");
  });

  it("a value of unknown length ends with the one around it", async () => {
    const one = reader(raw("3004 3080 0201 01 0000"));
    await one.enter(0x30);
    await one.enter(0x30);
    expect(await codeOf(one.der())).toBe("ERR_BER");
  });

  it("refuses a header that is too long, before it is in memory", async () => {
    const claimed = concat(Uint8Array.of(0x30, 0x84, 0x7f, 0xff, 0xff, 0xff), new Uint8Array(100));
    expect(await codeOf(reader(claimed).der())).toBe("ERR_HEADER_SIZE");
    const small = der(0x04, new Uint8Array(MAX_HEADER_VALUES_BYTES / 4));
    const many = reader(concat(small, small, small, small));
    for (let i = 0; i < 3; i++) await many.der();
    expect(await codeOf(many.der())).toBe("ERR_HEADER_SIZE");
  });
});

describe("a string's octets", () => {
  const octets = new Random(7).bytes(70_000);
  const piece = (from: number, to: number): Uint8Array => der(0x04, octets.subarray(from, to));
  const forms: readonly [string, Uint8Array][] = [
    ["whole", der(0x04, octets)],
    ["with a length longer than need be", longer(0x04, octets.subarray(0, 65_535))],
    ["in pieces", indefinite(0x24, piece(0, 4096), piece(4096, 70_000))],
    ["in pieces of known length", der(0x24, piece(0, 1), piece(1, 1), piece(1, 70_000))],
    [
      "in pieces of pieces",
      indefinite(0x24, indefinite(0x24, piece(0, 9)), der(0x24, piece(9, 20)), piece(20, 70_000)),
    ],
    [
      "in single bytes",
      indefinite(
        0x24,
        new Uint8Array(Buffer.concat(Array.from(octets, (_, i) => piece(i, i + 1)))),
      ),
    ],
  ];

  it.each(forms)("%s", async (_, sent) => {
    for (const size of [1, 7, 4096, 1_000_000]) {
      const one = reader(inChunks(concat(sent, raw("0500")), size));
      const read = await collect(one.content(0x04));
      expect(Buffer.compare(read, octets.subarray(0, read.length))).toBe(0);
      expect(read.length).toBeGreaterThan(65_000);
      expect(toHex(await one.der())).toBe("0500");
      await one.end();
    }
  });

  it.each(forms)("%s, in memory that is used again", async (_, sent) => {
    for (const size of [7, 4096, 1_000_000]) {
      const one = reader(inChunks(concat(sent, raw("0500")), size));
      let at = 0;
      for await (const chunk of one.content(0x04, true)) {
        expect(Buffer.compare(chunk, octets.subarray(at, at + chunk.length))).toBe(0);
        at += chunk.length;
      }
      expect(at).toBeGreaterThan(65_000);
      expect(toHex(await one.der())).toBe("0500");
      await one.end();
    }
  });

  it("may stand under a tag of its context", async () => {
    expect(toHex(await collect(reader(raw("8002 0102")).content(0x80)))).toBe("0102");
    expect(toHex(await collect(reader(raw("a080 040101 0000")).content(0x80)))).toBe("01");
  });

  it.each([
    ["a piece of another kind", "2480 020101 0000", "ERR_BER"],
    ["a piece of a context tag", "a080 800101 0000", "ERR_BER"],
    ["a piece longer than the string", "2403 040201 01", "ERR_BER"],
    ["no end", "2480 040101", "ERR_TRUNCATED"],
    ["half an end", "2480 040101 00", "ERR_TRUNCATED"],
    ["a piece cut off", "2480 040301", "ERR_TRUNCATED"],
    ["cut off", "040301", "ERR_TRUNCATED"],
    ["an end in a string of known length", "2402 0000", "ERR_BER"],
    ["pieces in pieces without end", "2480".repeat(40), "ERR_BER"],
  ])("%s is refused", async (_, sent, code) => {
    expect(await codeOf(collect(reader(raw(sent)).content(sent.startsWith("a") ? 0x80 : 4)))).toBe(
      code,
    );
  });

  it("of any length leave no trace in the limit of the header", async () => {
    const big = new Uint8Array(MAX_HEADER_VALUES_BYTES);
    const one = reader(concat(der(0x04, big), der(0x04, big), raw("0500")));
    for (let i = 0; i < 2; i++) expect((await collect(one.content(0x04))).length).toBe(big.length);
    expect(toHex(await one.der())).toBe("0500");
  });
});

// ── At random ──

/** A value in DER, and one way to send it in BER. */
interface Sample {
  readonly made: Uint8Array;
  readonly sent: Uint8Array;
}

function sample(random: Random, levels: number): Sample {
  if (levels === 0 || random.below(3) === 0) return leaf(random);
  const children = Array.from({ length: random.below(4) }, () => sample(random, levels - 1));
  const tag = random.of([0x30, 0x31, 0xa0, 0xa3]);
  const sent = children.map((child) => child.sent);
  return {
    made: der(tag, ...children.map(({ made }) => made)),
    sent: random.of([indefinite, longer, der])(tag, ...sent),
  };
}

function leaf(random: Random): Sample {
  const content = random.bytes(random.below(40));
  const cut = random.below(content.length + 1);
  const pieces = [der(0x04, content.subarray(0, cut)), der(0x04, content.subarray(cut))];
  const sent = random.of([
    der(0x04, content),
    longer(0x04, content),
    der(0x24, ...pieces),
    indefinite(0x24, ...pieces),
  ]);
  return { made: der(0x04, content), sent };
}

describe("BER at random", () => {
  it("of any form becomes the same DER", async () => {
    const random = new Random(0xbe4);
    for (let i = 0; i < scaled(20_000, 500); i++) {
      const { made, sent } = sample(random, 4);
      const one = reader(inChunks(sent, 1 + random.below(9)));
      expect(toHex(await one.der())).toBe(toHex(made));
      await one.end();
    }
  });

  it("damaged, is refused, or becomes DER that stays as it is", async () => {
    const random = new Random(1);
    const seeds = Array.from({ length: 20 }, () => sample(random, 4).sent);
    const report = await fuzz(seeds, scaled(1_000_000, 10_000), 0xbe5, async (input) => {
      try {
        const made = await reader(input).der();
        new DerReader(made, "the test message").skip();
        return Buffer.compare(toDer(made, "the test message"), made) === 0 || "is made otherwise";
      } catch (error) {
        return error instanceof P11SealError ? error : `threw ${String(error)}`;
      }
    });
    expect(report.broken).toEqual([]);
    expect([...report.codes.keys()].sort()).toEqual([
      "ERR_BER",
      "ERR_HEADER_SIZE",
      "ERR_TRUNCATED",
    ]);
    expect(report.taken).toBeGreaterThan(report.tried / 100);
  }, 1_800_000);
});
