/** Re-wrapping CMS messages: other RecipientInfos, and every other byte as it was. */
import { createSecretKey } from "node:crypto";
import { describe, expect, it, jest } from "@jest/globals";
import { der, DerReader, TAG } from "../../../src/asn1/der.js";
import { concat } from "../../../src/bytes.js";
import type { CmsSealOptions } from "../../../src/envelope/seal-options.js";
import { inspectMessage, openMessage, sealMessage } from "../../../src/envelope/messages.js";
import { rewrapMessage, type RewrapMessageOptions } from "../../../src/envelope/rewrap-message.js";
import { parseCertifiedKey } from "../../../src/keys/formats/certified-key.js";
import type { Identity, Recipient } from "../../../src/keys/key.js";
import { requireExchange } from "../../../src/keys/recipient-strength.js";
import { softwareIdentity } from "../../../src/software/software-identity.js";
import { Secret } from "../../../src/secret.js";
import { extension, rootAuthority } from "../../support/certificates.js";
import { TEST_KEYS, testKeyPair, type TestKeyName } from "../../support/keys.js";
import { codeOf } from "../../support/streams.js";

const root = rootAuthority();

interface Party {
  readonly recipient: Recipient & { readonly certificate: Uint8Array };
  readonly identity: Identity;
}

function party(name: TestKeyName): Party {
  const keys = testKeyPair(name);
  const { der: certificate } = root.issue({ keys, subject: { CN: name } }).certificate;
  const publicKey = requireExchange(parseCertifiedKey(certificate, new Date()).publicKey);
  const identity = softwareIdentity(Buffer.from(TEST_KEYS[name]), name);
  return {
    recipient: { publicKey, certificate },
    identity: { ...identity, unlock: () => identity.unlock(), certificates: [certificate] },
  };
}

const [alice, bob, carol] = [party("rsa2048"), party("p256"), party("rsa3072")];

const SHORT = Uint8Array.from({ length: 5000 }, (_, at) => at % 251);
/** Longer than what is written in DER. */
const LONG = Uint8Array.from({ length: 2 ** 20 + 1 }, (_, at) => at % 251);

async function sealed(
  content: Uint8Array,
  recipients: readonly Recipient[],
  cms: CmsSealOptions = {},
): Promise<Uint8Array> {
  return (await sealMessage(content, { recipients, format: "cms", cms })).stream().bytes();
}

type Change = Pick<RewrapMessageOptions, "identities"> & Partial<RewrapMessageOptions>;

async function rewrapped(message: Uint8Array, change: Change): Promise<Uint8Array> {
  const options = { add: [], remove: [], nowMs: 0, ...change };
  const { header, oldHeaderBytes } = await rewrapMessage(message, options);
  return concat(header, message.subarray(oldHeaderBytes));
}

async function opens(
  message: Uint8Array,
  { identity }: Party,
  content: Uint8Array,
  allows = {},
): Promise<boolean> {
  const opened = await openMessage(message, { identities: [identity], allows });
  return Buffer.compare(await opened.plaintext.bytes(), content) === 0;
}

async function matching(message: Uint8Array, parties: readonly Party[]): Promise<boolean[]> {
  const { recipients } = await inspectMessage(message);
  return parties.map(({ recipient: { publicKey, certificate } }) =>
    recipients.some((one) => one.matches(publicKey, [certificate])),
  );
}

const toBob = {
  identities: [alice.identity],
  add: [bob.recipient],
  remove: [alice.recipient.publicKey],
  removeCertificates: [alice.recipient.certificate],
};

