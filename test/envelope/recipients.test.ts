import { beforeAll, describe, expect, it } from "@jest/globals";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { ascii, toHex } from "../../src/bytes.js";
import {
  inspectMessage,
  matchesRecipient,
  openMessage,
  sealMessage,
} from "../../src/envelope/messages.js";
import { TokenError } from "../../src/errors.js";
import type { Identity, OaepHash, Recipient } from "../../src/keys/key.js";
import { publicKeyFromSpki, publicKeyFromX25519 } from "../../src/keys/public-key.js";
import { requireExchange } from "../../src/keys/recipient-strength.js";
import { Secret } from "../../src/secret.js";
import { answering, counting, identityOf, recipientOf } from "../support/identities.js";
import { EXCHANGE_KEY_NAMES } from "../support/keys.js";
import { codeOf } from "../support/streams.js";
import { headerBytes, holder, messageBytes, recips, stanza } from "../support/forge.js";
import { requireCapability } from "../../src/keys/purpose.js";

const message = ascii("for you only");

async function seal(recipients: readonly Recipient[], oaep?: OaepHash): Promise<Uint8Array> {
  const sealed = await sealMessage(message, {
    recipients,
    ...(oaep === undefined ? {} : { oaep }),
  });
  return sealed.stream().bytes();
}

async function open(sealed: Uint8Array, ...identities: Identity[]): Promise<Uint8Array> {
  return (await openMessage(sealed, { identities })).plaintext.bytes();
}

const typesOf = async (sealed: Uint8Array) =>
  (await inspectMessage(sealed)).recipients.map(({ type, oaep }) => oaep ?? type);

/** Any number of keys; a random u-coordinate is a valid recipient. */
const strangers = (count: number): Recipient[] =>
  Array.from({ length: count }, () => ({
    // Without the highest bit, which no canonical one has.
    publicKey: publicKeyFromX25519(
      randomBytes(32).map((byte, i) => (i === 31 ? byte & 0x7f : byte)),
    ),
  }));

describe("several recipients", () => {
  const recipients = EXCHANGE_KEY_NAMES.map((name) => recipientOf(name));
  let sealed: Uint8Array;
  beforeAll(async () => {
    sealed = await seal(recipients);
  });

  it.each(EXCHANGE_KEY_NAMES)(
    "%s opens the message alone, with one unlock and one operation",
    async (name) => {
      const counted = counting(identityOf(name));
      const opened = await openMessage(sealed, { identities: [counted.identity] });
      expect(await opened.plaintext.bytes()).toEqual(message);
      expect(opened.identity?.name).toBe(`${name}.pem`);
      expect([counted.unlocks, counted.operations.length]).toEqual([1, 1]);
    },
  );

  it("are each found by their key, and nobody else is", async () => {
    const info = await inspectMessage(sealed);
    for (const { publicKey } of recipients) expect(matchesRecipient(info, publicKey)).toBe(true);
    for (const { publicKey } of strangers(20))
      expect(matchesRecipient(info, publicKey)).toBe(false);
  });

  it("have the first of their identities used, and only that one unlocked", async () => {
    const [rsa, ec] = [counting(identityOf("rsa2048")), counting(identityOf("p256"))];
    const stranger = counting(
      answering(strangers(1)[0]?.publicKey as Recipient["publicKey"], never),
    );
    const identities = [stranger, ec, rsa].map(({ identity }) => identity);
    expect(await open(sealed, ...identities)).toEqual(message);
    expect([stranger.unlocks, ec.unlocks, rsa.unlocks]).toEqual([0, 1, 0]);
  });
});

const never = () => Promise.reject(new Error("a private key was used"));

