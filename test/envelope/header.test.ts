import { afterEach, beforeEach, describe, expect, it, jest } from "@jest/globals";
import { ascii, concat, fromHex, toHex, u16, u32 } from "../../src/bytes.js";
import { encodeTranscript, readHeader } from "../../src/envelope/native/header.js";
import { inspectMessage, openMessage, sealMessage } from "../../src/envelope/messages.js";
import { AuthenticationError, FormatError, UnsupportedError } from "../../src/errors.js";
import { Reader } from "../../src/stream.js";
import {
  block,
  CORE,
  ext,
  headerBytes,
  holder,
  MESSAGE_ID,
  messageBytes,
  recips,
  stanza,
  type HeaderFields,
} from "../support/forge.js";
import { EXCHANGE_KEY_NAMES } from "../support/keys.js";
import { recipientOf } from "../support/identities.js";

const parse = (bytes: Uint8Array) => readHeader(new Reader(bytes));

async function refusal(bytes: Uint8Array): Promise<{ code: string } & Error> {
  return parse(bytes).then(
    () => Promise.reject(new Error("the header was taken")),
    (error: unknown) => error as { code: string } & Error,
  );
}

/** A core with `more` entries after the message's id. */
const coreWith = (count: number, more: string) =>
  concat(Uint8Array.of(0xa0 + count), fromHex("0150"), MESSAGE_ID, fromHex(more));

describe("a header", () => {
  it("as the format has it is read, and opens", async () => {
    const header = await parse(messageBytes());
    expect(header.segLog2).toBe(12);
    expect(toHex(header.core.messageId)).toBe(toHex(MESSAGE_ID));
    expect(header.stanzas).toHaveLength(1);
    const opened = await openMessage(messageBytes(), { identities: [holder] });
    expect(await opened.plaintext.bytes()).toEqual(ascii("a message"));
  });

  it("is read to its end and not a byte further", async () => {
    const bytes = headerBytes();
    const reader = new Reader(concat(bytes, fromHex("c0ffee")));
    await readHeader(reader);
    expect(reader.consumed).toBe(bytes.length);
    expect(toHex(await reader.upTo(10))).toBe("c0ffee");
  });

  it.each(EXCHANGE_KEY_NAMES)("to %s encodes to the bytes it was read from", async (name) => {
    const recipients = [recipientOf(name), recipientOf("p256")];
    const { header } = await sealMessage(new Uint8Array(0), { recipients });
    const parsed = await parse(header);
    expect(toHex(encodeTranscript(parsed))).toBe(toHex(header.subarray(0, -32)));
    expect(toHex(concat(parsed.transcript, parsed.mac))).toBe(toHex(header));
  });
});

describe("what is not a message", () => {
  it.each([
    ["nothing", new Uint8Array(0), /empty/],
    ["one byte", Uint8Array.of(0), /not a p11seal message$/],
    ["text", ascii("hello, world, this is text"), /not a p11seal message$/],
    ["an age file", ascii("age-encryption.org/v1\n-> X25519"), /age file/],
    ["PEM", ascii("-----BEGIN CMS-----\n"), /PEM/],
    ["a message after CRLF became LF", fromHex("8b5031310a1a0a0101120000"), /line ends/],
    ["a message after LF became CRLF", fromHex("8b5031310d0d0a1a0d0a0101"), /line ends/],
    ["a message after CR was dropped", fromHex("8b5031310a1a0d0a01011200"), /line ends/],
    ["zeros", new Uint8Array(64), /not a p11seal message$/],
  ])("(%s) is told by its first bytes", async (_what, bytes, message) => {
    const error = await refusal(bytes);
    expect(error).toBeInstanceOf(FormatError);
    expect(error.code).toBe("ERR_NOT_A_MESSAGE");
    expect(error.message).toMatch(message);
  });
});

describe("a message cut within its magic", () => {
  it("is a message that was cut, with one error however it is delivered", async () => {
    for (let length = 1; length < 16; length++) {
      const cut = headerBytes().subarray(0, length);
      for (const source of [cut, [...cut].map((byte) => Uint8Array.of(byte))]) {
        const error = await readHeader(new Reader(source)).catch((thrown: unknown) => thrown);
        expect(error).toMatchObject({
          name: "AuthenticationError",
          code: "ERR_TRUNCATED",
          message: `the start of the message is cut off after ${length} of 16 bytes`,
        });
      }
    }
  });
});

