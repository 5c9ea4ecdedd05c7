import { describe, expect, it } from "@jest/globals";
import { generateKeyPairSync, createPrivateKey } from "node:crypto";
import { ascii, concat, equal, toHex } from "../../src/bytes.js";
import {
  formatPhase2,
  generateSessionKey,
  parsePhase2,
  phase1Id,
  softwareRsaKey,
  ThreePhase,
  wrapSessionKey,
  type KeyPadding,
  type Phase2,
  type Terms,
} from "../../src/capi/index.js";
import { AuthenticationError } from "../../src/errors.js";
import { Secret } from "../../src/secret.js";
import { alice, bob, codeOf, counted } from "./support.js";

const aliceParty = { name: "alice", publicKey: alice.publicKey };
const bobParty = { name: "bob", publicKey: bob.publicKey };
const agreed = { algorithm: "aes256", hash: "sha256", padding: "pkcs1" } as const;
/** Alice sends, Bob receives. */
const senderTerms: Terms = { ...agreed, own: aliceParty, peer: bobParty };
const receiverTerms: Terms = { ...agreed, own: bobParty, peer: aliceParty };

/** A run up to its second message. */
async function begun(more: Partial<Terms> = {}) {
  const { run: sender, phase1 } = ThreePhase.begin({ ...senderTerms, ...more });
  const { run: receiver, phase2 } = await ThreePhase.answer(
    { ...receiverTerms, ...more },
    phase1,
    bob,
  );
  return { sender, phase1, receiver, phase2 };
}

async function keysOf(run: ThreePhase, key: typeof alice): Promise<string[]> {
  const { keyA, keyB } = await run.keys(key);
  return [toHex(keyA.bytes.expose()), toHex(keyB.bytes.expose())];
}

/** As through files: only bytes are passed on. */
const throughFile = (run: ThreePhase) => ThreePhase.resume(run.serialize());

describe("a three-phase run", () => {
  it.each<[KeyPadding, Terms["algorithm"], Terms["hash"]]>([
    ["pkcs1", "aes256", "sha1"],
    ["oaep", "aes128", "sha256"],
    ["pkcs1", "3des", "sha512"],
    ["oaep", "rc4", "sha384"],
  ])("ends with the same two keys on both sides: %s, %s, %s", async (padding, algorithm, hash) => {
    const more = { padding, algorithm, hash };
    const { run: sender, phase1 } = ThreePhase.begin({ ...senderTerms, ...more });
    const answer = await ThreePhase.answer({ ...receiverTerms, ...more }, phase1, bob);
    const phase2 = parsePhase2(formatPhase2(answer.phase2), sender.terms);

    const resumed = throughFile(sender);
    expect(resumed.status).toBe("awaiting phase 2");
    const phase3 = await resumed.confirm(phase2, alice);
    const receiver = throughFile(answer.run);
    expect(receiver.status).toBe("awaiting phase 3");
    await receiver.finish(phase3, bob);

    const keys = await keysOf(throughFile(resumed), alice);
    expect(await keysOf(throughFile(receiver), bob)).toEqual(keys);
    expect(keys[0]).not.toBe(keys[1]);
    expect([resumed.role, receiver.role]).toEqual(["sender", "receiver"]);
  });

  it("keeps no key in the clear, in any of its files", async () => {
    const { sender, receiver, phase2 } = await begun();
    const states = [sender.serialize(), receiver.serialize()];
    const phase3 = await sender.confirm(phase2, alice);
    await receiver.finish(phase3, bob);
    states.push(sender.serialize(), receiver.serialize());
    for (const key of await keysOf(sender, alice)) {
      const bytes = Buffer.from(key, "hex");
      for (const state of states) {
        const text = Buffer.from(state);
        for (const form of [bytes, key, bytes.toString("base64").slice(0, 40)]) {
          expect(text.includes(form)).toBe(false);
        }
      }
    }
  });

  it("gives its keys as blobs under the own key", async () => {
    const { sender, receiver, phase2 } = await begun();
    expect(await codeOf(() => sender.blobs)).toBe("ERR_PHASE");
    expect(await codeOf(() => receiver.keys(bob))).toBe("ERR_PHASE");
    await receiver.finish(await sender.confirm(phase2, alice), bob);
    expect(sender.blobs.keyA.length).toBe(12 + 384);
    expect(receiver.blobs.keyB.length).toBe(12 + 256);
  });

  it("takes names as bytes where the other side hashes something else", async () => {
    const utf16 = (name: string) => new Uint8Array(Buffer.from(name, "utf16le"));
    const [a, b] = [
      { ...aliceParty, name: utf16("Älice") },
      { ...bobParty, name: utf16("bob") },
    ];
    const { sender, receiver, phase2 } = await begunWith(
      { ...agreed, own: a, peer: b },
      { ...agreed, own: b, peer: a },
    );
    await receiver.finish(await throughFile(sender).confirm(phase2, alice), bob);
    expect(receiver.status).toBe("complete");
  });
});