describe("an identity that the message is not for", () => {
  it("is never unlocked, and asked for no PIN", async () => {
    const sealed = await seal([recipientOf("p256"), recipientOf("rsa2048")]);
    const others = (["rsa3072", "p384", "x25519"] as const).map((name) =>
      counting(identityOf(name)),
    );
    const identities = others.map(({ identity }) => identity);
    await expect(openMessage(sealed, { identities })).rejects.toMatchObject({
      name: "NoMatchError",
      code: "ERR_NO_MATCH",
    });
    await expect(openMessage(sealed, { identities: [] })).rejects.toMatchObject({
      code: "ERR_NO_MATCH",
    });
    expect(others.map(({ unlocks }) => unlocks)).toEqual([0, 0, 0]);
  });

  it("is not matched by a stanza with its tag of another kind or size", async () => {
    const bodies: [number, number][] = [
      [2, 113],
      [5, 80],
      [77, 258],
      [1, 2 + 384],
    ];
    for (const [type, length] of bodies) {
      const body = new Uint8Array(length).fill(2);
      const forged = messageBytes({ recips: recips([stanza({ type, body })]) });
      await expect(open(forged, holder)).rejects.toMatchObject({ code: "ERR_NO_MATCH" });
    }
  });

  it("does not match a message by its tag alone", async () => {
    for (const type of [2, 5, 77]) {
      const body = new Uint8Array(type === 2 ? 113 : 80);
      const forged = headerBytes({ recips: recips([stanza({ type, body })]) });
      const info = await inspectMessage(forged);
      expect([type, matchesRecipient(info, holder.publicKey)]).toEqual([type, false]);
    }
    const own = await inspectMessage(headerBytes());
    expect(matchesRecipient(own, holder.publicKey)).toBe(true);
  });
});

describe("an RSA key", () => {
  it("of which nothing is recorded gets two stanzas, and opens with either hash", async () => {
    const sealed = await seal([recipientOf("rsa2048")]);
    expect(await typesOf(sealed)).toEqual(["sha256", "sha1"]);
    for (const hash of ["sha256", "sha1"] as const) {
      const key = await identityOf("rsa2048").unlock();
      const only = {
        ...identityOf("rsa2048"),
        unlock: () =>
          Promise.resolve({ ...key, oaep: { ...requireCapability(key, "oaep"), hashes: [hash] } }),
      };
      const counted = counting(only);
      expect(await open(sealed, counted.identity)).toEqual(message);
      expect(counted.operations).toEqual([hash]);
    }
  });

  it.each(["sha1", "sha256", "sha384", "sha512"] as const)(
    "recorded with %s gets one stanza",
    async (oaep) => {
      const recorded = await seal([recipientOf("rsa2048", oaep)]);
      expect(await typesOf(recorded)).toEqual([oaep]);
      expect(await open(recorded, identityOf("rsa2048"))).toEqual(message);
      const asked = await seal([recipientOf("rsa2048", "sha256")], oaep);
      expect(await typesOf(asked)).toEqual([oaep]);
    },
  );

  it("is used with its holder's favourite hash, whatever the order of stanzas", async () => {
    const sealed = await seal([recipientOf("rsa2048")]);
    const asked: OaepHash[] = [];
    const publicKey = identityOf("rsa2048").publicKey;
    const identity: Identity = {
      publicKey,
      name: "picky",
      unlock: () =>
        Promise.resolve({
          publicKey,
          oaep: {
            hashes: ["sha512", "sha1", "sha256"],
            labels: "any",
            decrypt: (_ciphertext, { hash }) => {
              asked.push(hash);
              return Promise.resolve(null);
            },
          },
        }),
    };
    await expect(openMessage(sealed, { identities: [identity] })).rejects.toMatchObject({
      code: "ERR_NOT_AUTHENTIC",
    });
    expect(asked).toEqual(["sha1"]);
  });

  it("whose token knows none of the hashes used is not asked to try", async () => {
    const sealed = await seal([recipientOf("rsa2048", "sha256")]);
    const publicKey = identityOf("rsa2048").publicKey;
    for (const hashes of [["sha1"], []] as OaepHash[][]) {
      const identity = answering(publicKey, never, hashes);
      await expect(openMessage(sealed, { identities: [identity] })).rejects.toMatchObject({
        name: "PolicyError",
        code: "ERR_OAEP_HASH",
      });
    }
  });

  it("whose token knows none of them gives way to the next that has the key", async () => {
    const sealed = await seal([recipientOf("rsa2048", "sha256")]);
    const able = identityOf("rsa2048");
    const { publicKey } = able;
    const unfit = new TokenError("ERR_MECHANISM", "it may only sign");
    const unable = [
      answering(publicKey, never, ["sha1"]),
      { publicKey, name: "signer", unlock: () => Promise.reject(unfit) },
    ];
    const opened = await openMessage(sealed, { identities: [...unable, able] });
    expect(opened.identity).toBe(able);
    expect(await opened.plaintext.bytes()).toEqual(message);
    await expect(openMessage(sealed, { identities: unable })).rejects.toMatchObject({
      code: "ERR_OAEP_HASH",
    });
  });

  it("whose token fails does not give way: the next would be asked for its PIN", async () => {
    const sealed = await seal([recipientOf("rsa2048")]);
    const { publicKey } = identityOf("rsa2048");
    const refused = new TokenError("ERR_PIN_REFUSED", "wrong");
    const next = counting(identityOf("rsa2048"));
    const first = { publicKey, name: "first", unlock: () => Promise.reject(refused) };
    const identities = [first, next.identity];
    await expect(openMessage(sealed, { identities })).rejects.toBe(refused);
    expect(next.unlocks).toBe(0);
  });

  it("has the token's own fault come through: it says nothing of the message", async () => {
    const gone = new Error("the token is gone");
    const identity = answering(identityOf("rsa2048").publicKey, () => Promise.reject(gone));
    const sealed = await seal([recipientOf("rsa2048")]);
    await expect(openMessage(sealed, { identities: [identity] })).rejects.toBe(gone);
  });
});

