/** Signed in encrypted, encrypted in signed, and mails of both, as `openssl cms` makes them. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import type { SenderInfo } from "../../../src/envelope/message-info.js";
import { inspectMessage, openMessage, verifySender } from "../../../src/envelope/messages.js";
import type { Identity } from "../../../src/keys/key.js";
import { softwareIdentity } from "../../../src/software/software-identity.js";
import { certificatesIn } from "../../../src/x509/certificate-file.js";
import { TEST_KEYS } from "../../support/keys.js";
import { Random } from "../../support/mutate.js";
import { codeOf, readAll } from "../../support/streams.js";
import { describeVectors, vectorFile } from "../../support/vectors.js";

const folder = mkdtempSync(join(tmpdir(), "p11seal-layers-"));
const at = (name: string): string => join(folder, name);
const content = Buffer.from(new Random(3).bytes(70_000)).toString("base64");
const events: string[] = [];

function openssl(...argv: readonly string[]): void {
  execFileSync("openssl", argv, { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
}

function sign(input: string, output: string, ...how: readonly string[]): void {
  openssl("cms", "-sign", "-in", input, "-out", output, "-signer", "alice.pem", ...how);
}

function encrypt(input: string, output: string, ...how: readonly string[]): void {
  const padding = ["-keyopt", "rsa_padding_mode:oaep"];
  openssl("cms", "-encrypt", "-in", input, "-out", output, "-recip", "bob.crt", ...how, ...padding);
}

const GCM = "-aes-256-gcm";
const CBC = "-aes-256-cbc";

function bob(): Identity {
  const identity = softwareIdentity(TEST_KEYS.rsa2048, "bob");
  return {
    ...identity,
    certificates: certificatesIn(readFileSync(at("bob.crt"))).map(({ der }) => der),
    unlock() {
      events.push("key");
      return identity.unlock();
    },
  };
}

interface Result {
  readonly plaintext?: string;
  readonly code?: string | undefined;
  readonly sender?: SenderInfo | undefined;
}

/** Opens a message, and notes in which order sender and key came. */
async function open(bytes: Uint8Array, allows = {}, signatureInside = true): Promise<Result> {
  events.length = 0;
  let sender: SenderInfo | undefined;
  let plaintext: string | undefined;
  const code = await codeOf(
    (async () => {
      const opened = await openMessage(bytes, {
        identities: [bob()],
        allows,
        signatureInside,
        authenticate(claimed) {
          events.push(claimed === undefined ? "nobody" : "sender");
          sender = claimed;
          return Promise.resolve();
        },
      });
      plaintext = Buffer.from(await opened.plaintext.bytes()).toString("latin1");
      expect(opened.atEnd?.sender).toEqual(sender);
    })(),
  );
  return code === undefined && plaintext !== undefined ? { plaintext, sender } : { code, sender };
}

