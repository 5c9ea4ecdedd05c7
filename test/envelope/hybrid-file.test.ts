import { beforeAll, describe, expect, it } from "@jest/globals";
import { ascii, concat } from "../../src/bytes.js";
import { P11SealError, TokenError } from "../../src/errors.js";
import {
  formatHybridFile,
  hybridFileIdentity,
  newHybridFile,
  parseHybridFile,
  type HybridFile,
} from "../../src/envelope/hybrid-file.js";
import { openMessage, sealMessage } from "../../src/envelope/messages.js";
import { formatPem } from "../../src/asn1/pem.js";
import type { Identity } from "../../src/keys/key.js";
import { HALVES, NATIVE_HYBRID_KEMS } from "../support/hybrid.js";
import { answering, counting, identityOf } from "../support/identities.js";
import { fuzz } from "../support/mutate.js";
import { scaled } from "../support/scale.js";
import { codeOf } from "../support/streams.js";
import { codeOf as codeOfCall } from "../keys/support.js";

const message = ascii("for a key in two places");

async function sealTo({ publicKey }: HybridFile): Promise<Uint8Array> {
  return (await sealMessage(message, { recipients: [{ publicKey }] })).stream().bytes();
}

const open = async (sealed: Uint8Array, identity: Identity): Promise<Uint8Array> =>
  (await openMessage(sealed, { identities: [identity] })).plaintext.bytes();

describe.each(NATIVE_HYBRID_KEMS)("the file of a %s key", (kem) => {
  const half = identityOf(HALVES[kem]);
  let file: HybridFile;
  beforeAll(async () => {
    file = await newHybridFile(kem, half.publicKey);
  });

  it("reads as it was written, also with CRLF", () => {
    const text = formatHybridFile(file);
    for (const one of [text, text.replaceAll("\n", "\r\n")]) {
      const read = parseHybridFile(one, "a file");
      expect(read.publicKey.fingerprint).toEqual(file.publicKey.fingerprint);
      expect(Buffer.compare(read.sealedSeed, file.sealedSeed)).toBe(0);
    }
  });

  it("opens with the half: two operations for the first message, one for each other", async () => {
    const counted = counting(half);
    const identity = hybridFileIdentity(file, counted.identity, "a file");
    const sealed = await sealTo(file);
    for (const operations of [2, 3, 4]) {
      expect(await open(sealed, identity)).toEqual(message);
      expect(counted.operations).toHaveLength(operations);
    }
  });

  it("unseals again after it was wiped", async () => {
    const counted = counting(half);
    const identity = hybridFileIdentity(file, counted.identity, "a file");
    const sealed = await sealTo(file);
    expect(await open(sealed, identity)).toEqual(message);
    identity.wipe();
    expect(await open(sealed, identity)).toEqual(message);
    expect(counted.operations).toHaveLength(4);
  });

  it("says so if the seed in it is another's, or none", async () => {
    const other = await newHybridFile(kem, half.publicKey);
    const short = await sealMessage(ascii("short"), {
      recipients: [{ publicKey: half.publicKey }],
    });
    const elsewhere = await sealMessage(new Uint8Array(64), {
      recipients: [{ publicKey: identityOf("rsa2048").publicKey }],
    });
    const altered = file.sealedSeed.map((byte, i, all) => (i === all.length - 1 ? byte ^ 1 : byte));
    const wrong = [
      other.sealedSeed,
      altered,
      await short.stream().bytes(),
      await elsewhere.stream().bytes(),
    ];
    for (const sealedSeed of wrong) {
      const identity = hybridFileIdentity({ ...file, sealedSeed }, half, "a file");
      expect(await codeOf(open(await sealTo(file), identity))).toBe("ERR_HYBRID_FILE");
    }
  });

  it("is not made around a key on another curve", async () => {
    for (const name of ["rsa2048", "p521", "x25519"] as const) {
      expect(await codeOf(newHybridFile(kem, identityOf(name).publicKey))).toBe("ERR_KEY_TYPE");
    }
  });

  it("passes a token's failure on, and opens the next time", async () => {
    const gone = new TokenError("ERR_TOKEN_REMOVED", "gone");
    const failing = answering(half.publicKey, () => Promise.reject(gone));
    let token: Identity = failing;
    const { publicKey } = half;
    const now: Identity = { publicKey, name: "half", unlock: () => token.unlock() };
    const identity = hybridFileIdentity(file, now, "a file");
    const sealed = await sealTo(file);
    expect(await codeOf(open(sealed, identity))).toBe("ERR_TOKEN_REMOVED");
    token = half;
    expect(await open(sealed, identity)).toEqual(message);
  });
});

describe("text that is no hybrid key's file", () => {
  let text: string;
  let file: HybridFile;
  beforeAll(async () => {
    file = await newHybridFile("mlkem768-p256", identityOf("p256").publicKey);
    text = formatHybridFile(file);
  });
  const blocks = (...parts: [string, Uint8Array][]) =>
    parts.map(([label, bytes]) => formatPem(label, bytes)).join("");

  it("is refused, whatever is wrong with it", () => {
    const { sealedSeed, publicKey } = file;
    const [key, sealed] = ["P11SEAL HYBRID KEY", "P11SEAL MESSAGE"];
    const wrong = [
      `${text}\n`,
      ` ${text}`,
      `a comment\n${text}`,
      text.replace("\n-----END", "\n\n-----END"),
      text.slice(0, -1),
      text.replace(/\n/, "\n "),
      blocks([key, publicKey.spki]),
      blocks([sealed, sealedSeed], [key, publicKey.spki]),
      blocks([key, publicKey.spki], [sealed, sealedSeed], [sealed, sealedSeed]),
      blocks([key, publicKey.dh.spki], [sealed, sealedSeed]),
      blocks([key, publicKey.spki], [sealed, concat(Uint8Array.of(0), sealedSeed)]),
      blocks([key, publicKey.spki], [sealed, new Uint8Array(70_000)]),
    ];
    for (const one of wrong) {
      expect(codeOfCall(() => parseHybridFile(one, "f"))).toBe("ERR_HYBRID_FILE");
    }
  });

  it("is refused with one of our errors however it is damaged, or reads as it was written", async () => {
    const report = await fuzz([ascii(text)], scaled(100_000, 3000), 768, (input) => {
      const damaged = Buffer.from(input).toString("latin1");
      try {
        const same = formatHybridFile(parseHybridFile(damaged, "f"));
        return same === damaged.replaceAll("\r\n", "\n") ? true : "reads otherwise";
      } catch (error) {
        return error instanceof P11SealError ? error : `threw ${String(error)}`;
      }
    });
    expect(report.broken).toEqual([]);
    expect([...report.codes.keys()]).toContain("ERR_HYBRID_FILE");
  });
});