describe("a header of another version", () => {
  it.each([
    ["version 0", { version: 0 }, "ERR_VERSION"],
    ["version 2", { version: 2 }, "ERR_VERSION"],
    ["version 255", { version: 255 }, "ERR_VERSION"],
    ["suite 0", { suite: 0 }, "ERR_SUITE"],
    ["suite 2", { suite: 2 }, "ERR_SUITE"],
    ["extension 0", { ext: ext({ type: 0, body: new Uint8Array(0) }) }, "ERR_EXTENSION"],
    ["extension 1", { ext: ext({ type: 1, body: ascii("x") }) }, "ERR_EXTENSION"],
    ["extension 7fff", { ext: ext({ type: 0x7fff, body: ascii("x") }) }, "ERR_EXTENSION"],
  ] as [string, Partial<HeaderFields>, string][])(
    "(%s) is refused as not supported, with a hint to a newer program",
    async (_what, fields, code) => {
      const error = await refusal(headerBytes(fields));
      expect(error).toBeInstanceOf(UnsupportedError);
      expect(error).toMatchObject({ code, hint: expect.stringContaining("newer") as unknown });
    },
  );

  it("is recognized by its version, whatever else is wrong with it", async () => {
    const fields = { version: 2, suite: 9, segLog2: 99, flags: 255, coreLength: 0xffff_ffff };
    expect((await refusal(headerBytes(fields))).code).toBe("ERR_VERSION");
    expect((await refusal(headerBytes({ ...fields, version: 1 }))).code).toBe("ERR_SUITE");
  });
});

