/**
 * The reader of age headers with damaged headers. It refuses each with one of our errors and a
 * known code, or reads it and then writes the same bytes; and none opens. Damaged keys likewise.
 */
import { beforeAll, describe, expect, it } from "@jest/globals";
import { ascii, concat } from "../../src/bytes.js";
import { encodeAgeHeader, readAgeHeader, transcriptOf } from "../../src/envelope/age/age-header.js";
import { encodeStanza, parseStanzas } from "../../src/envelope/age/stanzas.js";
import { inspectMessage, openMessage, sealMessage } from "../../src/envelope/messages.js";
import { P11SealError } from "../../src/errors.js";
import {
  formatAgeRecipient,
  parseAgeIdentities,
  parseAgeRecipient,
} from "../../src/keys/formats/age-keys.js";
import { Reader } from "../../src/stream.js";
import { identityOf, recipientOf } from "../support/identities.js";
import { fuzz } from "../support/mutate.js";
import { scaled } from "../support/scale.js";

const PARSER_CODES = ["ERR_VERSION", "ERR_HEADER", "ERR_TRUNCATED"];
const identities = [identityOf("p256"), identityOf("x25519")];

/** Of types that are opened, and that are only read: nothing is wrong with their forms. */
const STANZAS = [
  "-> scrypt rF0/NwblUHHTpgQgRpe5CQ 10\ngUjEymFKMVXQEKdMMHL24oYexjE3TIC0O0zGSqJ2aUY\n",
  `-> grease-me ! ~ a\n${"A".repeat(64)}\n\n-> e\n\n`,
].map((text) => ascii(`age-encryption.org/v1\n${text}--- ${"A".repeat(43)}\n`));

let seeds: Uint8Array[];
let files: Uint8Array[];
beforeAll(async () => {
  const groups = [["x25519"], ["p256"], ["x25519", "p256", "rsa2048"]] as const;
  const sealed = await Promise.all(
    groups.map(async (names) => {
      const recipients = names.map((name) => recipientOf(name));
      return sealMessage(new Uint8Array(10), { recipients, format: "age" });
    }),
  );
  seeds = [...sealed.map(({ header }) => header), ...STANZAS];
  files = await Promise.all(sealed.slice(0, 2).map((one) => one.stream().bytes()));
});

function refusal(error: unknown, codes: readonly string[]): Error | string {
  if (!(error instanceof P11SealError)) return `threw ${String(error)}`;
  if (!codes.includes(error.code)) return `threw ${error.code}`;
  return /[^\x20-\x7e]/.test(error.message) ? "says what can't be printed" : error;
}

async function parse(input: Uint8Array): Promise<true | Error | string> {
  try {
    const reader = new Reader(input);
    const { stanzas, mac, bytes } = await readAgeHeader(reader);
    const written = encodeAgeHeader(transcriptOf(parseStanzas(stanzas).map(encodeStanza)), mac);
    if (bytes !== reader.consumed) return "counts other bytes";
    const same = Buffer.compare(written, input.subarray(0, bytes)) === 0;
    return same ? true : "encodes otherwise";
  } catch (error) {
    return refusal(error, PARSER_CODES);
  }
}

describe("a damaged age header", () => {
  const tries = scaled(300_000, 6000);

  it(`is refused, or read and written alike, ${tries} times`, async () => {
    const report = await fuzz(seeds, tries, 0xa6e, parse);
    expect(report.broken).toEqual([]);
    expect([...report.codes.keys()].sort()).toEqual([...PARSER_CODES].sort());
    expect(report.taken).toBeGreaterThan(report.tried / 200);
    expect(report.slowestMs).toBeLessThan(10_000);
  }, 1_800_000);

  it("is never opened, and shows without a fault", async () => {
    const codes = [
      ...[...PARSER_CODES, "ERR_NOT_A_MESSAGE", "ERR_NO_MATCH", "ERR_NOT_AUTHENTIC"],
      ...["ERR_SEGMENT", "ERR_TRUNCATED", "ERR_ARMOR"],
    ];
    const report = await fuzz(files, scaled(20_000, 1000), 0x5ea1, async (input) => {
      const seen = await inspectMessage(input).then(
        () => true,
        (error: unknown) => refusal(error, [...PARSER_CODES, "ERR_NOT_A_MESSAGE", "ERR_ARMOR"]),
      );
      if (typeof seen === "string") return seen;
      try {
        const bytes = await (await openMessage(input, { identities })).plaintext.bytes();
        const same = files.some((each) => Buffer.compare(each, input) === 0);
        return same ? true : `opened to ${bytes.length} bytes`;
      } catch (error) {
        return refusal(error, codes);
      }
    });
    expect(report.broken).toEqual([]);
    expect(report.codes.size).toBeGreaterThan(4);
  }, 300_000);
});

describe("a damaged age key", () => {
  const secret = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
  const codes = ["ERR_BECH32", "ERR_KEY", "ERR_POINT", "ERR_KEY_TYPE", "ERR_WEAK_KEY"];

  it("is refused, or is one key that is written alike", async () => {
    const keys = identities.map(({ publicKey }) => ascii(formatAgeRecipient(publicKey)));
    const report = await fuzz(keys, scaled(50_000, 3000), 0xbec, (input) => {
      const text = Buffer.from(input).toString("latin1");
      try {
        return formatAgeRecipient(parseAgeRecipient(text)) === text ? true : "is written otherwise";
      } catch (error) {
        return refusal(error, codes);
      }
    });
    expect(report.broken).toEqual([]);
  });

  it("that is secret is not quoted", async () => {
    const seeds = [ascii(secret), concat(ascii("# a\n"), ascii(secret), ascii("\r\n"))];
    const report = await fuzz(seeds, scaled(50_000, 3000), 0xbec, (input) => {
      const text = Buffer.from(input).toString("latin1");
      try {
        for (const key of parseAgeIdentities(text, "k")) key.secret.wipe();
        return true;
      } catch (error) {
        const said = error instanceof P11SealError ? `${error.message}${error.hint ?? ""}` : "";
        return /GFPYY|gfpyy/.test(said) ? "quotes it" : refusal(error, codes);
      }
    });
    expect(report.broken).toEqual([]);
  });
});
