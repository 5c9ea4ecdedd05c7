/**
 * From wrapped keys to a content key, with formats made up for it: who is unlocked, and what comes
 * out.
 */
import { createHash, diffieHellman, generateKeyPairSync, randomBytes } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { ascii } from "../../src/bytes.js";
import { PolicyError, TokenError } from "../../src/errors.js";
import type { Identity, OaepParameters, KnownPublicKey } from "../../src/keys/key.js";
import type { SinglePurposeKey } from "../../src/keys/purpose.js";
import { Secret } from "../../src/secret.js";
import {
  type AgreementWrap,
  openByKey,
  type WrappedKey,
  type WrappedKeys,
} from "../../src/wrap/opener.js";
import { derivedSubstitute } from "../../src/wrap/rejection.js";
import type { RsaWrap } from "../../src/wrap/rsa-unwrap.js";
import { oaepEncrypt } from "../../src/wrap/rsa-oaep.js";
import { pkcs1Encrypt } from "../../src/wrap/rsa-pkcs1.js";
import { softwareIdentity } from "../../src/software/software-identity.js";
import { answering, counting, identityOf } from "../support/identities.js";

const contentKey = new Uint8Array(32).fill(0x4b);
const rsa = identityOf("rsa2048");

const isSame = (one: KnownPublicKey, other: KnownPublicKey): boolean =>
  Buffer.compare(one.fingerprint, other.fingerprint) === 0;

/** What a format says of a message with these wraps, all of them for `rsa`. */
function message(wraps: readonly WrappedKey[], more: Partial<WrappedKeys> = {}): WrappedKeys {
  const { publicKey } = rsa;
  return { for: (key) => (isSame(key, publicKey) ? wraps : []), keyBytes: 32, ...more };
}

function oaepWrap(parameters: OaepParameters, key: Uint8Array = contentKey): RsaWrap {
  const ciphertext = oaepEncrypt(rsa.publicKey.object, key, parameters);
  return { type: "rsa-oaep", parameters, ciphertext };
}

const pkcs1Wrap = (key: Uint8Array): RsaWrap => ({
  type: "rsa-pkcs1",
  ciphertext: pkcs1Encrypt(rsa.publicKey.object, key),
});

describe("no identity that matches", () => {
  it("is told with a few of those tried, however many there are", async () => {
    const many = Array.from({ length: 400 }, (_, n) => ({ ...rsa, name: `key ${n}` }));
    const wrapped = { ...message([]), for: () => [] };
    await expect(openByKey(many, wrapped)).rejects.toMatchObject({
      code: "ERR_NO_MATCH",
      hint: "identities tried: key 0, key 1, key 2 and 397 more; see whom it is for with: p11seal inspect",
    });
  });
});

async function opened(wrapped: WrappedKeys, identities = [rsa]): Promise<Uint8Array> {
  return (await openByKey(identities, wrapped)).contentKey.expose();
}

describe("an identity", () => {
  it("is not unlocked where nothing was wrapped for it", async () => {
    const others = [counting(identityOf("p256")), counting(identityOf("rsa3072"))];
    const identities = others.map(({ identity }) => identity);
    await expect(openByKey(identities, message([oaepWrap({ hash: "sha256" })]))).rejects.toThrow(
      expect.objectContaining({ code: "ERR_NO_MATCH" }),
    );
    expect(others.map(({ unlocks }) => unlocks)).toEqual([0, 0]);
  });

  it("is not unlocked where the format refuses it", async () => {
    const counted = counting(rsa);
    const refusal = new PolicyError("ERR_NOT_ADDRESSEE", "not for you");
    const wrapped = message([oaepWrap({ hash: "sha256" })], {
      admit: () => {
        throw refusal;
      },
    });
    await expect(openByKey([counted.identity], wrapped)).rejects.toBe(refusal);
    expect(counted.unlocks).toBe(0);
  });

  it("does one operation, with the hash that its holder undoes best", async () => {
    const counted = counting(rsa);
    const wraps = [oaepWrap({ hash: "sha1" }), oaepWrap({ hash: "sha256" })];
    expect(await opened(message(wraps), [counted.identity])).toEqual(contentKey);
    expect(counted.operations).toEqual(["sha256"]);
  });

  it.each(["ERR_MECHANISM", "ERR_OAEP_HASH"])(
    "gives way to the next one when its holder can't: %s",
    async (code) => {
      const unfit = {
        ...rsa,
        unlock: () => Promise.reject(new TokenError(code, "the token can't")),
      };
      const wrapped = message([oaepWrap({ hash: "sha256" })]);
      expect(await opened(wrapped, [unfit, rsa])).toEqual(contentKey);
      await expect(openByKey([unfit], wrapped)).rejects.toMatchObject({ code });
    },
  );

  it("whose token fails ends the opening", async () => {
    const gone = new TokenError("ERR_TOKEN_REMOVED", "gone");
    const failing = answering(rsa.publicKey, () => Promise.reject(gone));
    const next = counting(rsa);
    const wrapped = message([oaepWrap({ hash: "sha256" })]);
    await expect(openByKey([failing, next.identity], wrapped)).rejects.toBe(gone);
    expect(next.unlocks).toBe(0);
  });
});

