/**
 * An agent that re-wraps signed messages: whose record it makes, of what, and what its client takes
 * for one. Operations are counted where the private keys are.
 */
import { afterEach, describe, expect, it, jest } from "@jest/globals";
import type { AgentOptions } from "../../src/agent/agent.js";
import type { AgentClient } from "../../src/agent/client.js";
import type { Purpose } from "../../src/agent/use.js";
import { concat, toHex } from "../../src/bytes.js";
import type { WholeHeader } from "../../src/envelope/receiver.js";
import type { Custodian, RewrapOptions } from "../../src/envelope/rewrapping.js";
import { inspectMessage, openMessage } from "../../src/envelope/messages.js";
import { encodeExtensions, type Extension } from "../../src/envelope/native/header.js";
import type { RecordFields } from "../../src/envelope/native/rewrap-record.js";
import { rewrapMessage } from "../../src/envelope/rewrap-message.js";
import { addEntry } from "../../src/records/directory/directory-file.js";
import { agentAtSocket, type AgentAtSocket } from "../support/agent-at-socket.js";
import { PIN, type FakeTokens } from "../support/fake-tokens.js";
import { identityOf, recipientOf, senderOf } from "../support/identities.js";
import {
  allowed,
  custodianOf,
  openedText,
  parsed,
  recordFor,
  rewrapped,
  sealed,
  tagIn,
  TEXT,
} from "../support/rewrapped.js";
import { codeOf } from "../support/streams.js";

const uriOf = (object: string): string => `pkcs11:token=fake;object=${object}`;
const CUSTODIAN = uriOf("p384");

let running: AgentAtSocket | undefined;
let client: AgentClient;
let tokens: FakeTokens;

async function begin(options: Partial<AgentOptions> = {}): Promise<AgentAtSocket> {
  running = await agentAtSocket({ allows: ["rewrap"], ...options });
  ({ client, tokens } = running);
  return running;
}

afterEach(() => running?.end());

/** A custodian whose private half is nowhere but with the agent. */
function absent(name: Parameters<typeof custodianOf>[0] = "p384"): Custodian {
  const { publicKey } = custodianOf(name);
  const sign = (): Promise<never> => Promise.reject(new TypeError("signed without the agent"));
  return { publicKey, key: { publicKey, sign } };
}

/** Re-wraps by way of the agent alone: P-256 is added. */
function byAgent(
  whole: Uint8Array,
  options: Partial<RewrapOptions> = {},
  custodian: string | undefined = CUSTODIAN,
): Promise<Uint8Array> {
  return byWay(whole, (header, wanted) => client.rewrap(header, wanted, { custodian }), options);
}

async function byWay(
  whole: Uint8Array,
  way: (header: WholeHeader, options: RewrapOptions) => ReturnType<AgentClient["rewrap"]>,
  options: Partial<RewrapOptions> = {},
): Promise<Uint8Array> {
  const { header, oldHeaderBytes } = await rewrapMessage(whole, {
    identities: [],
    ...{ add: [recipientOf("p256")], remove: [], nowMs: Date.now(), passedOn: allowed() },
    ...{ custodian: absent(), rewrapped: way, ...options },
  });
  return concat(header, whole.subarray(oldHeaderBytes));
}

const headerOf = async (whole: Uint8Array): Promise<WholeHeader> => {
  const { transcript, mac } = await parsed(whole);
  const info = await inspectMessage(whole);
  return { format: "p11seal", bytes: concat(transcript, mac), info };
};