async function begunWith(forSender: Terms, forReceiver: Terms) {
  const { run: sender, phase1 } = ThreePhase.begin(forSender);
  const { run: receiver, phase2 } = await ThreePhase.answer(forReceiver, phase1, bob);
  return { sender, phase1, receiver, phase2 };
}

describe("a mismatch", () => {
  it.each<[string, (phase2: Phase2) => Phase2 | Promise<Phase2>]>([
    ["an altered hash", ({ blob, hash }) => ({ blob, hash: flipped(hash, 0) })],
    ["an altered blob", ({ blob, hash }) => ({ blob: flipped(blob, 100), hash })],
    [
      "another key B",
      ({ hash }) => ({ blob: wrapSessionKey(generateSessionKey("aes256"), alice.publicKey), hash }),
    ],
    ["the second message of another run", async () => (await begun()).phase2],
    ["the blob of another run", async ({ hash }) => ({ blob: (await begun()).phase2.blob, hash })],
  ])("in the second message, %s, ends the run with one error", async (_what, change) => {
    const { sender, phase2 } = await begun();
    const changed = await change(phase2);
    expect(await refusal(() => sender.confirm(changed, alice))).toEqual(await anyMismatch());
    expect(sender.status).toBe("ended");
    // The true answer comes too late, even after a restart.
    for (const run of [sender, throughFile(sender)]) {
      expect(await codeOf(() => run.confirm(phase2, alice))).toBe("ERR_REPLAYED");
      expect(await codeOf(() => run.keys(alice))).toBe("ERR_PHASE");
    }
  });

  it("in the third message ends the receiver's run", async () => {
    const { sender, receiver, phase2 } = await begun();
    const phase3 = await sender.confirm(phase2, alice);
    expect(await refusal(() => receiver.finish(flipped(phase3, 31), bob))).toEqual(
      await anyMismatch(),
    );
    expect(receiver.status).toBe("ended");
    expect(await codeOf(() => receiver.finish(phase3, bob))).toBe("ERR_REPLAYED");
    expect(await codeOf(() => receiver.keys(bob))).toBe("ERR_PHASE");
  });

  it.each<[string, Partial<Terms>]>([
    ["the own name", { own: { ...bobParty, name: "Bob" } }],
    ["the other's name", { peer: { ...aliceParty, name: "Alice" } }],
    ["the padding", { padding: "oaep" }],
  ])("in what was agreed, %s, is found by the sender", async (_what, other) => {
    const { sender, phase2 } = await begunWith(senderTerms, { ...receiverTerms, ...other });
    expect(await codeOf(() => sender.confirm(phase2, alice))).toBe("ERR_PHASE_HASH");
  });

  it("with a stranger who has the receiver's public key alone: no keys", async () => {
    // Mallory answers in Bob's place, without key A.
    const { run: sender } = ThreePhase.begin(senderTerms);
    const phase2 = {
      blob: wrapSessionKey(generateSessionKey("aes256"), alice.publicKey),
      hash: new Uint8Array(32),
    };
    expect(await codeOf(() => sender.confirm(phase2, alice))).toBe("ERR_PHASE_HASH");
  });

  it("a first message that doesn't decrypt is answered like any other", async () => {
    const rejectionSecret = new Secret(new Uint8Array(32).fill(4));
    const { phase1 } = ThreePhase.begin(senderTerms);
    for (const bytes of [phase1, flipped(phase1, 60), unreversed(phase1)]) {
      const { run, phase2 } = await ThreePhase.answer(receiverTerms, bytes, bob, {
        rejectionSecret,
      });
      expect(run.status).toBe("awaiting phase 3");
      expect([phase2.blob.length, phase2.hash.length]).toEqual([12 + 384, 32]);
    }
  });
});

