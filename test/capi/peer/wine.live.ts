/**
 * p11seal and Wine's CryptoAPI, live, in both directions; p11seal's keys are made on a token
 * (SoftHSM) and reach Wine as PUBLICKEYBLOBs, as they would reach Windows. Run by
 * `npm run test:capi`.
 */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { ascii, concat, fromHex, toHex } from "../../../src/bytes.js";
import {
  hashParts,
  parsePublicKeyBlob,
  parseSimpleBlob,
  receiveMessage,
  sendMessage,
  signData,
  ThreePhase,
  unwrapSessionKey,
  verifyData,
  type CapiHash,
  type CipherParameters,
  type KeyPadding,
  type SessionAlgorithm,
} from "../../../src/capi/index.js";
import {
  formatPublicKey,
  parsePublicKey,
  requireRecipient,
} from "../../../src/keys/formats/key-file.js";
import type { RsaPublicKey } from "../../../src/keys/key.js";
import type { TokenAccess } from "../../../src/token/access.js";
import type { KeyInfo, KeyType } from "../../../src/token/values.js";
import { parseUri } from "../../../src/token/uri.js";
import { freshToken, softHsmAccess, type TestToken } from "../../support/softhsm.js";
import { codeOf, joined } from "../support.js";
import { cipherOptions, get, ok, put, run } from "./peer.js";

const CONTAINER = "wine";

let token: TestToken;
let access: TokenAccess;
let exchange: KeyInfo;
let signature: KeyInfo;
/** Wine's keys, as it exported them. */
let theirs: { exchange: RsaPublicKey; signature: RsaPublicKey };

beforeAll(async () => {
  token = await freshToken("wine");
  access = softHsmAccess();
  exchange = await made("rsa:2048", "exchange");
  signature = await made("rsa:3072", "sign");
  put("ours.pub", exportOf(exchange));
  put("ours.sign.pub", exportOf(signature));

  ok("new", "--container", CONTAINER, "--bits", "2048");
  ok("export", "--container", CONTAINER, "--out", "wine.pub");
  ok("export", "--container", CONTAINER, "--spec", "signature", "--out", "wine.sign.pub");
  theirs = {
    exchange: parsePublicKeyBlob(get("wine.pub")).publicKey,
    signature: parsePublicKeyBlob(get("wine.sign.pub")).publicKey,
  };
});

afterAll(async () => {
  ok("remove", "--container", CONTAINER);
  await access.close();
});

async function made(type: KeyType, use: "exchange" | "sign"): Promise<KeyInfo> {
  const info = await access.findToken(parseUri(token.uri));
  return (await access.generate(info, { type, label: type + use, use, allowDecrypt: false })).key;
}

/** As `keys export --format capi` writes it. */
function exportOf(key: KeyInfo): Uint8Array {
  if (key.publicKey === undefined) throw new Error("no public half");
  return formatPublicKey(key.publicKey, "capi", { signOnly: !key.uses.includes("exchange") });
}

interface Terms {
  readonly algorithm: SessionAlgorithm;
  readonly keyBits?: number;
  readonly parameters: CipherParameters;
  readonly padding: KeyPadding;
}

/** Wine sends `message` to a public key. Returns what it printed, such as the salt it chose. */
function wineSends(message: Uint8Array, to: string, terms: Terms): string {
  const { algorithm, keyBits, parameters, padding } = terms;
  const bits = keyBits === undefined ? [] : ["--bits", String(keyBits)];
  const key = ["--to", to, "--alg", algorithm, ...bits, ...cipherOptions(parameters, padding)];
  return ok("send", ...key, "--in", put("m", message), "--blob", "m.blob", "--cipher", "m.cipher");
}

/** Receives what Wine sent, with the token. */
async function weReceive({ parameters, padding }: Terms, key = exchange): Promise<string> {
  const received = await receiveMessage({
    blob: get("m.blob"),
    ciphertext: get("m.cipher"),
    privateKey: await access.identity(key, "capi-open").unlock(),
    parameters,
    padding,
    allowUnauthenticated: true,
  });
  return toHex(await joined(received.plaintext));
}

/** We send to Wine's exchange key. */
async function weSend(message: Uint8Array, terms: Terms, to = theirs.exchange): Promise<void> {
  const sent = sendMessage(message, { ...terms, recipients: [to], allowWeak: true });
  put("n.cipher", await joined(sent.ciphertext));
  put("n.blob", sent.blobs[0] as Uint8Array);
}

/** Wine's result, or the call that failed. */
function wineReceives({ parameters, padding }: Terms): string {
  const options = ["--container", CONTAINER, ...cipherOptions(parameters, padding)];
  const { status, stderr } = run(
    ...(["receive", ...options, "--blob", "n.blob", "--cipher", "n.cipher", "--out", "n"] as const),
  );
  return status === 0 ? toHex(get("n")) : stderr;
}

