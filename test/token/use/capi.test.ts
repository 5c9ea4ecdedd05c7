/**
 * CryptoAPI's keys on tokens: every exchange that a real CryptoAPI made goes through a token with
 * the imported key, in every way; and a token's refusal reveals nothing.
 */
import { constants, type KeyObject, publicDecrypt, publicEncrypt, randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { ascii, concat, toHex } from "../../../src/bytes.js";
import {
  parsePublicKeyBlob,
  receiveMessage,
  sendMessage,
  signData,
  verifyData,
  type RsaPrivateKey,
} from "../../../src/capi/index.js";
import { oaepEncrypt } from "../../../src/wrap/rsa-oaep.js";
import { pkcs1Encrypt } from "../../../src/wrap/rsa-pkcs1.js";
import type { TokenAccess } from "../../../src/token/access.js";
import type { AttributeValues } from "../../../src/token/modules/template.js";
import { TokenProcess } from "../../../src/token/process/token-process.js";
import { Token } from "../../../src/token/session/token.js";
import type { TokenService } from "../../../src/token/service.js";
import type { KeyInfo } from "../../../src/token/values.js";
import { parseUri } from "../../../src/token/uri.js";
import {
  fixture,
  joined,
  keyPair,
  type Manifest,
  manifest,
  message,
  privateKeyOf,
} from "../../capi/support.js";
import { checkExchange, checkThreePhase, exchangeCases } from "../../capi/vector-checks.js";
import { importPrivateKey } from "../../support/import-key.js";
import { describeNss, freshNssToken, nssAccess } from "../../support/nss.js";
import {
  freshToken,
  objectCount,
  rawModule,
  softHsmAccess,
  SOFTHSM_MODULE,
  type TestToken,
  USER_PIN,
  withRawSession,
} from "../../support/softhsm.js";
import { describeVectors } from "../../support/vectors.js";
import { decryptOaep, decryptPkcs1, signPkcs1 } from "../../support/private-key.js";

/** A token with every key pair of the vectors. */
interface Place {
  readonly token: TestToken;
  readonly access: TokenAccess;
  exchange(name: string): Promise<RsaPrivateKey>;
  signer(name: string, spec: Spec): Promise<RsaPrivateKey>;
}
type Spec = "exchange" | "signature";

async function place(
  vectors: Manifest,
  token: TestToken,
  access: TokenAccess,
  uses: AttributeValues,
): Promise<Place> {
  const label = (name: string, spec: Spec): string => `${name} ${spec}`;
  await withRawSession(token, (native, session) => {
    for (const name of Object.keys(vectors.keys)) {
      for (const spec of ["exchange", "signature"] as const) {
        // CryptoAPI's exchange keys may sign as well; some of the vectors are signed that way.
        const privateHalf =
          spec === "signature" ? { ...NO_USES, SIGN: true } : { ...NO_USES, SIGN: true, ...uses };
        importPrivateKey(native, session, privateKeyOf(vectors, name, spec), {
          label: label(name, spec),
          id: ascii(label(name, spec)),
          privateHalf,
        });
      }
    }
  });
  const find = (name: string, spec: Spec): Promise<KeyInfo> =>
    access.findKey({ ...parseUri(token.uri), object: label(name, spec) });
  return {
    token,
    access,
    exchange: async (name) => access.identity(await find(name, "exchange"), "capi-open").unlock(),
    signer: async (name, spec) => access.identity(await find(name, spec), "capi-sign").unlock(),
  };
}

const NO_USES = { UNWRAP: false, DECRYPT: false, SIGN: false, SIGN_RECOVER: false } as const;

async function onSoftHsm(vectors: Manifest, uses: AttributeValues): Promise<Place> {
  return place(vectors, await freshToken("capi"), softHsmAccess(), uses);
}

async function onNss(vectors: Manifest): Promise<Place> {
  const token = await freshNssToken();
  const access = nssAccess(token);
  // Held open, so that importing and using the keys takes one initialization.
  await access.findToken(parseUri(token.uri));
  return place(vectors, token, access, { UNWRAP: true });
}

/** Everything in the vectors that involves a private key. */
function vectorSuite(vectors: Manifest, make: () => Promise<Place>): void {
  let at: Place;
  beforeAll(async () => {
    at = await make();
  });
  afterAll(async () => {
    await at.access.close();
  });

  it.each(exchangeCases(vectors))("$name is read", async ({ exchange, recipient }) => {
    await checkExchange(vectors, exchange, recipient, await at.exchange(recipient.name));
  });

  it.each(vectors.signatures)("the signature $id is made again, byte for byte", async (vector) => {
    const { signer, spec, hash, flags } = vector;
    const key = await at.signer(signer, spec);
    const signature = fixture(vector.signature);
    const { publicKey } = parsePublicKeyBlob(fixture(keyPair(vectors, signer, spec).publicKeyBlob));
    const payload = publicDecrypt(publicKey.object, signature.slice().reverse());
    const again = await signPkcs1(key, new Uint8Array(payload));
    expect(toHex(again.slice().reverse())).toBe(toHex(signature));

    const form = { hash, noHashOid: flags.includes("CRYPT_NOHASHOID") };
    const data = message(vectors, vector.message);
    if (hash === "md5" || hash === "sha1") {
      await expect(signData(key, data, form)).rejects.toMatchObject({ code: "ERR_WEAK_HASH" });
    } else {
      expect(toHex(await signData(key, data, form))).toBe(toHex(signature));
    }
  });

  it("the three-phase run ends with the keys of the real CryptoAPI's", async () => {
    const { sender, receiver } = vectors.threePhase;
    const keys = new Map<string, RsaPrivateKey>();
    for (const name of [sender, receiver]) keys.set(name, await at.exchange(name));
    await checkThreePhase(vectors, (name) => keys.get(name) as RsaPrivateKey);
  });

  it("leaves no object behind", async () => {
    expect(await objectCount(at.token)).toBe(4 * Object.keys(vectors.keys).length);
  });
}

describeVectors("through SoftHSM, with keys that unwrap", () => {
  const vectors = manifest();
  vectorSuite(vectors, () => onSoftHsm(vectors, { UNWRAP: true }));
});

describeVectors("through SoftHSM, with keys that decrypt", () => {
  const vectors = manifest();
  vectorSuite(vectors, () => onSoftHsm(vectors, { DECRYPT: true }));
});

describeVectors("through SoftHSM, as a token that knows raw RSA alone", () => {
  const vectors = manifest();
  // eslint-disable-next-line @typescript-eslint/unbound-method
  const { mechanism: info } = Token.prototype;
  beforeAll(() => {
    Token.prototype.mechanism = function (mechanism) {
      const found = info.call(this, mechanism);
      const signsOnly = mechanism === 0x01 || mechanism === 0x09;
      return found && signsOnly ? { ...found, flags: 0x800 } : found;
    };
  });
  afterAll(() => {
    Token.prototype.mechanism = info;
  });
  vectorSuite(vectors, () => onSoftHsm(vectors, { DECRYPT: true }));
});

describeNss("through NSS softoken", () => {
  describeVectors("with keys that unwrap", () => {
    const vectors = manifest();
    vectorSuite(vectors, () => onNss(vectors));
  });
});

const services: [string, () => TokenService][] = [
  ["in this process", () => softHsmAccess()],
  [
    "in a process of its own",
    () =>
      new TokenProcess({
        modules: [SOFTHSM_MODULE],
        home: "/nonexistent",
        env: process.env,
        pin: () => Promise.resolve(USER_PIN),
      }),
  ],
];

describe.each(services)("a key made on the token, %s,", (_, open) => {
  let token: TestToken;
  let access: TokenService;
  let exchange: KeyInfo;
  let signature: KeyInfo;

  beforeAll(async () => {
    token = await freshToken("capi-own");
    access = open();
    const info = await access.findToken(parseUri(token.uri));
    const make = async (use: "exchange" | "sign"): Promise<KeyInfo> => {
      const request = { type: "rsa:2048", label: use, use, allowDecrypt: false } as const;
      return (await access.generate(info, request)).key;
    };
    exchange = await make("exchange");
    signature = await make("sign");
  });

  afterAll(async () => {
    await access.close();
  });

  it.each(["pkcs1", "oaep"] as const)("reads what it is sent, %s", async (padding) => {
    const identity = access.identity(exchange, "capi-open");
    expect(identity.name).toBe(exchange.uri);
    const text = ascii("attack at dawn");
    const sent = sendMessage(text, { recipients: [identity.publicKey], padding });
    const received = await receiveMessage({
      blob: sent.blobs[0] as Uint8Array,
      ciphertext: sent.ciphertext,
      privateKey: await identity.unlock(),
      padding,
      allowUnauthenticated: true,
    });
    expect(await joined(received.plaintext)).toEqual(text);
  });

  it.each([
    ["sha256", false],
    ["sha384", false],
    ["sha512", false],
    ["sha256", true],
  ] as const)("signs %s, noHashOid %s, so that it verifies", async (hash, noHashOid) => {
    const identity = access.identity(signature, "capi-sign");
    const data = randomBytes(100);
    const made = await signData(await identity.unlock(), data, { hash, noHashOid });
    expect(await verifyData(identity.publicKey, data, made, { hash, noHashOid })).toBe(true);
    expect(await verifyData(identity.publicKey, data.subarray(1), made, { hash })).toBe(false);
  });

  it("for signatures unwraps nothing, and one for exchange does not sign", async () => {
    const refusal = { code: "ERR_MECHANISM" };
    const toOpen = access.identity(signature, "capi-open");
    await expect(toOpen.unlock()).rejects.toMatchObject(refusal);
    const wrong = await access.identity(signature, "capi-sign").unlock();
    const sealed = pkcs1Encrypt(wrong.publicKey.object, randomBytes(16));
    // A valid block or not, for this key or another: the input makes no difference.
    for (const block of [sealed, wrong.publicKey.modulus, sealed.subarray(1)]) {
      await expect(decryptPkcs1(wrong, block)).rejects.toMatchObject(refusal);
      await expect(decryptOaep(wrong, block, "sha1")).rejects.toMatchObject(refusal);
    }
    const other = await access.identity(exchange, "capi-sign").unlock();
    await expect(signPkcs1(other, randomBytes(32))).rejects.toMatchObject({
      code: "ERR_PKCS11",
      ckr: "CKR_KEY_FUNCTION_NOT_PERMITTED",
    });
  });

  it("is an RSA key, or refused before any PIN is asked for", async () => {
    const info = await access.findToken(parseUri(token.uri));
    const request = { type: "ec:p256", label: "ec", use: "exchange", allowDecrypt: false } as const;
    const { key } = await access.generate(info, request);
    for (const act of [
      () => access.identity(key, "capi-open"),
      () => access.identity(key, "capi-sign"),
    ]) {
      expect(act).toThrow(expect.objectContaining({ code: "ERR_KEY_TYPE" }));
    }
  });
});

/** Invalid blocks, for a key whose modulus has 256 bytes. */
function badBlocks(key: KeyObject): [string, Uint8Array][] {
  const block = (change: (em: Uint8Array) => void): Uint8Array => {
    const em = new Uint8Array(256).fill(0x5a);
    em.set([0, 2]);
    em[239] = 0;
    change(em);
    return new Uint8Array(publicEncrypt({ key, padding: constants.RSA_NO_PADDING }, em));
  };
  const at = (index: number, value: number) => block((em) => (em[index] = value));
  return [
    ["block type 01", at(1, 1)],
    ["a first byte that is not zero", at(0, 1)],
    ["a zero in the padding", at(5, 0)],
    ["no separator", at(239, 1)],
    ["OAEP taken for PKCS#1", oaepEncrypt(key, randomBytes(16), { hash: "sha1" })],
    [
      "an altered ciphertext",
      pkcs1Encrypt(key, randomBytes(16)).map((byte, i) => (i === 255 ? byte ^ 1 : byte)),
    ],
  ];
}

type Native = Record<string, (...args: unknown[]) => unknown>;

/** The object of pkcs11js that `work` uses. */
async function nativeOf(work: () => Promise<unknown>): Promise<Native> {
  let native: unknown;
  // eslint-disable-next-line @typescript-eslint/unbound-method
  const { session } = Token.prototype;
  Token.prototype.session = function (mode, act) {
    return session.call(this, mode, (one) => {
      native = one.module.native;
      return act(one);
    }) as never;
  };
  try {
    await work();
  } finally {
    Token.prototype.session = session;
  }
  return native as Native;
}

/** The calls to a module that `work` makes, by name. */
async function calls(native: Native, work: () => Promise<unknown>): Promise<string[]> {
  const made: string[] = [];
  const originals = Object.entries(native).filter(([name]) => name.startsWith("C_"));
  for (const [name, original] of originals) {
    native[name] = (...args) => {
      made.push(name);
      return original.apply(native, args);
    };
  }
  try {
    await work();
  } finally {
    Object.assign(native, Object.fromEntries(originals));
  }
  return made;
}

describe("an invalid block", () => {
  let token: TestToken;
  let access: TokenAccess;

  beforeAll(async () => {
    await rawModule(SOFTHSM_MODULE);
    token = await freshToken("capi-bad");
    access = softHsmAccess();
  });

  afterAll(async () => {
    await access.close();
  });

  it.each([false, true])("shows nothing, allowed to decrypt: %s", async (allowDecrypt) => {
    const info = await access.findToken(parseUri(token.uri));
    const request = { type: "rsa:2048", label: `bad ${allowDecrypt}`, use: "exchange" } as const;
    const { key } = await access.generate(info, { ...request, allowDecrypt });
    const privateKey = await access.identity(key, "capi-open").unlock();
    const { object } = privateKey.publicKey;
    const before = await objectCount(token);
    const good = pkcs1Encrypt(object, randomBytes(16));
    const native = await nativeOf(() => decryptPkcs1(privateKey, good));
    const ofGood = await calls(native, () => decryptPkcs1(privateKey, good));
    expect(ofGood.filter((name) => name === "C_UnwrapKeyAsync").length).toBe(2);
    for (const [name, bad] of badBlocks(object)) {
      let found: unknown;
      const ofBad = await calls(native, async () => {
        found = await decryptPkcs1(privateKey, bad);
      });
      expect([name, ofBad.length]).toEqual([name, ofGood.length]);
      // OpenSSL since 3.2 does implicit rejection itself, with a key of any length; then the calls
      // are the same.
      const isSame = ofBad.join() === ofGood.join();
      expect([name, isSame]).toEqual([name, found !== null]);
    }
    // Numbers that are no ciphertext of this key are not shown to the token at all.
    const { modulus } = privateKey.publicKey;
    const above = new Uint8Array(modulus.length).fill(0xff);
    for (const none of [good.subarray(1), concat(Uint8Array.of(0), good), modulus, above]) {
      let found: unknown;
      const made = await calls(native, async () => {
        found = await decryptPkcs1(privateKey, none);
      });
      expect([found, made]).toEqual([null, []]);
    }
    expect(await objectCount(token)).toBe(before);
  });
});