/** All of these have our magic and version, but p11seal never wrote them: ERR_HEADER, exit 4. */
const lies: [string, Partial<HeaderFields>][] = [
  // PRELUDE
  ...[0, 11, 23, 32, 255].map((segLog2): [string, Partial<HeaderFields>] => [
    `segments of 2^${segLog2} bytes`,
    { segLog2 },
  ]),
  ["flag 2", { flags: 2 }],
  ["flag 80", { flags: 0x80 }],
  ["SIGNED and another flag", { flags: 3 }],
  ["a core of 65,537 bytes", { coreLength: 65_537 }],
  ["a core of 4 GiB", { coreLength: 0xffff_ffff }],
  ["a core cut short by its length", { coreLength: CORE.length - 1 }],
  ["a core of no bytes", { core: new Uint8Array(0) }],
  // CORE: not the one encoding of a map
  ["a core that is an integer", { core: fromHex("00") }],
  ["a core that is an array", { core: fromHex("80") }],
  ["a core that is bytes", { core: fromHex("40") }],
  ["a core that is null", { core: fromHex("f6") }],
  ["a core with a byte after it", { core: concat(CORE, fromHex("00")) }],
  ["two cores", { core: concat(CORE, CORE) }],
  ["a map of indefinite length", { core: concat(fromHex("bf0150"), MESSAGE_ID, fromHex("ff")) }],
  ["an id of indefinite length", { core: concat(fromHex("a1015f50"), MESSAGE_ID, fromHex("ff")) }],
  ["a map's count in two bytes", { core: concat(fromHex("b8010150"), MESSAGE_ID) }],
  ["a key in two bytes", { core: concat(fromHex("a1180150"), MESSAGE_ID) }],
  ["a key in nine bytes", { core: concat(fromHex("a11b000000000000000150"), MESSAGE_ID) }],
  ["an id's length in two bytes", { core: concat(fromHex("a1015810"), MESSAGE_ID) }],
  ["a float for a key", { core: concat(fromHex("a1f93c0050"), MESSAGE_ID) }],
  [
    "a key given twice",
    { core: concat(CORE.subarray(0), fromHex("0150"), MESSAGE_ID).fill(0xa2, 0, 1) },
  ],
  ["keys out of order", { core: concat(fromHex("a21840400150"), MESSAGE_ID) }],
  ["a tagged map", { core: concat(fromHex("c0"), CORE) }],
  ["a tagged id", { core: concat(fromHex("a101c050"), MESSAGE_ID) }],
  ["text for the id", { core: concat(fromHex("a10170"), MESSAGE_ID) }],
  ["an id of 15 bytes", { core: concat(fromHex("a1014f"), MESSAGE_ID.subarray(1)) }],
  ["an id of 17 bytes", { core: concat(fromHex("a10151"), MESSAGE_ID, fromHex("00")) }],
  ["an id claiming 4 GiB", { core: concat(fromHex("a1015affffffff"), MESSAGE_ID) }],
  ["a map claiming 2^53 entries", { core: concat(fromHex("bb001fffffffffffff0150"), MESSAGE_ID) }],
  ["no id", { core: fromHex("a0") }],
  ["undefined for the id", { core: fromHex("a101f7") }],
  ["a break for the id", { core: fromHex("a101ff") }],
  // CORE: keys
  ["key 0", { core: concat(fromHex("a200400150"), MESSAGE_ID) }],
  ["a negative key", { core: coreWith(2, "2040") }],
  ["a text key", { core: coreWith(2, "616140") }],
  ["a key of bytes", { core: coreWith(2, "416140") }],
  ["a boolean key", { core: coreWith(2, "f540") }],
  ["an array for a key", { core: coreWith(2, "8040") }],
  ["a key beyond 2^53", { core: coreWith(2, "1b002000000000000040") }],
  ["a claim of a signed message, in an unsigned one", { core: coreWith(2, "0200") }],
  ["key 9 in an unsigned message", { core: coreWith(2, `095820${"00".repeat(32)}`) }],
  ["unknown key 10", { core: coreWith(2, "0a40") }],
  ["unknown key 63", { core: coreWith(2, "183f40") }],
  // CORE: later versions may add only byte strings, so that nobody has to agree on other encodings
  ["a number under key 64", { core: coreWith(2, "184000") }],
  ["text under key 64", { core: coreWith(2, "184060") }],
  ["null under key 64", { core: coreWith(2, "1840f6") }],
  ["a float under key 64", { core: coreWith(2, "1840f93e00") }],
  ["a map with text and numbers for keys", { core: coreWith(2, "1840a21903e800616100") }],
  ["a map with maps for keys", { core: coreWith(2, "1840a2a000a1010100") }],
  ["arrays 1,000 deep", { core: coreWith(2, `1840${"81".repeat(1000)}00`) }],
  ["arrays 60,000 deep", { core: coreWith(2, `1840${"81".repeat(60_000)}00`) }],
  // SIG
  [
    "SIGNED, and nothing that signed messages claim",
    { flags: 1, sig: block(u16(4), u16(0), u16(0)) },
  ],
  ["a signature of 16,385 bytes", { flags: 1, sig: block(new Uint8Array(16_385)) }],
  ["a signature of 4 GiB", { flags: 1, sig: u32(0xffff_ffff) }],
  // EXT
  ["extensions of 65,537 bytes", { ext: block(new Uint8Array(65_537)) }],
  ["extensions of 4 GiB", { ext: u32(0xffff_ffff) }],
  ["an extension of one byte", { ext: block(fromHex("80")) }],
  ["an extension without its length", { ext: block(fromHex("8000")) }],
  ["half an extension's length", { ext: block(fromHex("80000000")) }],
  [
    "an extension longer than its block",
    { ext: ext({ type: 0x8000, body: ascii("x"), bodyLength: 2 }) },
  ],
  [
    "an extension of 4 GiB",
    { ext: ext({ type: 0x8000, body: ascii("x"), bodyLength: 0xffff_ffff }) },
  ],
  ["a byte after an extension", { ext: block(fromHex("80000000000000")) }],
  // RECIPS
  ["recipients of 4 MiB and a byte", { recips: u32(4 * 1024 * 1024 + 1) }],
  ["recipients of 4 GiB", { recips: u32(0xffff_ffff) }],
  ["recipients of no bytes", { recips: block() }],
  ["half a count", { recips: block(fromHex("00")) }],
  ["no stanza", { recips: recips([]) }],
  ["a count of 0 before a stanza", { recips: recips([stanza()], 0) }],
  ["a count one too low", { recips: recips([stanza(), stanza()], 1) }],
  ["a count one too high", { recips: recips([stanza()], 2) }],
  ["a count of 65,535", { recips: recips([stanza()], 0xffff) }],
  [
    "2,049 stanzas",
    {
      recips: recips(
        new Array<Uint8Array>(2049).fill(stanza({ type: 99, body: new Uint8Array(0) })),
      ),
    },
  ],
  ["stanzas for 1,025 recipients", { recips: recips(strangers(1025)) }],
  ["stanzas for 1,025 recipients, two for some", { recips: recips(twice(strangers(1025), 5)) }],
  ["a byte after the stanzas", { recips: block(u16(1), stanza(), fromHex("00")) }],
  ["a stanza without a body", { recips: block(u16(1), stanza().subarray(0, 14)) }],
  ["a stanza longer than its block", { recips: recips([stanza({ bodyLength: 259 })]) }],
  ["a stanza shorter than its body", { recips: recips([stanza({ bodyLength: 257 })]) }],
  ["a stanza of 4 GiB", { recips: recips([stanza({ bodyLength: 0xffff_ffff })]) }],
  ["an RSA stanza of no bytes", { recips: recips([rsa("", 0)]) }],
  ["an RSA stanza of a hash alone", { recips: recips([rsa("02", 0)]) }],
  ["an RSA stanza without ciphertext", { recips: recips([rsa("0202", 0)]) }],
  ["an RSA ciphertext of 255 bytes", { recips: recips([rsa("0202", 255)]) }],
  ["an RSA ciphertext of 1,025 bytes", { recips: recips([rsa("0202", 1025)]) }],
  ["OAEP hash 0", { recips: recips([rsa("0000", 256)]) }],
  ["OAEP hash 5", { recips: recips([rsa("0505", 256)]) }],
  ["OAEP with another hash for MGF1", { recips: recips([rsa("0201", 256)]) }],
  ...([2, 3, 4, 5] as const).flatMap((type): [string, Partial<HeaderFields>][] => {
    const length = { 2: 113, 3: 145, 4: 181, 5: 80 }[type];
    return [-1, 1, -length].map((off) => [
      `an HPKE stanza of type ${type} with ${length + off} bytes`,
      { recips: recips([stanza({ type, body: new Uint8Array(length + off) })]) },
    ]);
  }),
  // A malformed stanza for somebody else: the header is malformed all the same.
  ["a second stanza that lies", { recips: recips([stanza(), rsa("0203", 256)]) }],
];