beforeAll(() => {
  writeFileSync(at("alice.key"), TEST_KEYS.p256);
  writeFileSync(at("bob.key"), TEST_KEYS.rsa2048);
  for (const name of ["alice", "bob"]) {
    const subject = ["-subj", `/CN=${name}`, "-days", "30", "-out", `${name}.crt`];
    openssl("req", "-x509", "-new", "-key", `${name}.key`, ...subject);
  }
  writeFileSync(
    at("alice.pem"),
    [readFileSync(at("alice.key")), readFileSync(at("alice.crt"))].join(""),
  );
  writeFileSync(at("content"), content);
  const smime = ["-text", "-nodetach"];
  sign("content", "opaque.eml", ...smime);
  sign("content", "clear.eml", "-text");
  sign("content", "signed.der", "-binary", "-nodetach", "-outform", "DER");
  encrypt("opaque.eml", "opaque-gcm.eml", GCM, "-stream");
  encrypt("clear.eml", "clear-gcm.eml", GCM);
  encrypt("opaque.eml", "opaque-cbc.eml", CBC);
  encrypt("clear.eml", "clear-cbc.eml", CBC);
  encrypt("content", "plain-gcm.eml", GCM);
  encrypt("content", "plain-cbc.eml", CBC);
  sign("plain-gcm.eml", "signed-around.eml", "-nodetach");
  sign("plain-gcm.eml", "clear-around.eml");
  sign("opaque-gcm.eml", "triple.eml", "-nodetach");
  sign("plain-cbc.eml", "signed-around-cbc.eml", "-nodetach");
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** The content as it is in a mail of text. */
const inText = new RegExp(`^Content-Type: text/plain\\r?\\n\\r?\\n${content.slice(0, 64)}`);

describe("layers of a CMS message", () => {
  it.each(["opaque-gcm.eml", "clear-gcm.eml", "opaque-cbc.eml", "clear-cbc.eml"])(
    "%s: the signature inside is checked before the end, after the key was used",
    async (name) => {
      const { plaintext, sender } = await open(readFileSync(at(name)));
      expect(plaintext).toMatch(inText);
      expect(events).toEqual(["key", "sender"]);
      expect(sender).toMatchObject({ algorithm: "ECDSA SHA-256", serial: 0 });
      expect(Date.now() - (sender?.createdMs ?? 0)).toBeLessThan(300_000);
    },
  );

  it.each(["signed-around.eml", "clear-around.eml", "triple.eml"])(
    "%s: the signature outside is checked before any key is looked for",
    async (name) => {
      const message = readFileSync(at(name));
      const { plaintext, sender, code } = await open(message);
      expect(code).toBeUndefined();
      expect(plaintext).toContain(content.slice(0, 64));
      expect(events).toEqual(["sender", "key"]);
      expect((await verifySender(message))?.messageId).toBe(sender?.messageId);
      expect(await inspectMessage(message)).toMatchObject({ signed: true, authenticated: true });
    },
  );

  it.each(["opaque.eml", "clear.eml", "signed.der"])(
    "%s, only signed, opens without a key",
    async (name) => {
      const { plaintext, sender } = await open(readFileSync(at(name)));
      expect(plaintext).toContain(content.slice(0, 64));
      expect([events, sender?.algorithm]).toEqual([["sender"], "ECDSA SHA-256"]);
    },
  );

  it("without a signature, nobody is the sender", async () => {
    const plain = readFileSync(at("plain-gcm.eml"));
    expect((await open(plain)).plaintext).toContain(content.slice(0, 64));
    expect(events).toEqual(["key", "nobody"]);
    await open(plain, {}, false);
    expect(events).toEqual(["nobody", "key"]);
  });

  it("a signature inside will not do where the caller did not ask for it", async () => {
    await open(readFileSync(at("opaque-gcm.eml")), {}, false);
    expect(events).toEqual(["nobody", "key"]);
  });

  it("the sender inside is judged before the last of the content is passed on", async () => {
    const { plaintext } = await openMessage(readFileSync(at("opaque-gcm.eml")), {
      identities: [bob()],
      signatureInside: true,
      keepsUntilEnd: true,
      authenticate: () => Promise.reject(new Error("not this one")),
    });
    const { bytes, error } = await readAll(plaintext);
    expect(error).toMatchObject({ message: "not this one" });
    expect(bytes.length).toBeLessThan(content.length);
  });

  it("CBC needs a signature inside, or permission; one outside is anybody's", async () => {
    for (const name of ["plain-cbc.eml", "signed-around-cbc.eml"]) {
      const message = readFileSync(at(name));
      expect((await open(message)).code).toBe("ERR_UNAUTHENTICATED");
      const allowed = await open(message, { unauthenticated: true });
      expect(allowed.plaintext).toContain(content.slice(0, 64));
    }
  });

  it.each([
    ["opaque-cbc.eml", {}, ["ERR_UNAUTHENTICATED"]],
    ["opaque-cbc.eml", { unauthenticated: true }, ["ERR_NOT_AUTHENTIC"]],
    ["opaque-gcm.eml", {}, ["ERR_NOT_AUTHENTIC"]],
  ] as const)("%s altered anywhere in its content is one error", async (name, allows, codes) => {
    const text = readFileSync(at(name), "latin1");
    const start = text.indexOf("\n\n") + 2;
    const bytes = Buffer.from(text.slice(start), "base64");
    const random = new Random(11);
    const found = new Set<string | undefined>();
    for (let i = 0; i < 60; i++) {
      const damaged = Buffer.from(bytes);
      // Past the header; before the tag, which is at the end.
      const place = 800 + random.below(bytes.length - 1000);
      damaged[place] = (damaged[place] as number) ^ (1 + random.below(255));
      const { code } = await open(damaged, allows);
      // Lengths of pieces are the envelope's own.
      if (code !== "ERR_BER" && code !== "ERR_TRUNCATED") found.add(code);
    }
    expect([...found]).toEqual(codes);
  });

  it("an altered signature is refused, inside and outside", async () => {
    const other = Buffer.from(content.replace(/^./, (first) => (first === "A" ? "B" : "A")));
    writeFileSync(at("other"), other);
    const forged = readFileSync(at("clear.eml"), "latin1").replace(
      content.slice(0, 64),
      other.toString("latin1").slice(0, 64),
    );
    writeFileSync(at("forged.eml"), forged, "latin1");
    encrypt("forged.eml", "forged-gcm.eml", GCM);
    encrypt("forged.eml", "forged-cbc.eml", CBC);
    const inGcm = await open(readFileSync(at("forged-gcm.eml")));
    expect([inGcm.code, events]).toEqual(["ERR_CONTENT_MISMATCH", ["key"]]);
    expect((await open(readFileSync(at("forged-cbc.eml")))).code).toBe("ERR_UNAUTHENTICATED");
    const allowed = await open(readFileSync(at("forged-cbc.eml")), { unauthenticated: true });
    expect(allowed.code).toBe("ERR_NOT_AUTHENTIC");
    expect((await open(Buffer.from(forged, "latin1"))).code).toBe("ERR_CONTENT_MISMATCH");
    expect(events).toEqual([]);
  });

  it("more than eight layers are refused", async () => {
    writeFileSync(at("layer0"), content);
    for (let i = 0; i < 9; i++) {
      sign(`layer${i}`, `layer${i + 1}`, "-nodetach", "-binary", "-md", "sha256");
    }
    expect((await open(readFileSync(at("layer8")))).plaintext).toContain(content.slice(0, 64));
    expect((await open(readFileSync(at("layer9")))).code).toBe("ERR_CMS");
  });
});

describeVectors("a mail of another tool", () => {
  it("in CBC opens", async () => {
    const name = "generated/keys/rsa2048";
    const identity = {
      ...softwareIdentity(vectorFile(`${name}.p8.pem`), "rsa2048"),
      certificates: certificatesIn(vectorFile(`${name}.crt.pem`)).map(({ der }) => der),
    };
    const { plaintext } = await openMessage(vectorFile("generated/cms/smime-cbc.eml"), {
      identities: [identity],
      allows: { legacy: true, unauthenticated: true },
    });
    const hash = createHash("sha256").update(await plaintext.bytes());
    expect(hash.digest("hex")).toBe(
      "d5a25925c00bfbeaed42630f3eb06df155a9791295b4fa636dee31be55401308",
    );
  });
});