describe("an agent that re-wraps", () => {
  it.each([
    ["p384", "ed25519"],
    ["rsa3072", "ed25519"],
    ["ed25519", "p384"],
  ] as const)(
    "signs the record with %s of a message that %s signed, with one PIN for all",
    async (name, sender) => {
      await begin();
      const rulesHash = new Uint8Array(32).fill(9);
      for (let count = 1; count <= 2; count++) {
        const options = { custodian: absent(name), rulesHash };
        const whole = await byAgent(await sealed(senderOf(sender)), options, uriOf(name));
        expect(await openedText(whole, "p256")).toEqual(TEXT);
        const { passedOn } = await inspectMessage(whole);
        const keyId = toHex(custodianOf(name).publicKey.fingerprint);
        expect(passedOn).toMatchObject({ keyId, generation: 1, rulesHash: toHex(rulesHash) });
        // One to open the old header, one to sign.
        expect(tokens.operations()).toBe(2 * count);
      }
      expect(tokens.sent).toEqual([PIN]);
    },
  );

  it("continues an earlier record, and adds one to a message that nobody signed", async () => {
    await begin();
    const first = await rewrapped(await sealed(senderOf("ed25519")), {
      custodian: custodianOf("rsa4096"),
    });
    const second = await byAgent(first, { add: [], remove: [recipientOf("p256").publicKey] });
    expect((await inspectMessage(second)).passedOn).toMatchObject({ generation: 2 });
    const unsigned = await byAgent(await sealed());
    expect((await inspectMessage(unsigned)).passedOn).toMatchObject({ generation: 1 });
    expect(await openedText(unsigned, "p256")).toEqual(TEXT);
  });

  it("has a line in its log: the message, its sender, the key that opened it, the custodian", async () => {
    const { log } = await begin();
    const whole = await byAgent(await sealed(senderOf("ed25519")));
    const { messageId } = await inspectMessage(whole);
    const idOf = (name: Parameters<typeof custodianOf>[0]): string =>
      toHex(custodianOf(name).publicKey.fingerprint);
    expect(await log()).toMatchObject([
      {
        ...{ event: "agent", outcome: "rewrapped", messageId, sender: idOf("ed25519") },
        recipient: toHex(identityOf("rsa2048").publicKey.fingerprint),
        passedOn: { custodian: idOf("p384"), generation: 1 },
      },
    ]);
  });

  it.each(["re-wrap", "pass on"])(
    "is at the agent's own time, also if a person took long to answer about the %s",
    async (slow) => {
      const beganMs = Date.now();
      let laterMs = 0;
      const clock = jest.spyOn(Date, "now").mockImplementation(() => beganMs + laterMs);
      try {
        await begin({
          confirm: (_key, { act }) => {
            if (act === slow) laterMs = 900_000;
            return Promise.resolve();
          },
        });
        // The client's own is of no account.
        const whole = await byAgent(await sealed(senderOf("ed25519")), { nowMs: 1 });
        const { passedOn } = await inspectMessage(whole);
        expect(passedOn).toMatchObject({ rewrappedMs: beganMs + 900_000 });
      } finally {
        clock.mockRestore();
      }
    },
  );

  it("asks about both keys, and says who comes and who goes", async () => {
    const questions: Purpose[] = [];
    const { home } = await begin({
      confirm: (_key, purpose) => {
        questions.push(purpose);
        return Promise.resolve();
      },
    });
    const { publicKey } = recipientOf("p256");
    await addEntry(home, "recipients", { name: "zoe", publicKey, source: "z", addedMs: 0 });
    await byAgent(await sealed(senderOf("ed25519")), {
      remove: [recipientOf("rsa2048").publicKey],
    });
    const addressees = 'adds 1, removes 1 (adds "zoe"; removes 1 without a name here)';
    const sender = expect.objectContaining({
      keyId: toHex(senderOf("ed25519").publicKey.fingerprint),
    });
    expect(questions).toMatchObject([
      { act: "re-wrap", message: { addressees, sender } },
      { act: "pass on", message: { addressees, sender } },
    ]);
  });
});