/** Stanzas of a type for somebody else, each with a tag of its own. */
function strangers(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) =>
    stanza({ type: 99, tag: concat(u32(0), u32(i)), body: new Uint8Array(0) }),
  );
}

function twice(stanzas: readonly Uint8Array[], count: number): Uint8Array[] {
  return [...stanzas, ...stanzas.slice(0, count)];
}

function rsa(hashes: string, length: number): Uint8Array {
  return stanza({ body: concat(fromHex(hashes), new Uint8Array(length)) });
}

describe("a header that lies", () => {
  let printed: { mockRestore: () => void }[];
  beforeEach(() => {
    printed = (["log", "warn", "error", "info", "debug"] as const).map((method) =>
      jest.spyOn(console, method).mockImplementation((...args) => {
        throw new Error(`printed: ${args.join(" ")}`);
      }),
    );
  });
  afterEach(() => {
    for (const spy of printed) spy.mockRestore();
  });

  it.each(lies)(
    "(%s) is refused as not authentic, and nothing is printed",
    async (_what, fields) => {
      const bytes = headerBytes(fields);
      const error = await refusal(bytes);
      expect(error).toBeInstanceOf(AuthenticationError);
      expect(error.code).toBe("ERR_HEADER");
      await expect(inspectMessage(bytes)).rejects.toMatchObject({ code: "ERR_HEADER" });
      await expect(openMessage(bytes, { identities: [holder] })).rejects.toMatchObject({
        code: "ERR_HEADER",
      });
      for (const spy of printed) expect(spy).not.toHaveBeenCalled();
    },
  );

  it("about a length that the input does not have is cut short", async () => {
    for (const fields of [
      { coreLength: 65_536 },
      { ext: u32(65_536) },
      { recips: u32(4 * 1024 * 1024) },
      { flags: 1, sig: u32(16_384) },
      { mac: new Uint8Array(31) },
    ]) {
      expect((await refusal(headerBytes(fields))).code).toBe("ERR_TRUNCATED");
    }
  });
});