const iv16 = new Uint8Array(16).map((_, index) => index);
const iv8 = iv16.subarray(0, 8);

const TERMS: Terms[] = [
  ...(["aes128", "aes192", "aes256", "3des", "3des112", "des"] as const).flatMap((algorithm) =>
    (["pkcs1", "oaep"] as const).map((padding) => ({ algorithm, parameters: {}, padding })),
  ),
  ...(["cbc", "cfb"] as const).flatMap((mode) => [
    { algorithm: "aes256" as const, parameters: { mode, iv: iv16 }, padding: "pkcs1" as const },
    { algorithm: "3des" as const, parameters: { mode, iv: iv8 }, padding: "pkcs1" as const },
  ]),
  { algorithm: "aes128", parameters: { mode: "ecb" }, padding: "pkcs1" },
  ...(["rc2", "rc4"] as const).flatMap((algorithm) => [
    { algorithm, keyBits: 128, parameters: {}, padding: "pkcs1" as const },
    { algorithm, keyBits: 56, parameters: {}, padding: "oaep" as const },
    { algorithm, keyBits: 40, parameters: { salt: "none" as const }, padding: "pkcs1" as const },
  ]),
  { algorithm: "rc2", keyBits: 128, parameters: { effectiveBits: 40 }, padding: "pkcs1" },
];

const CASES = TERMS.map((terms) => {
  const { algorithm, keyBits, parameters, padding } = terms;
  const { mode = "default mode", iv, salt, effectiveBits } = parameters;
  const name = [
    algorithm,
    ...(keyBits === undefined ? [] : [`${keyBits} bits`]),
    ...[mode, iv === undefined ? "no IV" : "an IV", padding],
    ...(salt === undefined ? [] : ["no salt"]),
    ...(effectiveBits === undefined ? [] : [`${effectiveBits} effective bits`]),
  ].join(", ");
  return { name, terms };
});

describe("from Wine to a key made on the token", () => {
  it.each(CASES)("$name", async ({ terms }) => {
    const message = randomBytes(1000);
    wineSends(message, "ours.pub", terms);
    expect(await weReceive(terms)).toBe(toHex(message));
  });

  it.each([0, 15, 16, 4096, 100_003])("%d bytes, in chunks", async (length) => {
    const terms: Terms = { algorithm: "aes256", parameters: {}, padding: "pkcs1" };
    const message = randomBytes(length);
    wineSends(message, "ours.pub", terms);
    expect(await weReceive(terms)).toBe(toHex(message));
  });

  it.each<KeyType>(["rsa:3072", "rsa:4096"])("a key of another size, %s", async (type) => {
    const key = await made(type, "exchange");
    put("other.pub", exportOf(key));
    for (const padding of ["pkcs1", "oaep"] as const) {
      const terms: Terms = { algorithm: "aes256", parameters: {}, padding };
      const message = randomBytes(100);
      wineSends(message, "other.pub", terms);
      expect(await weReceive(terms, key)).toBe(toHex(message));
    }
  });

  it("40-bit keys, whose salt Wine makes up and the sender must tell", async () => {
    for (const algorithm of ["rc2", "rc4"] as const) {
      const terms: Terms = { algorithm, keyBits: 40, parameters: {}, padding: "pkcs1" };
      const message = randomBytes(64);
      const [, salt = ""] =
        /^salt ([0-9a-f]{22})$/m.exec(wineSends(message, "ours.pub", terms)) ?? [];
      const told: Terms = { ...terms, parameters: { salt: fromHex(salt) } };
      expect(await weReceive(told)).toBe(toHex(message));
      // If it is all zeros, as Windows documents, this must be removed.
      expect(salt).not.toBe("00".repeat(11));
    }
  });

  it("an altered blob or another padding shows nothing but a message that does not decrypt", async () => {
    const terms: Terms = { algorithm: "aes256", parameters: {}, padding: "pkcs1" };
    wineSends(randomBytes(100), "ours.pub", terms);
    const blob = get("m.blob");
    blob[100] = (blob[100] as number) ^ 1;
    const outcomes = [await codeOf(() => weReceive({ ...terms, padding: "oaep" }))];
    put("m.blob", blob);
    outcomes.push(await codeOf(() => weReceive(terms)));
    blob.subarray(12).reverse();
    put("m.blob", blob);
    outcomes.push(await codeOf(() => weReceive(terms)));
    // With an implicit rejection key, one message in 256 ends with valid padding, and is noise.
    expect(outcomes.filter((outcome) => outcome === "ERR_DECRYPT").length).toBeGreaterThan(1);
  });
});