describe("no record", () => {
  it("is made by an agent that may only sign, and no signature by one that may only re-wrap", async () => {
    await begin({ allows: ["sign"] });
    const whole = await sealed(senderOf("ed25519"));
    expect(await codeOf(byAgent(whole))).toBe("ERR_AGENT_REFUSED");
    await running?.end();
    await begin();
    expect(client.capabilities).not.toContain("sign");
    const core = { format: "p11seal", bytes: (await parsed(whole)).signedPart };
    expect(await codeOf(client.sign(core, CUSTODIAN))).toBe("ERR_AGENT_REFUSED");
    expect(tokens.operations()).toBe(0);
  });

  it("is made with a key that is not served to sign", async () => {
    await begin({ uris: [{ object: "p384" }, { object: "x25519" }] });
    const header = await headerOf(await sealed(senderOf("ed25519")));
    const wanted = { add: [recipientOf("p256")], remove: [], nowMs: Date.now() };
    for (const custodian of [uriOf("x25519"), uriOf("rsa3072"), "pkcs11:token=fake", "p384"]) {
      const made = await client.rewrap(header, { ...wanted, custodian: absent() }, { custodian });
      expect({ custodian, made }).toEqual({ custodian, made: undefined });
    }
    expect(tokens.operations()).toBe(0);
  });

  it("is made of a header that is not authentic", async () => {
    const { log } = await begin();
    const { bytes, ...header } = await headerOf(await sealed(senderOf("ed25519")));
    const changed = bytes.slice();
    changed[bytes.length - 1] = (bytes[bytes.length - 1] as number) ^ 1;
    const wanted = { add: [recipientOf("p256")], remove: [], nowMs: Date.now() };
    const rewrapping = client.rewrap(
      { ...header, bytes: changed },
      { ...wanted, custodian: absent() },
      { custodian: CUSTODIAN },
    );
    expect(await codeOf(rewrapping)).toBe("ERR_NOT_AUTHENTIC");
    expect(tokens.operations()).toBe(1);
    expect(await log()).toMatchObject([{ outcome: "ERR_NOT_AUTHENTIC" }]);
  });

  it("is made with the key that signed the message", async () => {
    await begin();
    const header = await headerOf(await sealed(senderOf("p384")));
    const wanted = { add: [recipientOf("p256")], remove: [], nowMs: Date.now() };
    const rewrapping = client.rewrap(header, wanted, { custodian: CUSTODIAN });
    expect(await codeOf(rewrapping)).toBe("ERR_SAME_KEY");
    expect(tokens.operations()).toBe(0);
  });
});

