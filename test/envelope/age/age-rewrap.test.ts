/** Re-wrapping age files: a new header before the same body. */
import { generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { concat } from "../../../src/bytes.js";
import { PolicyError } from "../../../src/errors.js";
import { inspectMessage, openMessage, sealMessage } from "../../../src/envelope/messages.js";
import { rewrapMessage, type RewrapMessageOptions } from "../../../src/envelope/rewrap-message.js";
import type { ExchangePublicKey, Identity, Recipient } from "../../../src/keys/key.js";
import { publicKeyFromX25519 } from "../../../src/keys/public-key.js";
import { ageIdentities } from "../../../src/software/age-identities.js";
import { hybridIdentityOf } from "../../support/hybrid.js";
import { counting, identityOf, recipientOf } from "../../support/identities.js";
import { codeOf } from "../../support/streams.js";
import { Encrypter } from "../../support/typage.js";

const PLAINTEXT = Uint8Array.from({ length: 100_000 }, (_, at) => at % 251);

async function sealed(...recipients: readonly Recipient[]): Promise<Uint8Array> {
  return (await sealMessage(PLAINTEXT, { recipients, format: "age" })).stream().bytes();
}

type Change = Pick<RewrapMessageOptions, "identities"> & Partial<RewrapMessageOptions>;

/** The whole file, re-wrapped. */
async function rewrapped(file: Uint8Array, change: Change): Promise<Uint8Array> {
  const options = { add: [], remove: [], nowMs: 0, ...change };
  const { header, oldHeaderBytes } = await rewrapMessage(file, options);
  return concat(header, file.subarray(oldHeaderBytes));
}

async function opens(file: Uint8Array, identity: Identity): Promise<boolean> {
  const opened = await openMessage(file, { identities: [identity] });
  return Buffer.compare(await opened.plaintext.bytes(), PLAINTEXT) === 0;
}

async function typesIn(file: Uint8Array): Promise<string[]> {
  return (await inspectMessage(file)).recipients.map(({ type }) => type);
}

/** Where each stanza of a header begins and ends, as text. */
function stanzaTexts(file: Uint8Array): string[] {
  const text = Buffer.from(file).toString("latin1");
  return text.slice(0, text.indexOf("\n---")).split("\n-> ").slice(1);
}

const [p256, rsa, x25519] = [recipientOf("p256"), recipientOf("rsa2048"), recipientOf("x25519")];

describe("an age file that is re-wrapped", () => {
  it("opens for who was added and not for who was removed; body and other stanzas stay", async () => {
    const file = await sealed(p256, x25519);
    const result = await rewrapped(file, {
      ...{ identities: [identityOf("p256")], add: [rsa], remove: [p256.publicKey] },
    });
    expect(await typesIn(result)).toEqual(["X25519", "ssh-rsa"]);
    expect(await opens(result, identityOf("rsa2048"))).toBe(true);
    expect(await opens(result, identityOf("x25519"))).toBe(true);
    expect(await codeOf(openMessage(result, { identities: [identityOf("p256")] }))).toBe(
      "ERR_NO_MATCH",
    );
    expect(stanzaTexts(result)[0]).toBe(stanzaTexts(file)[1]);
    const { headerBytes: before } = await inspectMessage(file);
    const { headerBytes: after } = await inspectMessage(result);
    expect(Buffer.compare(file.subarray(before), result.subarray(after))).toBe(0);
  });

  it("stays as it is where who is to be added is there, and who is to be removed is not", async () => {
    const file = await sealed(p256, rsa);
    const change = { identities: [identityOf("p256")], add: [rsa], remove: [x25519.publicKey] };
    expect(await rewrapped(file, change)).toEqual(file);
  });

  it("loses the stanza that X25519 just opened, and no other one", async () => {
    const [bob] = await ageIdentities(BOB, "bob.txt");
    const bobs = bob as Identity<ExchangePublicKey>;
    const file = await sealed({ publicKey: bobs.publicKey }, x25519);
    const result = await rewrapped(file, {
      ...{ identities: [identityOf("x25519")], add: [p256], remove: [x25519.publicKey] },
    });
    expect(stanzaTexts(result)[0]).toBe(stanzaTexts(file)[0]);
    expect(await typesIn(result)).toEqual(["X25519", "p256tag"]);
    expect(await opens(result, bobs)).toBe(true);
    // Whose the other one is can't be seen.
    const unclear = { identities: [identityOf("x25519")], remove: [bobs.publicKey] };
    expect(await codeOf(rewrapped(file, unclear))).toBe("ERR_REWRAP");
  });

  it("never loses its last recipient", async () => {
    const file = await sealed(p256);
    const change = { identities: [identityOf("p256")], remove: [p256.publicKey] };
    expect(await codeOf(rewrapped(file, change))).toBe("ERR_NO_RECIPIENTS");
  });

  it("gets a new stanza for a key that is removed and added", async () => {
    const file = await sealed(p256, rsa);
    const result = await rewrapped(file, {
      ...{ identities: [identityOf("p256")], add: [rsa], remove: [rsa.publicKey] },
    });
    expect(await typesIn(result)).toEqual(["p256tag", "ssh-rsa"]);
    expect(stanzaTexts(result)[1]).not.toBe(stanzaTexts(file)[1]);
    expect(await opens(result, identityOf("rsa2048"))).toBe(true);
  });

  it("has a header of at most 64 KiB, as has a new file", async () => {
    const fresh = (): Recipient => {
      const { publicKey } = generateKeyPairSync("x25519");
      const spki = publicKey.export({ format: "der", type: "spki" });
      return { publicKey: publicKeyFromX25519(new Uint8Array(spki.subarray(-32))) };
    };
    const many = Array.from({ length: 700 }, fresh);
    expect(await codeOf(sealed(p256, ...many))).toBe("ERR_TOO_MANY_RECIPIENTS");
    const full = await sealed(p256, ...many.slice(0, 650));
    expect(await opens(full, identityOf("p256"))).toBe(true);
    const toMore = { identities: [identityOf("p256")], add: many.slice(650) };
    expect(await codeOf(rewrapped(full, toMore))).toBe("ERR_TOO_MANY_RECIPIENTS");
  });

  it("takes no classic recipient if it is post-quantum, nor the other way, before a PIN", async () => {
    const hybrid = await hybridIdentityOf("mlkem768-p256");
    const counted = counting(hybrid);
    const pq = await sealed({ publicKey: hybrid.publicKey });
    const toClassic = { identities: [counted.identity], add: [p256] };
    expect(await codeOf(rewrapped(pq, toClassic))).toBe("ERR_MIXED_RECIPIENTS");
    // Removing the last classic one does not make it post-quantum: its file key was under it.
    const classic = await sealed(p256);
    const add = [{ publicKey: hybrid.publicKey }];
    const toHybrid = { identities: [identityOf("p256")], add, remove: [p256.publicKey] };
    expect(await codeOf(rewrapped(classic, toHybrid))).toBe("ERR_MIXED_RECIPIENTS");
    expect(counted.unlocks).toBe(0);
  });

  it("is refused if it is sealed with a passphrase", async () => {
    const encrypter = new Encrypter();
    encrypter.setPassphrase("correct horse");
    encrypter.setScryptWorkFactor(8);
    const file = await encrypter.encrypt(PLAINTEXT);
    const change = { identities: [identityOf("p256")], add: [rsa] };
    expect(await codeOf(rewrapped(file, change))).toBe("ERR_REWRAP");
  });

  it("gets no stanza if its MAC does not hold, as where another file's stanza was put in", async () => {
    const [secret, wide] = [await sealed(p256), await sealed(p256, rsa)];
    const stolen = Buffer.from(wide).toString("latin1");
    const [own = "", other = ""] = stanzaTexts(wide);
    const forged = stolen.replace(own, stanzaTexts(secret)[0] ?? "");
    expect(forged).toContain(other);
    const change = { identities: [identityOf("p256")], add: [x25519] };
    const file = new Uint8Array(Buffer.from(forged, "latin1"));
    expect(await codeOf(rewrapped(file, change))).toBe("ERR_NOT_AUTHENTIC");
  });

  it("asks the receiver before any key is looked for", async () => {
    const file = await sealed(p256);
    const counted = counting(identityOf("p256"));
    const refused = rewrapped(file, {
      ...{ identities: [counted.identity], add: [rsa] },
      authenticate: () => Promise.reject(new PolicyError("ERR_NOT_SIGNED", "unsigned")),
    });
    expect(await codeOf(refused)).toBe("ERR_NOT_SIGNED");
    expect(counted.unlocks).toBe(0);
  });
});

// The example of C2SP's "age".
const BOB = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
