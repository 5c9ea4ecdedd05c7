/** Age files that nobody writes: each is refused, and most before any key is touched. */
import { createCipheriv, createECDH, createHash, createHmac, hkdfSync } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { ascii, concat, toBareBase64 } from "../../../src/bytes.js";
import { MAX_HEADER_BYTES, MAX_STANZAS } from "../../../src/envelope/age/age-header.js";
import { inspectMessage, openMessage, sealMessage } from "../../../src/envelope/messages.js";
import { compress } from "../../../src/keys/public-key.js";
import type { ExchangePublicKey, Identity } from "../../../src/keys/key.js";
import { Secret } from "../../../src/secret.js";
import { answering, counting, identityOf, recipientOf } from "../../support/identities.js";
import { codeOf, inSteps } from "../../support/streams.js";

const b64 = toBareBase64;
const FILE_KEY = ascii("YELLOW SUBMARINE");
const WRAPPED = b64(new Uint8Array(32));
const TAG = b64(new Uint8Array(4));
/** A one-time key that is sound: u = 9. */
const SHARE = Uint8Array.of(9, ...new Uint8Array(31));
const POINT = ((): Uint8Array => {
  const { publicKey } = identityOf("p256");
  if (publicKey.type !== "ec") throw new Error("not P-256");
  return publicKey.point;
})();
const OFF_CURVE = POINT.map((byte, at) => (at === 64 ? byte ^ 1 : byte));

/** A header and an empty body under `FILE_KEY`, with a MAC that holds. */
function fileOf(...stanzas: readonly string[]): Uint8Array {
  const derive = (salt: Uint8Array, info: string): Uint8Array =>
    new Uint8Array(hkdfSync("sha256", FILE_KEY, salt, info, 32));
  const transcript = `age-encryption.org/v1\n${stanzas.map((one) => `${one}\n`).join("")}---`;
  const mac = createHmac("sha256", derive(new Uint8Array(0), "header"))
    .update(transcript)
    .digest();
  const nonce = new Uint8Array(16);
  return concat(ascii(`${transcript} ${b64(mac)}\n`), nonce, chunk(derive(nonce, "payload"), 1));
}

function chunk(
  key: Uint8Array,
  last: number,
  plaintext: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const nonce = Uint8Array.of(...new Uint8Array(11), last);
  const cipher = createCipheriv("chacha20-poly1305", key, nonce, { authTagLength: 16 });
  return concat(cipher.update(plaintext), cipher.final(), cipher.getAuthTag());
}

/** The file key under `secret`, as piv-p256 and X25519 have it. */
function wrapped(secret: Uint8Array, salt: Uint8Array, info: string): string {
  const key = new Uint8Array(hkdfSync("sha256", secret, salt, info, 32));
  return b64(chunk(key, 0, FILE_KEY));
}

const open = async (file: Uint8Array, ...identities: Identity[]): Promise<Uint8Array> =>
  (await openMessage(file, { identities })).plaintext.bytes();

