/**
 * An agent that may sign, at a real socket: what it signs, and all that it does not. Operations are
 * counted where the private keys are.
 */
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, it } from "@jest/globals";
import type { AgentOptions } from "../../src/agent/agent.js";
import { AgentClient } from "../../src/agent/client.js";
import { forwardingServer } from "../../src/agent/forwarding.js";
import type { Purpose } from "../../src/agent/use.js";
import { listenAt } from "../../src/agent/listening.js";
import { ascii, concat, equal, toHex, u32 } from "../../src/bytes.js";
import { openMessage, sealMessage } from "../../src/envelope/messages.js";
import { encodeCore, type SignedClaims } from "../../src/envelope/native/core.js";
import { encodeSignedPart, readSignedPart } from "../../src/envelope/native/header.js";
import { addresseeTag } from "../../src/envelope/native/signature.js";
import type { CoreSigner, Sender } from "../../src/envelope/seal-options.js";
import type { SigningPublicKey } from "../../src/keys/key.js";
import { verifySignature } from "../../src/keys/signing.js";
import { addEntry } from "../../src/records/directory/directory-file.js";
import { Reader } from "../../src/stream.js";
import { agentAtSocket, type AgentAtSocket } from "../support/agent-at-socket.js";
import { PIN, type FakeTokens } from "../support/fake-tokens.js";
import { identityOf, recipientOf, senderOf } from "../support/identities.js";
import { mutated, Random } from "../support/mutate.js";
import { scaled } from "../support/scale.js";
import { codeOf } from "../support/streams.js";

type SignerName = "p384" | "rsa3072" | "ed25519";

const uriOf = (object: string): string => `pkcs11:token=fake;object=${object}`;

let running: AgentAtSocket | undefined;
let client: AgentClient;
let tokens: FakeTokens;
let asked: readonly Purpose[];

async function begin(options: Partial<AgentOptions> = {}): Promise<AgentAtSocket> {
  running = await agentAtSocket({ allows: ["sign"], ...options });
  ({ client, tokens, asked } = running);
  return running;
}

afterEach(() => running?.end());

/** A sender whose key the agent has. */
function agentsSender(name: SignerName, createdMs = Date.now()): Sender {
  const key: CoreSigner = { signCore: (core) => client.sign(core, uriOf(name)) };
  return { ...senderOf(name), createdMs, key };
}

/** PRELUDE ‖ CORE of a message that was about to be signed. */
async function coreBy(name: SignerName, createdMs = Date.now()): Promise<Uint8Array> {
  let seen: Uint8Array | undefined;
  const key: CoreSigner = {
    signCore: ({ bytes }) => {
      seen = bytes;
      return Promise.reject(new RangeError("enough was seen"));
    },
  };
  const sender = { ...senderOf(name), createdMs, key };
  const sealing = sealMessage([], { recipients: [recipientOf("p256")], sender });
  await sealing.catch(() => undefined);
  if (seen === undefined) throw new TypeError("nothing was to be signed");
  return seen;
}

/** The same with other claims. */
async function changed(
  core: Uint8Array,
  change: (claims: SignedClaims, messageId: Uint8Array) => Partial<SignedClaims>,
): Promise<Uint8Array> {
  const { messageId, claims } = (await readSignedPart(new Reader(core))).core;
  if (claims === undefined) throw new TypeError("claims were expected");
  return encodeSignedPart(18, { messageId, claims: { ...claims, ...change(claims, messageId) } });
}

const sign = (bytes: Uint8Array, name = "p384", format = "p11seal"): Promise<Uint8Array> =>
  client.sign({ format, bytes }, uriOf(name));

