import { describe, expect, it } from "@jest/globals";
import { concat, fromHex } from "../../src/bytes.js";
import {
  FLOE_HEADER_BYTES,
  floeOpen,
  floeSeal,
  segmentLength,
  type FloeParameters,
} from "../../src/body/floe.js";
import { describeVectors, vectorFile } from "../support/vectors.js";

const key = new Uint8Array(32);
const aad = new TextEncoder().encode("This is AAD");

/** Opens a whole FLOE message in memory. */
function openAll(message: Uint8Array, parameters: FloeParameters): Uint8Array {
  const segments = floeOpen(key, aad, parameters, message.subarray(0, FLOE_HEADER_BYTES));
  const parts: Uint8Array[] = [];
  let offset = FLOE_HEADER_BYTES;
  for (let index = 0; ; index++) {
    const length = segmentLength(message.subarray(offset));
    const segment = message.subarray(offset, offset + (length ?? parameters.segmentBytes));
    parts.push(segments.open(index, length !== null, segment));
    offset += segment.length;
    if (length !== null) break;
  }
  expect(offset).toBe(message.length);
  return concat(...parts);
}

const writers = { go: 1, java: 1, cpp: 1 };
const cases: [string, FloeParameters][] = Object.keys(writers).flatMap((writer) => [
  [`${writer}_GCM256_IV256_4K`, { segmentBytes: 4096 }],
  [`${writer}_GCM256_IV256_64`, { segmentBytes: 64 }],
  [`${writer}_rotation`, { segmentBytes: 40, rotationLog2: 2 }],
]);
cases.push(
  ["java_lastSegAligned", { segmentBytes: 40 }],
  ["java_lastSegEmpty", { segmentBytes: 40 }],
);

describeVectors("FLOE known answers", () => {
  it.each(cases)("%s opens to its plaintext", (name, parameters) => {
    const read = (what: string) =>
      fromHex(vectorFile(`floe/${name}_${what}.txt`).toString("utf8").trim());
    expect(Buffer.from(openAll(read("ct"), parameters))).toEqual(Buffer.from(read("pt")));
  });
});

describe("FLOE segments", () => {
  const parameters = { segmentBytes: 64 };
  const sealed = floeSeal(key, aad, parameters);
  const first = concat(...sealed.segments.seal(0, false, new Uint8Array(32).fill(7)));
  const last = concat(...sealed.segments.seal(1, true, new Uint8Array(5).fill(9)));

  it("open what was sealed", () => {
    const plain = openAll(concat(sealed.header, first, last), parameters);
    expect([...plain]).toEqual([...new Array<number>(32).fill(7), 9, 9, 9, 9, 9]);
  });

  it("are refused at another position", () => {
    const segments = floeOpen(key, aad, parameters, sealed.header);
    expect(() => segments.open(1, false, first)).toThrow(
      expect.objectContaining({ code: "ERR_SEGMENT" }),
    );
    expect(() => segments.open(0, true, last)).toThrow(
      expect.objectContaining({ code: "ERR_SEGMENT" }),
    );
  });

  it("are refused when the last one is taken for another, or another for the last", () => {
    const segments = floeOpen(key, aad, parameters, sealed.header);
    expect(() => segments.open(0, true, first)).toThrow(
      expect.objectContaining({ code: "ERR_SEGMENT" }),
    );
    expect(() => segments.open(1, false, last)).toThrow(
      expect.objectContaining({ code: "ERR_SEGMENT" }),
    );
  });

  it("carry a fresh IV each, also for equal plaintext at one position", () => {
    const again = concat(...sealed.segments.seal(0, false, new Uint8Array(32).fill(7)));
    expect(Buffer.from(again.subarray(4, 16))).not.toEqual(Buffer.from(first.subarray(4, 16)));
  });

  it.each([0, 2, 5, 9, 10, 41, 42, 73])("refuses a header with byte %i altered", (at) => {
    const header = sealed.header.slice();
    header[at] = (header[at] as number) ^ 1;
    expect(() => floeOpen(key, aad, parameters, header)).toThrow(
      expect.objectContaining({ code: "ERR_BODY_HEADER" }),
    );
  });

  it("refuses another key, and the same key with other associated data", () => {
    const other = new Uint8Array(32).fill(1);
    for (const [k, a] of [
      [other, aad],
      [key, other],
    ] as const) {
      expect(() => floeOpen(k, a, parameters, sealed.header)).toThrow(
        expect.objectContaining({ code: "ERR_BODY_HEADER" }),
      );
    }
  });
});