describe("an OAEP label, and an MGF1 hash of its own,", () => {
  const label = ascii("age-encryption.org/v1/ssh-rsa");

  it.each<OaepParameters>([
    { hash: "sha256", label },
    { hash: "sha256", mgfHash: "sha1" },
    { hash: "sha1", mgfHash: "sha512", label },
  ])("are handed to the key: %j", async (parameters) => {
    expect(await opened(message([oaepWrap(parameters)]))).toEqual(contentKey);
    const other = { ...oaepWrap(parameters), parameters: { ...parameters, label: ascii("x") } };
    expect(await opened(message([other as WrappedKey]))).not.toEqual(contentKey);
  });

  it("are refused for a key whose holder knows neither, without an operation", async () => {
    const { publicKey } = rsa;
    const decrypt = () => Promise.reject(new Error("was asked"));
    const plain = {
      ...rsa,
      unlock: () =>
        Promise.resolve({
          publicKey,
          oaep: { hashes: ["sha256", "sha1"], labels: "empty", decrypt },
        } as const),
    };
    for (const parameters of [
      { hash: "sha256", label },
      { hash: "sha256", mgfHash: "sha1" },
    ] as const) {
      await expect(openByKey([plain], message([oaepWrap(parameters)]))).rejects.toMatchObject({
        code: "ERR_OAEP_HASH",
      });
    }
  });
});

describe("a key derived from raw Diffie-Hellman in a format's own way", () => {
  const x25519 = counting(identityOf("x25519"));
  const made = (name: string): Identity<SinglePurposeKey<"open">> => {
    const { privateKey } = generateKeyPairSync("x25519");
    return softwareIdentity(privateKey.export({ format: "pem", type: "pkcs8" }), name);
  };
  const other = counting(made("other"));
  const gone = new TokenError("ERR_TOKEN_REMOVED", "gone");

  /** A wrap for `key`, whose shared secret masks the content key. */
  function wrapFor(key: SinglePurposeKey<"open">, unnamed: boolean): AgreementWrap {
    const { privateKey, publicKey } = generateKeyPairSync("x25519");
    const mask = diffieHellman({ privateKey, publicKey: key.object });
    const check = createHash("sha256").update(mask).digest();
    return {
      ...{ type: "agreement", curve: "X25519", unnamed },
      peer: new Uint8Array(publicKey.export({ format: "der", type: "spki" }).subarray(-32)),
      open: (shared) =>
        createHash("sha256").update(shared).digest().equals(check) ? contentKey.slice() : null,
    };
  }
  const wrapped = (...wraps: AgreementWrap[]): WrappedKeys => ({
    for: (key) => (key.type === "x25519" ? wraps : []),
    keyBytes: 32,
  });
  const forOther = (): AgreementWrap => wrapFor(other.identity.publicKey, true);

  it("opens; where the wrap names its key and does not open, a random key goes on", async () => {
    const { publicKey } = x25519.identity;
    const good = await opened(wrapped(wrapFor(publicKey, false)), [x25519.identity]);
    expect(good).toEqual(contentKey);
    const bad = wrapped(wrapFor(other.identity.publicKey, false));
    expect(await opened(bad, [x25519.identity])).not.toEqual(contentKey);
  });

  it("is tried with one key after the other where wraps name none", async () => {
    const [x, o] = [counting(x25519.identity), counting(other.identity)];
    const { identity, contentKey: found } = await openByKey(
      [x.identity, o.identity],
      wrapped(wrapFor(made("third").publicKey, true), forOther()),
    );
    expect(identity).toBe(o.identity);
    expect(found.expose()).toEqual(contentKey);
    expect([x.unlocks, x.operations.length, o.operations.length]).toEqual([1, 2, 2]);
  });

  it("is no key's where none opens it", async () => {
    await expect(openByKey([x25519.identity], wrapped(forOther()))).rejects.toMatchObject({
      code: "ERR_NO_MATCH",
    });
  });

  it("is tried only if no other wrap names a key", async () => {
    const unasked = counting(identityOf("x25519"));
    const both: WrappedKeys = {
      for: (key) => (key.type === "x25519" ? [forOther()] : [oaepWrap({ hash: "sha256" })]),
      keyBytes: 32,
    };
    expect(await opened(both, [unasked.identity, rsa])).toEqual(contentKey);
    expect(unasked.unlocks).toBe(0);
  });

  it("ends with a token's failure, at the first trial", async () => {
    const failing = answering(x25519.identity.publicKey, () => Promise.reject(gone));
    await expect(openByKey([failing], wrapped(forOther()))).rejects.toBe(gone);
  });
});