describe("from us to Wine", () => {
  it.each(CASES)("$name", async ({ terms }) => {
    const message = randomBytes(1000);
    await weSend(message, terms);
    expect(wineReceives(terms)).toBe(toHex(message));
  });

  it.each([0, 15, 16, 4096, 100_003])("%d bytes, in chunks", async (length) => {
    const terms: Terms = { algorithm: "aes256", parameters: {}, padding: "pkcs1" };
    const message = randomBytes(length);
    await weSend(message, terms);
    expect(wineReceives(terms)).toBe(toHex(message));
  });

  it.each(["rc2", "rc4"] as const)(
    "a 40-bit key of %s, with its salt of zeros",
    async (algorithm) => {
      const terms: Terms = { algorithm, keyBits: 40, parameters: {}, padding: "pkcs1" };
      const message = randomBytes(64);
      await weSend(message, terms);
      expect(wineReceives(terms)).toBe(toHex(message));
    },
  );

  it("several recipients: Wine and the token read one message", async () => {
    const message = randomBytes(500);
    const ours = requireRecipient(parsePublicKey(get("ours.pub"), "ours.pub")) as RsaPublicKey;
    const sent = sendMessage(message, { recipients: [theirs.exchange, ours] });
    const cipher = await joined(sent.ciphertext);
    const terms: Terms = { algorithm: "aes256", parameters: {}, padding: "pkcs1" };
    put("n.cipher", cipher);
    put("m.cipher", cipher);
    put("n.blob", sent.blobs[0] as Uint8Array);
    put("m.blob", sent.blobs[1] as Uint8Array);
    expect(wineReceives(terms)).toBe(toHex(message));
    expect(await weReceive(terms)).toBe(toHex(message));
  });

  it("what is altered, Wine refuses as well", async () => {
    const terms: Terms = { algorithm: "aes256", parameters: {}, padding: "pkcs1" };
    await weSend(randomBytes(100), terms);
    expect(wineReceives({ ...terms, padding: "oaep" })).toMatch(/^CryptImportKey 0x8009/);
    const blob = get("n.blob");
    blob.subarray(12).reverse();
    put("n.blob", blob);
    expect(wineReceives(terms)).toMatch(/^CryptImportKey 0x8009/);
  });
});

const FORMS: { hash: CapiHash; noHashOid?: boolean; description?: string }[] = [
  { hash: "sha256" },
  { hash: "sha384" },
  { hash: "sha512" },
  { hash: "sha256", noHashOid: true },
  { hash: "sha256", description: "order 17" },
];

const formOptions = ({ hash, noHashOid, description }: (typeof FORMS)[number]): string[] => [
  ...["--hash", hash],
  ...(noHashOid === true ? ["--no-oid"] : []),
  ...(description === undefined ? [] : ["--description", description]),
];

describe("signatures", () => {
  it.each(FORMS)("the token's hold in Wine: %j", async (form) => {
    const data = randomBytes(333);
    const signer = await access.identity(signature, "capi-sign").unlock();
    put("d.sig", await signData(signer, data, form));
    const check = ["--pub", "ours.sign.pub", ...formOptions(form), "--sig", "d.sig"];
    put("d", data);
    expect(run("verify", ...check, "--in", "d")).toMatchObject({ status: 0 });
    put("d", concat(data, Uint8Array.of(0)));
    const { status, stderr } = run("verify", ...check, "--in", "d");
    // NTE_BAD_SIGNATURE
    expect([status, stderr]).toEqual([1, "CryptVerifySignature 0x80090006"]);
  });

  it.each([...FORMS, { hash: "sha1" as const }, { hash: "md5" as const }])(
    "Wine's hold here, with its exchange key too: %j",
    async (form) => {
      const data = randomBytes(333);
      for (const spec of ["signature", "exchange"] as const) {
        const who = ["--container", CONTAINER, "--spec", spec];
        ok("sign", ...who, ...formOptions(form), "--in", put("d", data), "--sig", "d.sig");
        const terms = { ...form, allowMd5: true };
        expect(await verifyData(theirs[spec], data, get("d.sig"), terms)).toBe(true);
        expect(await verifyData(theirs[spec], data.subarray(1), get("d.sig"), terms)).toBe(false);
      }
    },
  );
});

describe("CryptHashSessionKey", () => {
  it.each([
    ["aes256", "sha256", false],
    ["aes256", "sha256", true],
    ["aes128", "sha1", false],
    ["3des", "sha512", true],
  ] as const)(
    "of an %s key with %s, little-endian %s, is ours",
    async (algorithm, hash, little) => {
      const ours = requireRecipient(parsePublicKey(get("ours.pub"), "ours.pub")) as RsaPublicKey;
      const sent = sendMessage(ascii("x"), {
        recipients: [theirs.exchange, ours],
        algorithm,
        allowWeak: true,
      });
      await joined(sent.ciphertext);
      put("k.blob", sent.blobs[0] as Uint8Array);
      const own = await access.identity(exchange, "capi-open").unlock();
      const { key } = await unwrapSessionKey(parseSimpleBlob(sent.blobs[1] as Uint8Array), own);
      const options = ["--container", CONTAINER, "--hash", hash, "--part", "key:k.blob"];
      const printed = ok("hash", ...options, ...(little ? ["--little-endian"] : []));
      const value = toHex(hashParts(hash, [{ key: key.bytes, littleEndian: little }]));
      expect(printed.trim()).toBe(`hash ${value}`);
    },
  );
});