describe("an agent that may sign", () => {
  it.each(["p384", "rsa3072", "ed25519"] as const)(
    "signs a message with %s that its recipient opens, with one PIN and one operation each",
    async (name) => {
      await begin();
      for (let count = 1; count <= 3; count++) {
        const sender = agentsSender(name);
        const sealed = await sealMessage(ascii("content"), {
          recipients: [recipientOf("x25519")],
          sender,
        });
        const opened = await openMessage(await sealed.stream().bytes(), {
          identities: [identityOf("x25519")],
        });
        expect(opened.sender?.keyId).toBe(toHex(sender.publicKey.fingerprint));
        expect(Buffer.from(await opened.plaintext.bytes()).toString()).toBe("content");
        expect(tokens.operations()).toBe(count);
      }
      expect(tokens.sent).toEqual([PIN]);
    },
  );

  it("has a line in its log about each signature: the message, and the sender's key", async () => {
    const { log } = await begin();
    const sealed = await sealMessage([], {
      recipients: [recipientOf("p256")],
      sender: agentsSender("ed25519"),
    });
    const sender = toHex(senderOf("ed25519").publicKey.fingerprint);
    expect(await log()).toMatchObject([
      { event: "agent", outcome: "signed", messageId: sealed.messageId, sender, tokenSerial: "1" },
    ]);
    expect((await log())[0]).not.toHaveProperty("recipient");
  });

  it("tells the key that a URI names, and logs in only when asked to", async () => {
    await begin();
    const found = await client.signer(uriOf("ed25519"));
    expect(found?.name).toBe(uriOf("ed25519"));
    expect(found?.publicKey.spki).toEqual(senderOf("ed25519").publicKey.spki);
    expect([asked.length, tokens.operations()]).toEqual([0, 0]);
    await client.signer(uriOf("ed25519"), { unlock: true });
    await client.signer(uriOf("ed25519"), { unlock: true });
    expect([asked.length, tokens.operations()]).toEqual([1, 0]);
    expect((await client.status()).tokens).toMatchObject([{ unlocked: true, uses: 0 }]);
  });

  it("tells a person how many recipients there are, and the names of those that it knows", async () => {
    const questions: Purpose[] = [];
    const { home } = await begin({
      confirm: (_key, purpose) => {
        questions.push(purpose);
        return Promise.resolve();
      },
    });
    const { publicKey } = recipientOf("p256");
    const entry = { name: "zoe", publicKey, source: "zoe.pem", addedMs: 0 };
    await addEntry(home, "recipients", entry);
    const recipients = [recipientOf("p256"), recipientOf("x25519")];
    await client.signer(uriOf("p384"), { unlock: true });
    expect(questions).toHaveLength(0);
    const { messageId } = await sealMessage([], { recipients, sender: agentsSender("p384") });
    const addressees = 'for 2 recipients: "zoe", 1 without a name here';
    expect(questions).toMatchObject([{ act: "sign", message: { messageId, addressees } }]);
  });

  it("signs nothing that a person refuses", async () => {
    const refusal = new RangeError("no");
    await begin({ confirm: () => Promise.reject(refusal) });
    expect(await codeOf(sign(await coreBy("p384")))).toBe("ERR_AGENT_FAULT");
    expect([asked.length, tokens.operations()]).toEqual([0, 0]);
  });

  it("opens nothing with a key that it signs with", async () => {
    await begin();
    const sealed = await sealMessage([], { recipients: [recipientOf("rsa3072")] });
    const header = { format: "p11seal", bytes: sealed.header };
    expect(await client.open(header)).toBeUndefined();
    expect(await client.open(header, { keys: [uriOf("rsa3072")] })).toBeUndefined();
    expect(tokens.operations()).toBe(0);
  });
});