/** Stanzas for the key, and then the one to be judged, or the other way round. */
describe("a malformed stanza, wherever it stands, refuses the file before any key is unlocked", () => {
  const mlkem = new Uint8Array(1088);
  it.each<[string, string]>([
    ["X25519 without a share", `-> X25519\n${WRAPPED}`],
    ["X25519 with two", `-> X25519 ${b64(SHARE)} ${b64(SHARE)}\n${WRAPPED}`],
    ["X25519, a share of 31 bytes", `-> X25519 ${b64(SHARE.subarray(1))}\n${WRAPPED}`],
    ["X25519, a share of small order", `-> X25519 ${b64(new Uint8Array(32))}\n${WRAPPED}`],
    [
      "X25519, a share with a second encoding",
      `-> X25519 ${b64(new Uint8Array(32).fill(0xff))}\n${WRAPPED}`,
    ],
    ["X25519, a body of 31 bytes", `-> X25519 ${b64(SHARE)}\n${b64(new Uint8Array(31))}`],
    ["X25519, a body of 48 bytes", `-> X25519 ${b64(SHARE)}\n${b64(new Uint8Array(48))}\n`],
    ["p256tag, a tag of 5 bytes", `-> p256tag ${b64(new Uint8Array(5))} ${b64(POINT)}\n${WRAPPED}`],
    ["p256tag, a compressed point", `-> p256tag ${TAG} ${b64(compress(POINT))}\n${WRAPPED}`],
    ["p256tag, a point off the curve", `-> p256tag ${TAG} ${b64(OFF_CURVE)}\n${WRAPPED}`],
    ["p256tag, padded base64", `-> p256tag ${TAG}== ${b64(POINT)}\n${WRAPPED}`],
    ["piv-p256, an uncompressed point", `-> piv-p256 ${TAG} ${b64(POINT)}\n${WRAPPED}`],
    [
      "piv-p256, no such point",
      `-> piv-p256 ${TAG} ${b64(Uint8Array.of(2, ...new Uint8Array(31), 1))}\n${WRAPPED}`,
    ],
    [
      "piv-p256, 33 bytes that start with 4",
      `-> piv-p256 ${TAG} ${b64(POINT.subarray(0, 33))}\n${WRAPPED}`,
    ],
    ["mlkem768p256tag, too short", `-> mlkem768p256tag ${TAG} ${b64(mlkem)}\n${WRAPPED}`],
    [
      "mlkem768p256tag, a point off the curve",
      `-> mlkem768p256tag ${TAG} ${b64(concat(mlkem, OFF_CURVE))}\n${WRAPPED}`,
    ],
    [
      "mlkem768x25519 of small order",
      `-> mlkem768x25519 ${b64(concat(mlkem, new Uint8Array(32)))}\n${WRAPPED}`,
    ],
    ["ssh-rsa without a tag", `-> ssh-rsa\n${WRAPPED}`],
    ["ssh-rsa, 32 bytes", `-> ssh-rsa ${TAG}\n${WRAPPED}`],
    ["scrypt beside others", `-> scrypt ${b64(new Uint8Array(16))} 10\n${WRAPPED}`],
    ["scrypt, a number in hexadecimal", `-> scrypt ${b64(new Uint8Array(16))} 0x10\n${WRAPPED}`],
    ["an argument that is not ASCII", `-> x \xe4\n${WRAPPED}`],
    ["a body with a blank", `-> x\n${WRAPPED} `],
    ["a body that is not canonical", `-> x\n${WRAPPED.slice(0, -1)}B`],
    ["a full last line", `-> x\n${"A".repeat(64)}`],
    ["a line of 65", `-> x\n${"A".repeat(65)}\n`],
  ])("%s", async (_name, stanza) => {
    const { header } = await sealMessage(new Uint8Array(1), {
      recipients: [recipientOf("p256"), recipientOf("x25519")],
      format: "age",
    });
    const [first = "", ...rest] = Buffer.from(header).toString("latin1").split("\n");
    const own = rest.slice(0, 4).join("\n");
    for (const stanzas of [
      [stanza, own],
      [own, stanza],
    ]) {
      const text = [first, ...stanzas, `--- ${b64(new Uint8Array(32))}`, ""].join("\n");
      const counted = [counting(identityOf("p256")), counting(identityOf("x25519"))];
      let looked = 0;
      const opening = openMessage(Buffer.from(text, "latin1"), {
        identities: () => {
          looked++;
          return Promise.resolve(counted.map(({ identity }) => identity));
        },
      });
      expect(await codeOf(opening)).toBe("ERR_HEADER");
      expect([looked, ...counted.map(({ unlocks }) => unlocks)]).toEqual([0, 0, 0]);
    }
  });
});

describe("an age header", () => {
  const grease = (bytes: number): string => `-> ${"x".repeat(bytes - 5)}\n`;

  it("of 64 KiB is read, and of one byte more refused", async () => {
    const rest = fileOf("").length - 1 - 16 - 16;
    const longest = fileOf(grease(MAX_HEADER_BYTES - rest));
    expect((await inspectMessage(longest)).headerBytes).toBe(MAX_HEADER_BYTES);
    const longer = fileOf(grease(MAX_HEADER_BYTES - rest + 1));
    expect(await codeOf(inspectMessage(longer))).toBe("ERR_HEADER");
  });

  it("that never ends is refused after 64 KiB", async () => {
    let read = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield ascii("age-encryption.org/v1\n-> ");
      for (;;) {
        read += 1000;
        yield await Promise.resolve(new Uint8Array(1000).fill(0x41));
      }
    }
    expect(await codeOf(inspectMessage(endless()))).toBe("ERR_HEADER");
    expect(read).toBeLessThan(MAX_HEADER_BYTES + 2000);
  });

  it("of 1,024 recipients is read, and of one more refused", async () => {
    const most = Array.from({ length: MAX_STANZAS }, () => "-> x\n");
    expect((await inspectMessage(fileOf(...most))).recipients).toHaveLength(MAX_STANZAS);
    expect(await codeOf(inspectMessage(fileOf(...most, "-> x\n")))).toBe("ERR_HEADER");
  });

  it("shows recipients that nobody knows, and keeps what they say short", async () => {
    const { recipients } = await inspectMessage(fileOf(grease(500)));
    expect(recipients).toMatchObject([{ type: "unknown" }]);
    expect(recipients[0]?.operation.length).toBeLessThan(120);
  });

  it("of another version is named", async () => {
    const other = ascii("age-encryption.org/v2\nwhatever\n");
    expect(await codeOf(inspectMessage(other))).toBe("ERR_VERSION");
  });

  it("is read as it arrives, byte by byte, and not a byte too many", async () => {
    const file = await sealed("p256");
    const { plaintext } = await openMessage(inSteps(file, 1), { identities: [identityOf("p256")] });
    expect(await plaintext.bytes()).toEqual(new Uint8Array(9));
  });
});