describe("a CMS message that is re-wrapped", () => {
  it("keeps whom it names by an identifier of a certificate that is not given", async () => {
    const id = new Uint8Array(20).fill(5);
    const extensions = [extension("2.5.29.14", der(TAG.octetString, id))];
    const keys = testKeyPair("p521");
    const { der: certificate } = root.issue({ keys, extensions }).certificate;
    const publicKey = requireExchange(parseCertifiedKey(certificate, new Date()).publicKey);
    const recipients = [{ publicKey, certificate }, alice.recipient];
    const message = await sealed(SHORT, recipients, { byKeyId: true });
    const bare = { identities: [alice.identity], remove: [publicKey] };
    expect(await rewrapped(message, bare)).toEqual(message);
    const named = await rewrapped(message, { ...bare, removeCertificates: [certificate] });
    expect((await inspectMessage(named)).recipients).toHaveLength(1);
  });

  it("wipes its content key, also if it can't be wrapped for somebody", async () => {
    const message = await sealed(SHORT, [alice.recipient]);
    const exposed = jest.spyOn(Secret.prototype, "expose");
    const object = createSecretKey(Buffer.alloc(16));
    const unusable = { ...carol.recipient.publicKey, object } as unknown as Recipient["publicKey"];
    const add = [{ ...carol.recipient, publicKey: unusable }];
    await expect(rewrapped(message, { identities: [alice.identity], add })).rejects.toThrow(
      "key object",
    );
    // The first is the host's, which wraps that don't come out are replaced by.
    const contentKey = exposed.mock.contexts.at(-1) as Secret;
    exposed.mockRestore();
    expect(() => contentKey.expose()).toThrow("a wiped secret was used");
  });

  it.each([
    ["in DER", SHORT],
    ["in a stream's BER", LONG],
  ])("opens for who was added, %s; the content stays byte for byte", async (_, content) => {
    const message = await sealed(content, [alice.recipient, carol.recipient]);
    const result = await rewrapped(message, toBob);
    expect(await matching(result, [alice, bob, carol])).toEqual([false, true, true]);
    expect(await opens(result, bob, content)).toBe(true);
    expect(await opens(result, carol, content)).toBe(true);
    const [before, after] = [await inspectMessage(message), await inspectMessage(result)];
    const bodies = [message.subarray(before.headerBytes), result.subarray(after.headerBytes)];
    expect(Buffer.compare(...(bodies as [Uint8Array, Uint8Array]))).toBe(0);
    // Definite lengths were made to fit: it is one value, to its last byte.
    if (content === SHORT) new DerReader(result, "the message").next(TAG.sequence);
  });

  it("keeps the RecipientInfos of others byte for byte", async () => {
    const message = await sealed(SHORT, [alice.recipient, carol.recipient]);
    const result = await rewrapped(message, toBob);
    const infoOf = (bytes: Uint8Array): Uint8Array | undefined =>
      recipientInfos(bytes).find((info) => info.length > 400);
    expect(infoOf(result)).toEqual(infoOf(message));
  });

  it("stays as it is where nothing is to change", async () => {
    const message = await sealed(SHORT, [alice.recipient, bob.recipient]);
    const same = { ...toBob, remove: [], removeCertificates: [] };
    expect(await rewrapped(message, same)).toEqual(message);
  });

  it("is refused if its tag does not hold, though the recipient's key is right", async () => {
    const message = await sealed(SHORT, [alice.recipient]);
    message[message.length - 30] = (message[message.length - 30] ?? 0) ^ 1;
    expect(await codeOf(rewrapped(message, toBob))).toBe("ERR_NOT_AUTHENTIC");
  });

  it("is refused with the key of another message in it", async () => {
    const [secret, bait] = [
      await sealed(SHORT, [alice.recipient]),
      await sealed(SHORT, [alice.recipient]),
    ];
    const [stolen, own] = [recipientInfos(secret)[0], recipientInfos(bait)[0]];
    const at = Buffer.from(bait).indexOf(Buffer.from(own as Uint8Array));
    bait.set(stolen as Uint8Array, at);
    expect(await codeOf(rewrapped(bait, toBob))).toBe("ERR_NOT_AUTHENTIC");
  });

  it("is refused in CBC mode unless that is allowed, before the key is used", async () => {
    const message = await sealed(SHORT, [alice.recipient], { profile: "windows" });
    const unlock = (): Promise<never> => Promise.reject(new Error("unlocked"));
    const refused = rewrapped(message, { ...toBob, identities: [{ ...alice.identity, unlock }] });
    expect(await codeOf(refused)).toBe("ERR_UNAUTHENTICATED");
    const allows = { unauthenticated: true };
    const result = await rewrapped(message, { ...toBob, allows });
    expect(await opens(result, bob, SHORT, allows)).toBe(true);
  });

  it("has the version of EnvelopedData that its recipients demand", async () => {
    const message = await sealed(SHORT, [alice.recipient], { profile: "windows" });
    const allows = { unauthenticated: true };
    const versionOf = async (bytes: Uint8Array): Promise<number> =>
      (await inspectMessage(bytes)).version;
    expect(await versionOf(message)).toBe(0);
    const agreed = await rewrapped(message, { ...toBob, allows });
    expect(await versionOf(agreed)).toBe(2);
    const transported = await rewrapped(message, { ...toBob, add: [carol.recipient], allows });
    expect(await versionOf(transported)).toBe(0);
  });

  it("names who is to go by certificate, or says that it can't tell", async () => {
    const message = await sealed(SHORT, [alice.recipient, carol.recipient]);
    const byKeyAlone = { ...toBob, removeCertificates: [] };
    expect(await codeOf(rewrapped(message, byKeyAlone))).toBe("ERR_REWRAP");
    // A key identifier is made of the key.
    const byKeyId = await sealed(SHORT, [alice.recipient, carol.recipient], { byKeyId: true });
    const result = await rewrapped(byKeyId, byKeyAlone);
    expect(await matching(result, [alice, bob])).toEqual([false, true]);
  });

  it("takes one of several recipients out of a key agreement", async () => {
    const single = await sealed(SHORT, [bob.recipient, carol.recipient]);
    // The same agreement with a second recipient, whose key nobody here has.
    const infos = recipientInfos(single);
    const joined = infos.map((info) => (info[0] === 0xa1 ? withMore(info, 1) : info));
    const message = withInfos(single, joined);
    expect((await inspectMessage(message)).recipients).toHaveLength(3);
    const result = await rewrapped(message, {
      ...{ identities: [carol.identity], remove: [bob.recipient.publicKey] },
      removeCertificates: [bob.recipient.certificate],
    });
    const left = recipientInfos(result).find(([tag]) => tag === 0xa1);
    expect((await inspectMessage(result)).recipients).toHaveLength(2);
    expect(await matching(result, [bob, carol])).toEqual([false, true]);
    expect(left?.length).toBe(infos.find(([tag]) => tag === 0xa1)?.length);
  });

  it("has at most 1,024 recipients, of which one can be replaced", async () => {
    const single = await sealed(SHORT, [alice.recipient, bob.recipient]);
    // One RecipientInfo can be for many.
    const infos = recipientInfos(single);
    const full = infos.map((info) => (info[0] === 0xa1 ? withMore(info, 1022) : info));
    const message = withInfos(single, full);
    expect((await inspectMessage(message)).recipients).toHaveLength(1024);
    const toCarol = { ...toBob, add: [carol.recipient] };
    const result = await rewrapped(message, toCarol);
    expect((await inspectMessage(result)).recipients).toHaveLength(1024);
    expect(await opens(result, carol, SHORT)).toBe(true);
    const more = rewrapped(message, { ...toCarol, remove: [], removeCertificates: [] });
    expect(await codeOf(more)).toBe("ERR_TOO_MANY_RECIPIENTS");
  });

  it("never loses its last recipient", async () => {
    const message = await sealed(SHORT, [alice.recipient]);
    expect(await codeOf(rewrapped(message, { ...toBob, add: [] }))).toBe("ERR_NO_RECIPIENTS");
  });

  it("is refused in a mail", async () => {
    const recipients = [alice.recipient];
    const seals = await sealMessage(SHORT, { recipients, format: "cms", cms: { smime: {} } });
    expect(await codeOf(rewrapped(await seals.mail().bytes(), toBob))).toBe("ERR_REWRAP");
  });
});