describe("a client", () => {
  const nowMs = Date.now();
  const custodian = custodianOf("p384");
  const openedBy = { publicKey: identityOf("x25519").publicKey, name: "liar" };

  /** What becomes of an honest re-wrapping in whose place somebody puts another header. */
  async function replaced(
    whole: Uint8Array,
    lie: (honest: Uint8Array) => Promise<Uint8Array>,
    options: Partial<RewrapOptions> = {},
  ): Promise<string | undefined> {
    const wanted = { custodian, nowMs, ...options };
    const honest = await rewrapped(whole, wanted);
    const { bytes } = await headerOf(await lie(honest));
    const way = () => Promise.resolve({ header: bytes, openedBy, nowMs });
    return codeOf(byWay(whole, way, wanted));
  }

  /** The same header with another record in place of the one that it has. */
  async function withRecord(
    whole: Uint8Array,
    change: (extensions: readonly Extension[]) => Promise<readonly Extension[]>,
  ): Promise<Uint8Array> {
    const header = await parsed(whole);
    const { immutablePart, transcript, recipsBlock, mac } = header;
    const body = whole.subarray(transcript.length + mac.length);
    const ext = encodeExtensions(await change(header.extensions));
    return concat(immutablePart, ext, recipsBlock, mac, body);
  }

  it("takes an honest header, with a record and without", async () => {
    const whole = await sealed(senderOf("ed25519"));
    expect(await replaced(whole, (honest) => Promise.resolve(honest))).toBeUndefined();
    const before = { custodian, nowMs: nowMs - 299_000 };
    expect(await replaced(whole, () => rewrapped(whole, before))).toBeUndefined();
    const unsigned = await sealed();
    const none = { custodian: undefined };
    expect(await replaced(unsigned, (honest) => Promise.resolve(honest), none)).toBeUndefined();
  });

  it("refuses one whose record differs from what it asked for, in anything", async () => {
    const whole = await sealed(senderOf("ed25519"));
    const again = (options: Partial<RewrapOptions>) => (): Promise<Uint8Array> =>
      rewrapped(whole, { custodian, nowMs, ...options });
    const lies: Readonly<Record<string, (honest: Uint8Array) => Promise<Uint8Array>>> = {
      "another custodian": again({ custodian: custodianOf("rsa4096") }),
      "a time of the past": again({ nowMs: nowMs - 301_000 }),
      "a time to come": again({ nowMs: nowMs + 301_000 }),
      "rules that nobody named": again({ rulesHash: new Uint8Array(32) }),
      "one more recipient": again({ add: [recipientOf("p256"), recipientOf("rsa3072")] }),
      "one recipient less": again({ remove: [recipientOf("rsa2048").publicKey] }),
      "no record": (honest) =>
        withRecord(honest, (all) => Promise.resolve(all.filter(({ type }) => type !== 0x8001))),
    };
    for (const [what, lie] of Object.entries(lies)) {
      expect({ what, code: await replaced(whole, lie) }).toEqual({
        ...{ what, code: "ERR_NOT_AUTHENTIC" },
      });
    }
  });

  it("refuses one in whose record a single field differs, under the custodian's signature", async () => {
    const whole = await sealed(senderOf("ed25519"));
    const fields: readonly ((honest: Uint8Array) => Promise<Partial<RecordFields>>)[] = [
      () => Promise.resolve({ generation: 2 }),
      () => Promise.resolve({ previous: new Uint8Array(32) }),
      () => Promise.resolve({ rewrappedMs: nowMs - 301_000 }),
      () => Promise.resolve({ rulesHash: new Uint8Array(32) }),
      async (honest) => ({ addressees: [tagIn(await parsed(honest), openedBy.publicKey)] }),
    ];
    for (const [at, change] of fields.entries()) {
      const lie = async (honest: Uint8Array): Promise<Uint8Array> => {
        const before = (await parsed(honest)).extensions.find(({ type }) => type === 0x8001);
        const record = await recordFor(honest, custodian, {
          ...(await fieldsOf(whole, honest)),
          ...(await change(honest)),
        });
        return withRecord(honest, (all) =>
          Promise.resolve(all.map((one) => (one === before || one.type === 0x8001 ? record : one))),
        );
      };
      expect({ at, code: await replaced(whole, lie) }).toEqual({ at, code: "ERR_NOT_AUTHENTIC" });
    }
  });

  it("refuses a record of a message for which it wanted none", async () => {
    const whole = await sealed();
    const lie = (): Promise<Uint8Array> => rewrapped(whole, { custodian, nowMs });
    expect(await replaced(whole, lie, { custodian: undefined })).toBe("ERR_NOT_AUTHENTIC");
  });

  it("signs by itself what its agent has no key for", async () => {
    const whole = await sealed(senderOf("ed25519"));
    const { header, oldHeaderBytes } = await rewrapMessage(whole, {
      ...{ identities: [identityOf("x25519")], add: [recipientOf("p256")], remove: [] },
      ...{ nowMs, custodian, rewrapped: () => Promise.resolve(undefined) },
    });
    const opened = await openMessage(concat(header, whole.subarray(oldHeaderBytes)), {
      ...{ identities: [identityOf("p256")], passedOn: allowed() },
    });
    expect(opened.sender?.passedOn?.generation).toBe(1);
  });

  /** The fields of the honest record. */
  async function fieldsOf(whole: Uint8Array, honest: Uint8Array): Promise<Partial<RecordFields>> {
    const { createHash } = await import("node:crypto");
    const old = await parsed(whole);
    const replacedPart = concat(old.transcript.subarray(old.immutablePart.length), old.mac);
    const keys = ["x25519", "rsa2048", "p256"] as const;
    const header = await parsed(honest);
    return {
      ...{ rewrappedMs: nowMs, generation: 1 },
      previous: new Uint8Array(createHash("sha256").update(replacedPart).digest()),
      addressees: keys.map((name) => tagIn(header, identityOf(name).publicKey)),
    };
  }
});