describe("a message that comes twice", () => {
  it("is refused by the sender", async () => {
    const { sender, phase2 } = await begun();
    await sender.confirm(phase2, alice);
    expect(await codeOf(() => sender.confirm(phase2, alice))).toBe("ERR_REPLAYED");
    expect(await codeOf(() => throughFile(sender).confirm(phase2, alice))).toBe("ERR_REPLAYED");
    expect(sender.status).toBe("complete");
  });

  it("is refused by the receiver", async () => {
    const { sender, receiver, phase2 } = await begun();
    const phase3 = await sender.confirm(phase2, alice);
    await receiver.finish(phase3, bob);
    expect(await codeOf(() => receiver.finish(phase3, bob))).toBe("ERR_REPLAYED");
    expect(receiver.status).toBe("complete");
  });

  it("from another run doesn't fit", async () => {
    const [first, second] = [await begun(), await begun()];
    expect(await codeOf(() => second.sender.confirm(first.phase2, alice))).toBe("ERR_PHASE_HASH");
    const phase3 = await first.sender.confirm(first.phase2, alice);
    expect(await codeOf(() => second.receiver.finish(phase3, bob))).toBe("ERR_PHASE_HASH");
  });

  it("as a first message is refused by who remembers it, before the key is used", async () => {
    const seen = new Set<string>();
    const reserve = (id: string) => {
      const fresh = !seen.has(id);
      seen.add(id);
      return Promise.resolve(fresh);
    };
    const { phase1 } = ThreePhase.begin(senderTerms);
    await ThreePhase.answer(receiverTerms, phase1, bob, { reserve });
    expect([...seen]).toEqual([phase1Id(phase1)]);
    const key = counted(bob);
    expect(await codeOf(() => ThreePhase.answer(receiverTerms, phase1, key, { reserve }))).toBe(
      "ERR_REPLAYED",
    );
    expect(key.calls).toEqual([]);
  });

  it("as a first message, to who doesn't remember, starts a run that cannot be finished with old messages", async () => {
    const { sender, phase1, phase2 } = await begun();
    const phase3 = await sender.confirm(phase2, alice);
    const again = await ThreePhase.answer(receiverTerms, phase1, bob);
    expect(await codeOf(() => again.run.finish(phase3, bob))).toBe("ERR_PHASE_HASH");
  });
});

describe("what is no message of the run", () => {
  it.each<[string, (phase2: Phase2) => Phase2, string]>([
    ["a short hash", ({ blob, hash }) => ({ blob, hash: hash.subarray(1) }), "ERR_PHASE_HASH"],
    ["a blob under another key's size", ({ hash }) => ({ blob: forBob, hash }), "ERR_NO_MATCH"],
    ["a blob of another cipher", ({ hash }) => ({ blob: aes128, hash }), "ERR_BLOB"],
    ["no blob", ({ hash }) => ({ blob: hash, hash }), "ERR_BLOB"],
  ])("%s is refused before the key is used, and the run goes on", async (_what, change, code) => {
    const { sender, phase2 } = await begun();
    const key = counted(alice);
    expect(await codeOf(() => sender.confirm(change(phase2), key))).toBe(code);
    expect(key.calls).toEqual([]);
    await sender.confirm(phase2, alice);
    expect(sender.status).toBe("complete");
  });

  it("the wrong side's step is refused", async () => {
    const { sender, receiver, phase2 } = await begun();
    expect(await codeOf(() => receiver.confirm(phase2, bob))).toBe("ERR_PHASE");
    expect(await codeOf(() => sender.finish(new Uint8Array(32), alice))).toBe("ERR_PHASE");
  });

  it("another private key than the run's own is refused", async () => {
    const { sender, phase1, phase2 } = await begun();
    expect(await codeOf(() => sender.confirm(phase2, bob))).toBe("ERR_PARTY");
    expect(await codeOf(() => ThreePhase.answer(receiverTerms, phase1, alice))).toBe("ERR_PARTY");
  });

  it.each<[string, Partial<Terms>, string]>([
    ["one name for both", { peer: { ...bobParty, name: "alice" } }, "ERR_PARTY"],
    ["one key for both", { peer: { ...aliceParty, name: "bob" } }, "ERR_SAME_KEY"],
    ["an empty name", { peer: { ...bobParty, name: "" } }, "ERR_PARTY"],
    ["a name too long", { peer: { ...bobParty, name: "b".repeat(257) } }, "ERR_PARTY"],
    ["a name outside ASCII", { peer: { ...bobParty, name: "Bøb" } }, "ERR_PARTY"],
    ["a name with a line break", { peer: { ...bobParty, name: "b\nb" } }, "ERR_PARTY"],
  ])("%s is refused at the start", async (_what, other, code) => {
    expect(await codeOf(() => ThreePhase.begin({ ...senderTerms, ...other }))).toBe(code);
  });

  it("a weak key of the other side is refused unless asked for", async () => {
    const { privateKey } = generateKeyPairSync("rsa", {
      modulusLength: 1024,
      privateKeyEncoding: { type: "pkcs8", format: "der" },
      publicKeyEncoding: { type: "spki", format: "der" },
    });
    const key = createPrivateKey({ key: privateKey, format: "der", type: "pkcs8" });
    const peer = { name: "bob", publicKey: softwareRsaKey(key).publicKey };
    const terms = { ...senderTerms, peer };
    expect(await codeOf(() => ThreePhase.begin(terms))).toBe("ERR_WEAK_KEY");
    expect(ThreePhase.begin(terms, { allowWeak: true }).run.status).toBe("awaiting phase 2");
  });
});