/** The RecipientInfos of a message in DER. */
function recipientInfos(message: Uint8Array): Uint8Array[] {
  const { set } = fieldsOf(message);
  const infos = new DerReader(set, "recipients").constructed(TAG.set);
  const found: Uint8Array[] = [];
  while (infos.peek() !== undefined) found.push(infos.any());
  return found;
}

function fieldsOf(message: Uint8Array) {
  const outer = new DerReader(message, "message").sequence();
  const type = outer.any();
  const envelope = outer.constructed(0xa0).sequence();
  const version = envelope.any();
  const set = envelope.any();
  const rest: Uint8Array[] = [];
  while (envelope.peek() !== undefined) rest.push(envelope.any());
  return { type, version, set, rest };
}

function withInfos(message: Uint8Array, infos: readonly Uint8Array[]): Uint8Array {
  const { type, version, rest } = fieldsOf(message);
  const envelope = der(TAG.sequence, version, der(TAG.set, ...infos), ...rest);
  return der(TAG.sequence, type, der(0xa0, envelope));
}

/** A KeyAgreeRecipientInfo with copies of its recipient's entry under another's name. */
function withMore(info: Uint8Array, count: number): Uint8Array {
  const fields = new DerReader(info, "recipient").constructed(0xa1);
  const parts: Uint8Array[] = [];
  while (fields.peek() !== undefined) parts.push(fields.any());
  const last = new DerReader(parts.pop() as Uint8Array, "keys").sequence();
  const own = last.any();
  const key = new DerReader(own, "key").sequence();
  const name = key.any();
  const wrapped = key.any();
  const copies = Array<Uint8Array>(count).fill(der(TAG.sequence, renamed(name), wrapped));
  return der(0xa1, ...parts, der(TAG.sequence, own, ...copies));
}

/** IssuerAndSerialNumber with another serial number of the same length. */
function renamed(name: Uint8Array): Uint8Array {
  const copy = new Uint8Array(name);
  copy[copy.length - 1] = (copy[copy.length - 1] ?? 0) ^ 0x55;
  return copy;
}
