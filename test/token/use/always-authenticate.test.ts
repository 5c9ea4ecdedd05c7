/** Keys that require the PIN for every use (CKA_ALWAYS_AUTHENTICATE), which SoftHSM enforces. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { oaepEncrypt } from "../../../src/wrap/rsa-oaep.js";
import { verifySignature } from "../../../src/keys/signing.js";
import type { TokenAccess } from "../../../src/token/access.js";
import type { KeyInfo } from "../../../src/token/values.js";
import { parseUri } from "../../../src/token/uri.js";
import { TEST_KEYS } from "../../support/keys.js";
import {
  freshToken,
  importKey,
  rawModule,
  softHsmAccess,
  SOFTHSM_MODULE,
  type TestToken,
  USER_PIN,
  withRawSession,
} from "../../support/softhsm.js";
import { decryptOaep, sign } from "../../support/private-key.js";

let token: TestToken;
let access: TokenAccess;
let asked = 0;

beforeAll(async () => {
  await rawModule(SOFTHSM_MODULE);
  token = await freshToken("always");
  const always = { ALWAYS_AUTHENTICATE: true, UNWRAP: false, SIGN: false, DECRYPT: false };
  for (const [label, id, pem, uses] of [
    ["decrypts", 1, TEST_KEYS.rsa2048, { DECRYPT: true }],
    ["signs", 2, TEST_KEYS.p256, { SIGN: true }],
  ] as const) {
    const privateHalf = { ...always, ...uses };
    await importKey(token, pem, { label, id: Uint8Array.of(id), privateHalf });
  }
  access = counting();
});

afterAll(async () => {
  await access.close();
});

function counting(): TokenAccess {
  asked = 0;
  return softHsmAccess({
    pin: () => {
      asked++;
      return Promise.resolve(USER_PIN);
    },
  });
}

const key = (from: TokenAccess, label: string): Promise<KeyInfo> =>
  from.findKey({ ...parseUri(token.uri), object: label });

/** Seals to the key on the host, and opens through the token. */
async function roundTrip(from: TokenAccess): Promise<boolean> {
  const found = await key(from, "decrypts");
  const privateKey = await from.identity(found).unlock();
  if (found.publicKey === undefined) throw new Error("not RSA");
  const secret = randomBytes(32);
  const sealed = oaepEncrypt(found.publicKey.object, secret, { hash: "sha256" });
  return secret.equals((await decryptOaep(privateKey, sealed, "sha256"))?.expose() ?? Buffer.of());
}

const setPin = (from: string, to: string): Promise<void> =>
  withRawSession(
    token,
    (native, session) => {
      native.C_SetPIN(session, from, to);
    },
    from,
  );

describe("a key that wants the PIN with every use", () => {
  it("opens many messages, side by side too, and the person is asked once", async () => {
    for (let i = 0; i < 3; i++) expect(await roundTrip(access)).toBe(true);
    expect(await Promise.all(Array.from({ length: 6 }, () => roundTrip(access)))).not.toContain(
      false,
    );
    expect(asked).toBe(1);
  });

  it("signs", async () => {
    const identity = access.identity(await key(access, "signs"), "sign");
    const message = randomBytes(40);
    const signer = await identity.unlock();
    for (let i = 0; i < 2; i++) {
      const signature = await sign(signer, message);
      expect(verifySignature(identity.publicKey, message, signature)).toBe(true);
    }
    expect(asked).toBe(1);
  });

  it("says so in its plan, once it can be seen", async () => {
    expect((await access.plan(await key(access, "decrypts"))).contextLogin).toBe(true);
  });

  it("gives null for a bad ciphertext, as any other", async () => {
    const privateKey = await access.identity(await key(access, "decrypts")).unlock();
    const noise = randomBytes(256).fill(0, 0, 1);
    expect(await decryptOaep(privateKey, noise, "sha256")).toBeNull();
    expect(asked).toBe(1);
  });

  it("whose PIN is refused is not tried again, also when it would be right by then", async () => {
    const told: unknown[] = [];
    const own = softHsmAccess({ loginEnded: (_token, refusal) => told.push(refusal) });
    expect(await roundTrip(own)).toBe(true);
    told.length = 0;
    await setPin(USER_PIN, "another");
    await expect(roundTrip(own)).rejects.toMatchObject({
      code: "ERR_PIN_REFUSED",
      fn: "C_Login",
      ckr: "CKR_PIN_INCORRECT",
    });
    await setPin("another", USER_PIN);
    await expect(roundTrip(own)).rejects.toMatchObject({ code: "ERR_PIN_REFUSED" });
    expect(told.filter((one) => one !== undefined)).toHaveLength(1);
    await own.close();
  });
});