/** What later versions may add, which this one reads as far as it can. */
const growth: [string, Partial<HeaderFields>][] = [
  ["an empty skippable extension", { ext: ext({ type: 0x8000, body: new Uint8Array(0) }) }],
  ["skippable extensions", { ext: ext(later(0x8000), later(0xffff), later(0x8000)) }],
  ["65,536 bytes of extensions", { ext: ext({ type: 0x9999, body: new Uint8Array(65_530) }) }],
  ["an unknown stanza first", { recips: recips([stanza({ type: 8 }), stanza()]) }],
  [
    "an unknown stanza of no bytes",
    { recips: recips([stanza({ type: 0, body: new Uint8Array(0) }), stanza()]) },
  ],
  [
    "an unknown stanza of a MiB",
    { recips: recips([stanza({ type: 0xffff, body: new Uint8Array(2 ** 20) }), stanza()]) },
  ],
  [
    "2,048 stanzas",
    { recips: recips([...new Array<Uint8Array>(2047).fill(stanza({ type: 9 })), stanza()]) },
  ],
  [
    "1,024 recipients, two stanzas for each",
    { recips: recips([...twice(strangers(1023), 1023), stanza(), stanza()]) },
  ],
  ["bytes under core key 64", { core: coreWith(2, "184040") }],
  ["bytes under core keys 64 and 2^53-1", { core: coreWith(3, "184041aa1b001fffffffffffff41bb") }],
  ["a core of 65,536 bytes", { core: coreWith(2, `184059ffe8${"00".repeat(65_512)}`) }],
  ["the smallest segments", { segLog2: 12 }],
  ["the largest segments", { segLog2: 22 }],
];

function later(type: number) {
  return { type, body: ascii("for later") };
}

describe("a header with room used by a later version", () => {
  it.each(growth)(
    "(%s) encodes to the bytes it was read from, and opens",
    async (_what, fields) => {
      const bytes = headerBytes(fields);
      const parsed = await parse(bytes);
      expect(Buffer.compare(encodeTranscript(parsed), bytes.subarray(0, -32))).toBe(0);
      const opened = await openMessage(messageBytes(fields), { identities: [holder] });
      expect(await opened.plaintext.bytes()).toEqual(ascii("a message"));
    },
  );

  it("is not taken for a stanza of one's own: an unknown type is for somebody else", async () => {
    const fields = { recips: recips([stanza({ type: 8 })]) };
    await expect(openMessage(messageBytes(fields), { identities: [holder] })).rejects.toMatchObject(
      { code: "ERR_NO_MATCH" },
    );
  });

  it("is covered by the MAC, skipped or not", async () => {
    const fields = { ext: ext(later(0x8000)) };
    const bytes = messageBytes(fields);
    const at = Buffer.from(bytes).indexOf("for later");
    bytes[at] = (bytes[at] as number) ^ 1;
    await expect(openMessage(bytes, { identities: [holder] })).rejects.toMatchObject({
      code: "ERR_NOT_AUTHENTIC",
    });
  });
});

describe("what anyone can see", () => {
  it("names every recipient's operation and nothing that needs a key", async () => {
    const recipients = EXCHANGE_KEY_NAMES.map((name) => recipientOf(name));
    const sealed = await sealMessage(ascii("x"), { recipients, segLog2: 13 });
    const info = await inspectMessage(sealed.stream());
    expect(info).toMatchObject({
      version: 1,
      suite: 1,
      segmentBytes: 8192,
      messageId: sealed.messageId,
      signed: false,
      headerBytes: sealed.header.length,
    });
    expect(info.recipients.map(({ type, oaep }) => oaep ?? type)).toEqual([
      ...["sha256", "sha1", "sha256", "sha1", "sha256", "sha1"],
      ...["hpke-p256", "hpke-p384", "hpke-p521", "hpke-x25519"],
    ]);
    expect(new Set(info.recipients.map(({ tag }) => tag)).size).toBe(7);
    expect(info.recipients[2]?.operation).toContain("RSA-3072");
  });
});
