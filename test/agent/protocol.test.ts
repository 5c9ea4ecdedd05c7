/** Messages between an agent and its clients, and their frames. */
import { encode } from "cborg";
import { describe, expect, it } from "@jest/globals";
import { concat, u32 } from "../../src/bytes.js";
import { frameOf, FrameReader, MAX_FRAME_BYTES } from "../../src/agent/frames.js";
import {
  decodeAnswer,
  decodeRequest,
  encodeMessage,
  type Answer,
  type Request,
} from "../../src/agent/protocol.js";

const MALFORMED = expect.objectContaining({ code: "ERR_AGENT_PROTOCOL" });

describe("requests and answers", () => {
  const requests: readonly Request[] = [
    { kind: "hello", version: 1 },
    { kind: "open", format: "p11seal", header: Uint8Array.of(1, 2) },
    {
      kind: "open",
      format: "age",
      header: Uint8Array.of(0),
      keys: ["pkcs11:"],
      terminal: "/dev/tty",
    },
    { kind: "signer", key: "pkcs11:object=x", unlock: true },
    { kind: "sign", format: "p11seal", core: Uint8Array.of(1), key: "pkcs11:object=x" },
    { kind: "lock" },
  ];
  const answers: readonly Answer[] = [
    { kind: "hello", version: 1, capabilities: ["open"] },
    { kind: "key", key: new Uint8Array(32), spki: Uint8Array.of(3), name: "pkcs11:object=x" },
    { kind: "signer", spki: Uint8Array.of(3), name: "pkcs11:object=x", label: "x" },
    { kind: "signature", signature: new Uint8Array(64) },
    { kind: "error", name: "TokenError", code: "ERR_X", message: "no" },
    {
      ...{ kind: "status", pid: 1, asks: "a file", peers: "the kernel" },
      tokens: [
        { label: "a", serial: "1", keys: ["pkcs11:"], unlocked: true, pinPad: false, uses: 3 },
      ],
    },
  ];

  it("come back as they were sent", () => {
    for (const request of requests) expect(decodeRequest(encodeMessage(request))).toEqual(request);
    for (const answer of answers) expect(decodeAnswer(encodeMessage(answer))).toEqual(answer);
  });

  it.each([
    ["no map", encode([1])],
    ["no CBOR", Uint8Array.of(0xff)],
    ["an unknown kind", encode({ kind: "unwrap" })],
    ["a kind of an object's own", encode({ kind: "constructor" })],
    ["no kind", encode({ version: 1 })],
    ["an unknown field", encode({ kind: "lock", now: true })],
    ["a field of another kind", encode({ kind: "lock", version: 1 })],
    ["a missing field", encode({ kind: "hello" })],
    ["a field of another type", encode({ kind: "hello", version: "1" })],
    ["a signature without a key", encode({ kind: "sign", format: "x", core: Uint8Array.of(1) })],
    [
      "a hash to sign",
      encode({
        kind: "sign",
        format: "x",
        core: Uint8Array.of(1),
        key: "x",
        hash: new Uint8Array(48),
      }),
    ],
    [
      "a core that is too long",
      encode({ kind: "sign", format: "x", core: new Uint8Array(65_553), key: "x" }),
    ],
    ["a float", encode({ kind: "hello", version: 1.5 })],
    ["a negative number", encode({ kind: "hello", version: -1 })],
    ["an empty header", encode({ kind: "open", format: "p11seal", header: new Uint8Array(0) })],
    [
      "keys that are no list",
      encode({ kind: "open", format: "age", header: new Uint8Array(1), keys: "x" }),
    ],
    [
      "too many keys",
      encode({ kind: "open", format: "age", header: new Uint8Array(1), keys: Array(65).fill("x") }),
    ],
    ["bytes after the map", concat(encode({ kind: "lock" }), Uint8Array.of(0))],
    // The same map with its keys in another order: d7 2 entries, "version": 1, "kind": "hello".
    [
      "another order",
      concat(
        Uint8Array.of(0xa2, 0x67),
        Buffer.from("version"),
        Uint8Array.of(1, 0x64),
        Buffer.from("kind"),
        Uint8Array.of(0x65),
        Buffer.from("hello"),
      ),
    ],
    [
      "a length that is longer than need be",
      concat(Uint8Array.of(0xb8, 1, 0x64), Buffer.from("kindd"), Buffer.from("lock")),
    ],
    [
      "one field twice",
      concat(Uint8Array.of(0xa2), ...[0, 1].map(() => encode({ kind: "lock" }).subarray(1))),
    ],
    [
      "__proto__",
      encode(
        new Map([
          ["kind", "lock"],
          ["__proto__", "x"],
        ]),
      ),
    ],
    [
      "nesting",
      encode({ kind: "open", format: "age", header: new Uint8Array(1), keys: [[[[[["x"]]]]]] }),
    ],
  ])("with %s are refused", (_what, bytes) => {
    expect(() => decodeRequest(bytes)).toThrow(MALFORMED);
    expect(() => decodeAnswer(bytes)).toThrow(MALFORMED);
  });

  it("are refused at once where few bytes stand for many values", () => {
    // 4 MiB of empty maps: a gigabyte of objects, and 14 seconds, if they were made.
    const frame = new Uint8Array(MAX_FRAME_BYTES).fill(0xa0);
    frame.set(concat(Uint8Array.of(0x9a), u32(MAX_FRAME_BYTES - 5)));
    const before = performance.now();
    expect(() => decodeRequest(frame)).toThrow(MALFORMED);
    expect(performance.now() - before).toBeLessThan(3000);
  });

  it("have no field for a PIN, a file key or a raw result", () => {
    for (const name of [
      "pin",
      "fileKey",
      "secret",
      "plaintext",
      "ciphertext",
      "module",
      "source",
    ]) {
      const request = { kind: "open", format: "p11seal", header: new Uint8Array(1), [name]: "x" };
      expect(() => decodeRequest(encode(request))).toThrow(MALFORMED);
    }
  });
});

describe("frames", () => {
  const bodies = [Uint8Array.of(1), new Uint8Array(70_000).fill(2), Uint8Array.of(3, 4)];
  const stream = concat(...bodies.map(frameOf));

  it.each([1, 3, 4, 5, 1000, stream.length])("come whole from chunks of %d bytes", (size) => {
    const reader = new FrameReader();
    const found: Uint8Array[] = [];
    for (let at = 0; at < stream.length; at += size) {
      for (const frame of reader.push(stream.subarray(at, at + size))) found.push(frame.slice());
    }
    expect(found).toEqual(bodies);
    expect(reader.isWaiting).toBe(false);
  });

  it("of many bytes may come byte by byte", () => {
    const reader = new FrameReader();
    const body = new Uint8Array(200_000).fill(7);
    const frames = [...frameOf(body)].flatMap((byte) => [...reader.push(Uint8Array.of(byte))]);
    expect(frames).toEqual([body]);
  });

  it.each([0, MAX_FRAME_BYTES + 1, 0xffffffff])("of %d bytes are refused at once", (length) => {
    expect(() => [...new FrameReader().push(u32(length))]).toThrow(MALFORMED);
  });
});