describe("a run's file", () => {
  it("is refused when anything in it is damaged, and quotes none of it", async () => {
    const { run } = ThreePhase.begin(senderTerms);
    const text = Buffer.from(run.serialize()).toString();
    for (const [from, to] of [
      ["three-phase run 1", "three-phase run 2"],
      ['"sender"', '"receiver"'],
      ['"sender"', '"admin"'],
      ["awaiting phase 2", "awaiting phase 3"],
      ["awaiting phase 2", "complete"],
      ['"aes256"', '"aes512"'],
      ['"sha256"', '"md5"'],
      ['"keyA": "AQIA', '"keyA": "AgIA'],
      ["}", '},"more": 1'],
      ["\n}\n", "\n}"],
      ["{", "["],
      ["{", ""],
    ] as const) {
      const damaged = text.replace(from, to);
      expect(damaged).not.toBe(text);
      expect(await codeOf(() => ThreePhase.resume(ascii(damaged)))).toBe("ERR_STATE");
    }
    for (const bytes of [new Uint8Array(0), ascii("null\n"), concat(ascii(text), ascii(text))]) {
      expect(await codeOf(() => ThreePhase.resume(bytes))).toBe("ERR_STATE");
    }
    expect(await codeOf(() => ThreePhase.resume(new Uint8Array(70_000).fill(32)))).toBe(
      "ERR_STATE",
    );
  });

  it("comes back as it went", async () => {
    const { sender, receiver, phase2 } = await begun();
    await sender.confirm(phase2, alice);
    for (const run of [sender, receiver]) {
      expect(equal(throughFile(run).serialize(), run.serialize())).toBe(true);
    }
  });

  it("with other keys put into it makes the run end, not agree", async () => {
    const { sender, phase2 } = await begun();
    const own = wrapSessionKey(generateSessionKey("aes256"), alice.publicKey);
    const state = JSON.parse(Buffer.from(sender.serialize()).toString()) as object;
    const forged = { ...state, keyA: Buffer.from(own).toString("base64") };
    const run = ThreePhase.resume(ascii(`${JSON.stringify(forged, undefined, 2)}\n`));
    expect(await codeOf(() => run.confirm(phase2, alice))).toBe("ERR_PHASE_HASH");
  });
});

const forBob = wrapSessionKey(generateSessionKey("aes256"), bob.publicKey);
const aes128 = wrapSessionKey(generateSessionKey("aes128"), alice.publicKey);

/** What a caller sees of a failure. */
async function refusal(act: () => Promise<unknown>): Promise<unknown> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof AuthenticationError)) throw error;
    const { code, message, hint } = error;
    return { code, message, hint };
  }
}

async function anyMismatch(): Promise<unknown> {
  const { sender, phase2 } = await begun();
  const altered = { blob: phase2.blob, hash: flipped(phase2.hash, 5) };
  const seen = await refusal(() => sender.confirm(altered, alice));
  expect(seen).toMatchObject({ code: "ERR_PHASE_HASH" });
  return seen;
}

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = bytes.slice();
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

function unreversed(blob: Uint8Array): Uint8Array {
  return concat(blob.subarray(0, 12), blob.slice(12).reverse());
}
