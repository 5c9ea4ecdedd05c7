/** Every age file of C2SP's test kit, with the outcome that it states. */
import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { inflateSync } from "node:zlib";
import { describe, expect, it } from "@jest/globals";
import { inspectMessage, openMessage } from "../../../src/envelope/messages.js";
import { P11SealError } from "../../../src/errors.js";
import { Secret } from "../../../src/secret.js";
import { ageIdentities } from "../../../src/software/age-identities.js";
import { describeVectors, vectorFile, vectorFolder } from "../../support/vectors.js";

/** What each outcome is called here. */
const CODES: Readonly<Record<string, readonly string[]>> = {
  "no match": ["ERR_NO_MATCH", "ERR_PASSPHRASE"],
  "HMAC failure": ["ERR_NOT_AUTHENTIC"],
  "header failure": [
    ...["ERR_HEADER", "ERR_TRUNCATED", "ERR_VERSION", "ERR_WORK_FACTOR", "ERR_NOT_A_MESSAGE"],
  ],
  "payload failure": ["ERR_SEGMENT", "ERR_TRUNCATED"],
  "armor failure": ["ERR_ARMOR", "ERR_TRUNCATED", "ERR_NOT_A_MESSAGE"],
};

interface Case {
  readonly expect: string;
  /** SHA-256, hexadecimal. */
  readonly payload?: string;
  readonly identities: readonly string[];
  readonly passphrases: readonly string[];
  readonly file: Uint8Array;
}

/** Lines `name: value`, an empty line, the file. */
function readCase(name: string): Case {
  const bytes = vectorFile(`age-testkit/${name}`);
  const end = bytes.indexOf("\n\n");
  const fields = bytes
    .subarray(0, end)
    .toString("utf8")
    .split("\n")
    .map((line) => line.split(": ") as [string, string]);
  const all = (wanted: string): string[] =>
    fields.filter(([field]) => field === wanted).map(([, value]) => value);
  const file = bytes.subarray(end + 2);
  const [payload] = all("payload");
  return {
    expect: all("expect")[0] ?? "",
    ...(payload === undefined ? {} : { payload }),
    identities: all("identity"),
    passphrases: all("passphrase"),
    file: all("compressed").includes("zlib") ? inflateSync(file) : file,
  };
}

/** The SHA-256 of what came out, and why it ended. */
async function outcomeOf(one: Case): Promise<{ sha256: string; code: string }> {
  const hash = createHash("sha256");
  const end = (code: string): { sha256: string; code: string } => ({
    sha256: hash.digest("hex"),
    code,
  });
  try {
    const opened = await openMessage(one.file, {
      identities: async () =>
        one.identities.length === 0 ? [] : ageIdentities(one.identities.join("\n"), "kit"),
      passphrase: () => {
        const [text] = one.passphrases;
        return Promise.resolve(text === undefined ? undefined : new Secret(Buffer.from(text)));
      },
    });
    for await (const chunk of opened.plaintext) hash.update(chunk);
    return end("success");
  } catch (error) {
    if (!(error instanceof P11SealError)) throw error;
    return end(error.code);
  }
}

describeVectors("age's test kit", () => {
  const names = readdirSync(vectorFolder("age-testkit"));
  const cases = names.map((name) => [name, readCase(name)] as const);

  it("is there", () => {
    expect(cases.length).toBe(115);
    expect(new Set(cases.map(([, one]) => one.expect))).toEqual(
      new Set(["success", ...Object.keys(CODES)]),
    );
  });

  it.each(cases)("%s", async (_name, one) => {
    const { sha256, code } = await outcomeOf(one);
    if (one.expect === "success") expect([code, sha256]).toEqual(["success", one.payload]);
    else expect(CODES[one.expect]).toContain(code);
  });

  describe("a header that is refused", () => {
    // What is wrong with these is what follows the header.
    const refused = cases.filter(
      ([name, one]) => one.expect === "header failure" && !/^stream_(?:no|short)_nonce$/.test(name),
    );
    it.each(refused)("%s: before any key is looked for", async (_name, one) => {
      let asked = 0;
      const counted = <T>(value: T) => {
        asked++;
        return Promise.resolve(value);
      };
      const opening = openMessage(one.file, {
        identities: () => counted([]),
        passphrase: () => counted(undefined),
      });
      await expect(opening).rejects.toThrow(P11SealError);
      expect(asked).toBe(0);
    });
  });

  it("shows a header to whoever has no key", async () => {
    const { file } = readCase("x25519");
    const info = await inspectMessage(file);
    expect(info).toMatchObject({ format: "age", version: 1, signed: false, headerBytes: 168 });
    expect(info.recipients.map(({ type }) => type)).toEqual(["X25519"]);
  });
});