describe("a wrap that gives no content key", () => {
  const short = new Uint8Array(16).fill(1);
  const other = identityOf("rsa3072").publicKey.object;
  const foreign = oaepEncrypt(other, contentKey, { hash: "sha256" }).subarray(0, 256);
  const broken: [string, RsaWrap][] = [
    ["one of another length", oaepWrap({ hash: "sha256" }, short)],
    ["an empty one", oaepWrap({ hash: "sha256" }, new Uint8Array(0))],
    [
      "one for another key",
      { type: "rsa-oaep", parameters: { hash: "sha256" }, ciphertext: foreign },
    ],
    ["PKCS#1 v1.5 of another length", pkcs1Wrap(short)],
    ["noise for PKCS#1 v1.5", { type: "rsa-pkcs1", ciphertext: new Uint8Array(256).fill(7) }],
  ];

  it.each(broken)("%s: a random key goes on, another one each time", async (_, wrap) => {
    const [one, two] = [await opened(message([wrap])), await opened(message([wrap]))];
    expect([one.length, two.length]).toEqual([32, 32]);
    expect(one).not.toEqual(two);
    expect(one).not.toEqual(contentKey);
  });

  it.each(broken)("%s: the format's substitute goes on, where it has one", async (_, wrap) => {
    const secret = new Secret(randomBytes(32));
    const substituteFor = ({ ciphertext }: RsaWrap): Secret =>
      derivedSubstitute("a format", ciphertext, secret, 32);
    const wrapped = message([wrap], { substituteFor });
    expect(await opened(wrapped)).toEqual(await opened(wrapped));
    expect(await opened(wrapped)).toEqual(substituteFor(wrap).expose());
  });
});

describe("PKCS#1 v1.5", () => {
  it("opens with a key that undoes it; OAEP is preferred", async () => {
    expect(await opened(message([pkcs1Wrap(contentKey)]))).toEqual(contentKey);
    const both = message([pkcs1Wrap(new Uint8Array(32)), oaepWrap({ hash: "sha256" })]);
    expect(await opened(both)).toEqual(contentKey);
  });

  it("is refused by a key that doesn't", async () => {
    const { identity } = counting(rsa); // It has OAEP alone.
    await expect(openByKey([identity], message([pkcs1Wrap(contentKey)]))).rejects.toMatchObject({
      code: "ERR_MECHANISM",
    });
  });
});

describe("a derived substitute", () => {
  const secret = new Secret(new Uint8Array(32).fill(3));
  const derive = (label: string, wrap: string, from = secret): string =>
    Buffer.from(derivedSubstitute(label, ascii(wrap), from, 16).expose()).toString("hex");

  it("is the same for the same wrap, and for nothing else", () => {
    const one = derive("a", "wrap");
    expect(derive("a", "wrap")).toBe(one);
    const others = [
      derive("b", "wrap"),
      derive("a", "other"),
      derive("a", "wrap", new Secret(new Uint8Array(32).fill(4))),
    ];
    expect(others).not.toContain(one);
    expect(one).toHaveLength(32);
  });
});