describe("no signature", () => {
  it("is made by an agent that was not started for it, and its hello says so", async () => {
    await begin({ allows: [] });
    for (const kind of ["sign", "signer", "rewrap"]) {
      expect(client.capabilities).not.toContain(kind);
    }
    expect(await codeOf(client.signer(uriOf("p384")))).toBe("ERR_AGENT_REFUSED");
    expect(await codeOf(sign(await coreBy("p384")))).toBe("ERR_AGENT_REFUSED");
    expect(tokens.operations()).toBe(0);
  });

  it("comes through a socket for another host, whatever the agent may do", async () => {
    const { socket } = await begin();
    expect(client.capabilities).toContain("sign");
    const forwarded = forwardingServer({
      ...{ socket, host: "build", keys: ["pkcs11:token=fake"] },
      ...{ terminal: undefined, atReader: () => undefined },
    });
    const far = join(dirname(socket), "far.sock");
    const listening = await listenAt(far, forwarded.server);
    const host = (await AgentClient.at(far)) as AgentClient;
    try {
      expect(host.capabilities).toEqual(["open"]);
      expect(await codeOf(host.signer(uriOf("p384")))).toBe("ERR_AGENT_REFUSED");
      const core = { format: "p11seal", bytes: await coreBy("p384") };
      expect(await codeOf(host.sign(core, uriOf("p384")))).toBe("ERR_AGENT_REFUSED");
    } finally {
      host.close();
      forwarded.close();
      listening.remove();
    }
    expect(tokens.operations()).toBe(0);
  });

  it("is made with a key that opens messages, is not served, or is one of several", async () => {
    await begin({ uris: [{ object: "p384" }, { object: "p256" }] });
    for (const uri of [
      uriOf("p256"),
      uriOf("ed25519"),
      "pkcs11:token=fake",
      "pkcs11:token=other;object=p384",
      `${uriOf("p384")}?module-path=/other.so`,
      "p384",
    ]) {
      expect({ uri, found: await client.signer(uri) }).toEqual({ uri, found: undefined });
      const core = { format: "p11seal", bytes: await coreBy("p384") };
      expect(await codeOf(client.sign(core, uri))).toBe("ERR_KEY_NOT_FOUND");
    }
    expect([asked.length, tokens.operations()]).toEqual([0, 0]);
    expect(await sign(await coreBy("p384"))).toHaveLength(96);
  });

  it("is made of a description that names another sender than the key that signs", async () => {
    await begin();
    const core = await coreBy("ed25519");
    expect(await codeOf(sign(core, "p384"))).toBe("ERR_AGENT_CORE");
    expect([asked.length, tokens.operations()]).toEqual([0, 0]);
  });

  it.each([-3_600_000, -301_000, 301_000, 86_400_000])(
    "is made of one whose time is %d ms from now",
    async (ms) => {
      await begin();
      expect(await codeOf(sign(await coreBy("p384", Date.now() + ms)))).toBe("ERR_AGENT_CORE");
      expect(tokens.operations()).toBe(0);
      expect(await sign(await coreBy("p384", Date.now() + Math.sign(ms) * 60_000))).toHaveLength(
        96,
      );
    },
  );

  it("is made of one that was new when a person was asked, and no more when they answered", async () => {
    await begin({
      confirm: async () => {
        await new Promise((resolve) => setTimeout(resolve, 400));
      },
    });
    expect(await codeOf(sign(await coreBy("p384", Date.now() - 299_800)))).toBe("ERR_AGENT_CORE");
    expect(tokens.operations()).toBe(0);
  });

  it("is made of what would be refused by every reader", async () => {
    await begin();
    const core = await coreBy("p384");
    const { publicKey } = senderOf("p384");
    const description = core.subarray(16);
    const unsigned = encodeSignedPart(18, { messageId: new Uint8Array(16) });
    const other = encodeCore({
      ...(await readSignedPart(new Reader(core))).core,
      others: new Map([[70, Uint8Array.of(1)]]),
    });
    const cores: Readonly<Record<string, Uint8Array>> = {
      "a hash": new Uint8Array(48).fill(7),
      "the label and a hash": concat(ascii("p11seal/v1 core\0"), new Uint8Array(48)),
      "another label": concat(ascii("p11seal/v1 rewrap\0"), new Uint8Array(48)),
      "nothing but the prelude": core.subarray(0, 16),
      "a core alone": description,
      "a core that is cut": core.subarray(0, -1),
      "a core with something after it": concat(core, Uint8Array.of(0)),
      "a core without a sender": unsigned,
      "a core whose prelude says that nobody signs": core.map((byte, at) => (at === 11 ? 0 : byte)),
      "another version": core.map((byte, at) => (at === 8 ? 2 : byte)),
      "claims of a later version": concat(core.subarray(0, 12), u32(other.length), other),
      "an addressee twice": await changed(core, ({ addressees }) => ({
        addressees: [...addressees, ...addressees],
      })),
      "its own key as an addressee": await changed(core, ({ addressees }, messageId) => ({
        addressees: [...addressees, addresseeTag(messageId, publicKey)],
      })),
      "no addressee": await changed(core, () => ({ addressees: [] })),
      "a one-time key that anybody can sign for": await changed(core, () => ({
        oneTimeKey: Uint8Array.from([1, ...new Uint8Array(31)]),
      })),
      "a key id that is too short": await changed(core, ({ senderKeyId }) => ({
        senderKeyId: senderKeyId.subarray(1),
      })),
    };
    for (const [what, bytes] of Object.entries(cores)) {
      const code = await codeOf(sign(bytes));
      expect({ what, code }).toEqual({ what, code: expect.stringMatching(/^ERR_[A-Z_]+$/) });
      expect({ what, code }).not.toEqual({ what, code: "ERR_AGENT_FAULT" });
    }
    expect([asked.length, tokens.operations()]).toEqual([0, 0]);
    expect(await sign(core)).toHaveLength(96);
  });

  it("is made of anything in another format, or of what is signed in other places", async () => {
    await begin();
    const core = await coreBy("p384");
    for (const format of ["age", "cms", "capi", "jwe", "rewrap", "", "P11SEAL"]) {
      const code = await codeOf(sign(core, "p384", format));
      expect({ format, code }).toEqual({
        format,
        code: expect.stringMatching(/^ERR_(?:AGENT_FORMAT|FORMAT_UNKNOWN)$/),
      });
    }
    const sealed = await sealMessage([], {
      recipients: [recipientOf("p256")],
      sender: senderOf("p384"),
    });
    // A whole header, with the signature that it has; and signed attributes of CMS, in DER.
    expect(await codeOf(sign(sealed.header))).toBe("ERR_TRAILING");
    expect(await codeOf(sign(concat(Uint8Array.of(0x31, 0x20), new Uint8Array(32))))).toMatch(
      /^ERR_NOT_A_MESSAGE/,
    );
    expect(await codeOf(sign(ascii("# p11seal rules 1\n")))).toMatch(/^ERR_NOT_A_MESSAGE/);
    expect(tokens.operations()).toBe(0);
  });

  it("is made of a damaged core, unless it is another one that is whole", async () => {
    await begin();
    const core = await coreBy("p384");
    const { publicKey } = senderOf("p384");
    const random = new Random(29);
    const count = scaled(10_000, 400);
    let signed = 0;
    for (let tried = 0; tried < count; tried++) {
      const bytes = mutated([core], random);
      const before = tokens.operations();
      const signature = await sign(bytes).catch((error: unknown) => error as Error);
      if (signature instanceof Error) {
        expect(signature).toMatchObject({ code: expect.stringMatching(/^ERR_/) });
        expect((signature as Error & { code: string }).code).not.toBe("ERR_AGENT_FAULT");
        expect(tokens.operations()).toBe(before);
        continue;
      }
      // Other random values, and nothing else: each byte is one that a reader takes.
      signed += 1;
      const { core: read } = await readSignedPart(new Reader(bytes));
      expect(equal(read.claims?.senderKeyId as Uint8Array, publicKey.fingerprint)).toBe(true);
      expect(read.others).toBeUndefined();
      expect(verifies(publicKey, bytes, signature)).toBe(true);
    }
    expect(tokens.operations()).toBe(signed);
  }, 600_000);

  function verifies(key: SigningPublicKey, core: Uint8Array, signature: Uint8Array): boolean {
    const digest = createHash("sha384").update(core).digest();
    return verifySignature(key, concat(ascii("p11seal/v1 core\0"), digest), signature);
  }
});