describe("the three-phase exchange", () => {
  const AGREED = { algorithm: "aes256", hash: "sha256", padding: "pkcs1" } as const;

  /** A new session key, wrapped for our exchange key and for Wine's own. */
  function wineMakesKey(name: string): void {
    const keys = [
      "--to",
      "ours.pub",
      "--blob",
      `${name}.ours`,
      "--to",
      "wine.pub",
      "--blob",
      `${name}.wine`,
    ];
    ok("send", ...keys, "--alg", "aes256", "--in", put("m", ascii("x")), "--cipher", "x.cipher");
  }

  /** The hash of texts and of keys that Wine holds wrapped for its own exchange key. */
  function wineHashes(...parts: string[]): Uint8Array {
    const named = parts.flatMap((part) => ["--part", part]);
    const printed = ok("hash", "--container", CONTAINER, "--hash", AGREED.hash, ...named);
    return fromHex(printed.trim().replace("hash ", ""));
  }

  it("begun by Wine, answered by the token", async () => {
    const ours = await access.identity(exchange, "capi-open").unlock();
    const own = { name: "token", publicKey: ours.publicKey };
    const peer = { name: "wine", publicKey: theirs.exchange };
    wineMakesKey("a");
    const answered = await ThreePhase.answer({ ...AGREED, own, peer }, get("a.ours"), ours);
    put("b.wine", answered.phase2.blob);
    expect(toHex(answered.phase2.hash)).toBe(
      toHex(wineHashes("key:a.wine", "text:token", "key:b.wine", "text:wine", "text:phase 2")),
    );
    const phase3 = wineHashes("key:b.wine", "text:wine", "text:token", "text:phase 3");
    await answered.run.finish(phase3, ours);
    const { keyA, keyB } = await answered.run.keys(ours);
    for (const [key, blob] of [
      [keyA, "a.wine"],
      [keyB, "b.wine"],
    ] as const) {
      const hash = hashParts(AGREED.hash, [{ key: key.bytes }]);
      expect(toHex(wineHashes(`key:${blob}`))).toBe(toHex(hash));
    }
  });

  it("begun by the token, answered by Wine; another hash ends it", async () => {
    const ours = await access.identity(exchange, "capi-open").unlock();
    const own = { name: "token", publicKey: ours.publicKey };
    const peer = { name: "wine", publicKey: theirs.exchange };
    const { run: first, phase1 } = ThreePhase.begin({ ...AGREED, own, peer });
    put("a.wine", phase1);
    wineMakesKey("b");
    const hash = wineHashes("key:a.wine", "text:wine", "key:b.wine", "text:token", "text:phase 2");
    const again = ThreePhase.resume(first.serialize());
    const phase3 = await first.confirm({ blob: get("b.ours"), hash }, ours);
    const expected = wineHashes("key:b.wine", "text:token", "text:wine", "text:phase 3");
    expect(toHex(phase3)).toBe(toHex(expected));
    const swapped = wineHashes(
      "key:b.wine",
      "text:wine",
      "key:a.wine",
      "text:token",
      "text:phase 2",
    );
    expect(await codeOf(() => again.confirm({ blob: get("b.ours"), hash: swapped }, ours))).toMatch(
      /^ERR_/,
    );
  });
});

describe("what Wine can't do, and therefore nothing here shows", () => {
  it("OFB, which the Microsoft providers don't have either", () => {
    put("m", ascii("x"));
    const key = ["--to", "ours.pub", "--alg", "aes256", "--mode", "ofb", "--in", "m"];
    const { status, stderr } = run("send", ...key, "--blob", "x.blob", "--cipher", "x.cipher");
    // NTE_BAD_ALGID
    expect([status, stderr]).toEqual([1, "CryptEncrypt 0x80090008"]);
  });

  it("refusing a signature key as a recipient: it wraps a session key under CALG_RSA_SIGN", async () => {
    put("m", ascii("x"));
    const key = ["--to", "ours.sign.pub", "--alg", "aes256", "--in", "m"];
    const { status } = run("send", ...key, "--blob", "x.blob", "--cipher", "x.cipher");
    expect(status).toBe(0);
    const ours = () => requireRecipient(parsePublicKey(get("ours.sign.pub"), "ours"));
    expect(await codeOf(ours)).toBe("ERR_SIGN_ONLY");
  });
});