async function sealed(...names: readonly ("p256" | "x25519" | "rsa2048")[]): Promise<Uint8Array> {
  const recipients = names.map((name) => recipientOf(name));
  const message = await sealMessage(new Uint8Array(9), { recipients, format: "age" });
  return message.stream().bytes();
}

describe("of what a private key gives", () => {
  it.each(["p256", "rsa2048"] as const)("%s: every fault is one error", async (name) => {
    const file = await sealed(name);
    const { publicKey } = identityOf(name);
    const answers = [null, new Secret(new Uint8Array(16)), new Secret(new Uint8Array(32))];
    const codes = new Set<string | undefined>();
    for (const answer of answers) {
      codes.add(
        await codeOf(
          open(
            file,
            answering(publicKey, () => Promise.resolve(answer)),
          ),
        ),
      );
    }
    const text = Buffer.from(file).toString("latin1").replace(/^---/m, "-> x\n\n---");
    codes.add(await codeOf(open(Buffer.from(text, "latin1"), identityOf(name))));
    expect([...codes]).toEqual(["ERR_NOT_AUTHENTIC"]);
  });

  it("X25519 names nobody: each key is tried, and the right one found", async () => {
    const file = await sealed("p256", "x25519");
    const other = counting(answering(identityOf("x25519").publicKey, () => Promise.resolve(null)));
    const right = counting(identityOf("x25519"));
    expect(await open(file, other.identity, right.identity)).toEqual(new Uint8Array(9));
    expect([other.operations.length, right.operations.length]).toEqual([1, 1]);
    expect(await codeOf(open(file, other.identity))).toBe("ERR_NO_MATCH");
  });

  it("a tagged stanza comes before one that names nobody, whatever the order of keys", async () => {
    const file = await sealed("x25519", "p256");
    const [x25519, p256] = [counting(identityOf("x25519")), counting(identityOf("p256"))];
    expect(await open(file, x25519.identity, p256.identity)).toEqual(new Uint8Array(9));
    expect([x25519.unlocks, p256.unlocks]).toEqual([0, 1]);
  });

  it("a key that undoes no labels is told apart, and another may open", async () => {
    const file = await sealed("rsa2048", "p256");
    const publicKey = identityOf("rsa2048").publicKey;
    if (publicKey.type !== "rsa") throw new Error("not RSA");
    let decrypted = 0;
    const unlock = () =>
      Promise.resolve({
        publicKey,
        oaep: {
          hashes: ["sha256" as const, "sha1" as const],
          labels: "empty" as const,
          decrypt: () => {
            decrypted++;
            return Promise.resolve(null);
          },
        },
      });
    const unwrapOnly: Identity<ExchangePublicKey> = { publicKey, name: "unwrap only", unlock };
    await expect(open(file, unwrapOnly)).rejects.toMatchObject({
      code: "ERR_OAEP_HASH",
      message:
        "sealed with RSA-OAEP sha256 with a label; the key's token can undo sha256, sha1, without labels",
    });
    expect(decrypted).toBe(0);
    expect(await open(file, unwrapOnly, identityOf("p256"))).toEqual(new Uint8Array(9));
  });
});

describe("piv-p256, as age-plugin-yubikey writes it", () => {
  function pivStanza(damage = 0): string {
    const ephemeral = createECDH("prime256v1");
    const share = compress(new Uint8Array(ephemeral.generateKeys()));
    const recipient = compress(POINT);
    const tag = createHash("sha256").update(recipient).digest().subarray(0, 4);
    const body = wrapped(ephemeral.computeSecret(POINT), concat(share, recipient), "piv-p256");
    tag[0] = (tag[0] ?? 0) ^ damage;
    return `-> piv-p256 ${b64(tag)} ${b64(share)}\n${body}`;
  }

  it("opens with the P-256 key that its tag names", async () => {
    const file = fileOf(pivStanza());
    expect(await open(file, identityOf("x25519"), identityOf("p256"))).toEqual(new Uint8Array(0));
    const { recipients } = await inspectMessage(file);
    expect(recipients.map((one) => one.matches(identityOf("p256").publicKey))).toEqual([true]);
  });

  it("with another's tag is not tried", async () => {
    const counted = counting(identityOf("p256"));
    expect(await codeOf(open(fileOf(pivStanza(1)), counted.identity))).toBe("ERR_NO_MATCH");
    expect(counted.unlocks).toBe(0);
  });
});

describe("a policy about senders", () => {
  it("sees an age file as unsigned, before any key is looked for", async () => {
    let looked = 0;
    const opening = openMessage(await sealed("p256"), {
      identities: () => {
        looked++;
        return Promise.resolve([]);
      },
      authenticate: (sender) => Promise.reject(new RangeError(`sender: ${typeof sender}`)),
    });
    await expect(opening).rejects.toThrow("sender: undefined");
    expect(looked).toBe(0);
  });
});