describe("recipients named twice", () => {
  it("are one recipient", async () => {
    const twice = [recipientOf("p256"), recipientOf("x25519"), recipientOf("p256")];
    expect(await typesOf(await seal(twice))).toEqual(["hpke-p256", "hpke-x25519"]);
    const again = publicKeyFromSpki(identityOf("p256").publicKey.spki);
    expect(
      await typesOf(await seal([recipientOf("p256"), { publicKey: requireExchange(again) }])),
    ).toEqual(["hpke-p256"]);
  });
});

describe("the number of recipients", () => {
  it("may not be none", async () => {
    await expect(seal([])).rejects.toMatchObject({ name: "UsageError", code: "ERR_NO_RECIPIENTS" });
  });

  it("may be 1,024, and the last of them opens", async () => {
    const sealed = await seal([...strangers(1023), recipientOf("x25519")]);
    expect((await inspectMessage(sealed)).recipients).toHaveLength(1024);
    const counted = counting(identityOf("x25519"));
    expect(await open(sealed, counted.identity)).toEqual(message);
    expect(counted.operations).toHaveLength(1);
  });

  it("may not be 1,025, but may be 1,025 times the same", async () => {
    await expect(seal(strangers(1025))).rejects.toMatchObject({
      name: "PolicyError",
      code: "ERR_TOO_MANY_RECIPIENTS",
    });
    const [one] = strangers(1) as [Recipient];
    expect(await typesOf(await seal(new Array<Recipient>(1025).fill(one)))).toHaveLength(1);
  });
});

describe("a key that no reader takes", () => {
  const rsaOf = (modulusLength: number) => {
    const { publicKey } = generateKeyPairSync("rsa", { modulusLength });
    return publicKeyFromSpki(
      publicKey.export({ format: "der", type: "spki" }),
    ) as Recipient["publicKey"];
  };

  it("is not sealed to: nobody could open the message, not even the other recipients", async () => {
    const short = { publicKey: rsaOf(1024) };
    for (const recipients of [[short], [recipientOf("p256"), short]]) {
      await expect(seal(recipients)).rejects.toMatchObject({
        name: "PolicyError",
        code: "ERR_WEAK_KEY",
      });
    }
    const even = { publicKey: publicKeyFromX25519(new Uint8Array(32)) };
    await expect(seal([even])).rejects.toMatchObject({ name: "PolicyError", code: "ERR_WEAK_KEY" });
  });
});

describe("whatever goes wrong between a stanza and the file key", () => {
  const wrongSecrets: [string, () => Secret | null][] = [
    ["no answer", () => null],
    ["0 bytes", () => new Secret(new Uint8Array(0))],
    ["1 byte", () => new Secret(Uint8Array.of(1))],
    ["31 bytes", () => new Secret(randomBytes(31))],
    ["33 bytes", () => new Secret(randomBytes(33))],
    ["64 bytes", () => new Secret(randomBytes(64))],
    ["another file key", () => new Secret(randomBytes(32))],
    ["zeros", () => new Secret(new Uint8Array(32))],
  ];

  /** Everything about an error that an outsider can see. */
  async function seen(bytes: Uint8Array, identity: Identity): Promise<string> {
    const error = (await open(bytes, identity).then(
      () => new Error("opened"),
      (thrown: unknown) => thrown,
    )) as Error & { code?: string; hint?: string };
    const { name, code, message: text, hint, cause } = error;
    return JSON.stringify({ name, code, text, hint, cause: cause ?? null });
  }

  const changedAt = (bytes: Uint8Array, at: number) => bytes.map((b, i) => (i === at ? b ^ 1 : b));

  it("looks exactly like an altered header: no oracle shows how far a forged stanza got", async () => {
    const bytes = messageBytes();
    const macAt = headerBytes().length - 1;
    const expected = await seen(changedAt(bytes, macAt), holder);
    expect(JSON.parse(expected)).toMatchObject({
      name: "AuthenticationError",
      code: "ERR_NOT_AUTHENTIC",
    });
    for (const [what, secret] of wrongSecrets) {
      const identity = answering(holder.publicKey, () => Promise.resolve(secret()));
      expect([what, await seen(bytes, identity)]).toEqual([what, expected]);
    }
    const stanzaAt = macAt - 32;
    expect(await seen(changedAt(bytes, stanzaAt), holder)).toBe(expected);
  });

  it.each(["rsa2048", "p256", "p384", "p521", "x25519"] as const)(
    "is the same for a stanza to %s altered in any part of its body",
    async (name) => {
      const sealed = await seal([recipientOf(name, "sha256")]);
      const { headerBytes: length } = await inspectMessage(sealed);
      const expected = await seen(changedAt(sealed, length - 1), identityOf(name));
      const bodyAt = Buffer.from(sealed).indexOf(await tagOf(sealed), 0, "hex") + 12;
      const inStanza = [...new Array<undefined>(length - 32 - bodyAt).keys()].map(
        (i) => bodyAt + i,
      );
      // The two hash ids of an RSA stanza are not part of the wrapped key.
      const from = name === "rsa2048" ? 2 : 0;
      for (const at of inStanza.slice(from).filter((_, i) => i % 7 === 0)) {
        expect([at, await seen(changedAt(sealed, at), identityOf(name))]).toEqual([at, expected]);
      }
    },
  );

  it("refuses a file key of another length, even in a message made with it", async () => {
    for (const length of [0, 16, 31, 32, 33, 64]) {
      const fileKey = new Uint8Array(length).fill(8);
      const identity = answering(holder.publicKey, () =>
        Promise.resolve(new Secret(fileKey.slice())),
      );
      const code = await codeOf(open(messageBytes({ fileKey }), identity));
      expect([length, code]).toEqual([length, length === 32 ? undefined : "ERR_NOT_AUTHENTIC"]);
    }
  });

  it("wipes what it was given, of whatever length", async () => {
    for (const length of [0, 31, 32, 33]) {
      const given = new Uint8Array(length).fill(0x5a);
      const identity = answering(holder.publicKey, () => Promise.resolve(new Secret(given)));
      await seen(messageBytes(), identity);
      expect(toHex(given)).toBe("00".repeat(length));
    }
  });

  async function tagOf(sealed: Uint8Array): Promise<string> {
    return (await inspectMessage(sealed)).recipients[0]?.tag ?? "";
  }
});
