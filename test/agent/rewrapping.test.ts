/** An agent that re-wraps what nobody signed, and what its client takes for a new header. */
import { afterEach, describe, expect, it } from "@jest/globals";
import { ascii, concat, u32 } from "../../src/bytes.js";
import type { AgentOptions } from "../../src/agent/agent.js";
import type { AgentClient } from "../../src/agent/client.js";
import { inspectMessage, openMessage, sealMessage } from "../../src/envelope/messages.js";
import { rewrapMessage, type RewrapMessageOptions } from "../../src/envelope/rewrap-message.js";
import {
  agentAtSocket,
  EXCHANGE_KEYS,
  headerFor,
  type AgentAtSocket,
} from "../support/agent-at-socket.js";
import type { FakeTokens } from "../support/fake-tokens.js";
import { hybridIdentityOf, NATIVE_HYBRID_KEMS } from "../support/hybrid.js";
import { identityOf, recipientOf, senderOf } from "../support/identities.js";
import { codeOf } from "../support/streams.js";

let running: AgentAtSocket;
let client: AgentClient;
let tokens: FakeTokens;

async function begin(options: Partial<AgentOptions> = {}): Promise<void> {
  running = await agentAtSocket(options, EXCHANGE_KEYS);
  ({ client, tokens } = running);
}

afterEach(() => running.end());

describe("re-wrapping", () => {
  const change = {
    add: [recipientOf("p256")],
    remove: [recipientOf("rsa2048").publicKey],
    nowMs: 0,
  };

  it("is refused unless it was allowed, whatever the client says", async () => {
    await begin();
    const header = await headerFor("rsa2048");
    expect(client.capabilities).not.toContain("rewrap");
    expect(await codeOf(client.rewrap(header, change))).toBe("ERR_AGENT_REFUSED");
    expect(tokens.operations()).toBe(0);
  });

  it.each(["p11seal", "age"] as const)(
    "makes a whole header in %s, with one PIN",
    async (format) => {
      await begin({ allows: ["rewrap"] });
      const add = [recipientOf("x25519"), recipientOf("p256")];
      const sealed = await sealMessage(Buffer.from("content"), {
        recipients: [recipientOf("p256")],
        format,
      });
      const body = await sealed.body.bytes();
      const made = await rewrapMessage([sealed.header, body], {
        ...{ add, remove: [recipientOf("p256").publicKey], nowMs: 0 },
        identities: () => Promise.reject(new TypeError("a key was looked for")),
        rewrapped: (header, options) => client.rewrap(header, options),
      });
      expect(made.identity?.name).toContain("object=p256");
      for (const name of ["x25519", "p256"] as const) {
        const opened = await openMessage([made.header, body], { identities: [identityOf(name)] });
        expect(Buffer.from(await opened.plaintext.bytes()).toString()).toBe("content");
      }
      expect(running.asked.length).toBe(1);
      expect((await running.log()).map(({ outcome }) => outcome)).toEqual(["rewrapped"]);
    },
  );

  it("adds and removes hybrid keys, and those together with others", async () => {
    await begin({ allows: ["rewrap"] });
    const hybrids = await Promise.all(NATIVE_HYBRID_KEMS.map(hybridIdentityOf));
    const keys = hybrids.map(({ publicKey }) => publicKey);
    const change = async (
      message: readonly Uint8Array[],
      options: Pick<RewrapMessageOptions, "add" | "remove">,
    ): Promise<Uint8Array> => {
      const made = await rewrapMessage(message, {
        ...{ ...options, nowMs: 0 },
        identities: () => Promise.reject(new TypeError("a key was looked for")),
        rewrapped: (header, wanted) => client.rewrap(header, wanted),
      });
      return made.header;
    };
    const sealed = await sealMessage(ascii("content"), { recipients: [recipientOf("p256")] });
    const body = await sealed.body.bytes();
    const add = [...keys.map((publicKey) => ({ publicKey })), recipientOf("x25519")];
    const wide = await change([sealed.header, body], { add, remove: [] });
    for (const identity of [...hybrids, identityOf("x25519"), identityOf("p256")]) {
      const opened = await openMessage([wide, body], { identities: [identity] });
      expect(Buffer.from(await opened.plaintext.bytes()).toString()).toBe("content");
    }
    const narrow = await change([wide, body], { add: [], remove: keys });
    for (const identity of hybrids) {
      expect(await codeOf(openMessage([narrow, body], { identities: [identity] }))).toBe(
        "ERR_NO_MATCH",
      );
    }
    expect(tokens.operations()).toBe(2);
  });

  it("makes nothing of a message that somebody signed: a custodian signs that", async () => {
    await begin({ allows: ["rewrap"] });
    const recipients = [recipientOf("p256")];
    const sender = senderOf("ed25519");
    const sealed = await sealMessage([], { recipients, sender });
    const info = await inspectMessage([sealed.header, await sealed.body.bytes()]);
    const header = { format: "p11seal", bytes: sealed.header, info };
    expect(await codeOf(client.rewrap(header, change))).toBe("ERR_CUSTODIAN");
    expect(tokens.operations()).toBe(0);
  });

  it.each(["p11seal", "age"] as const)(
    "by an agent that makes something else of a header in %s is refused",
    async (format) => {
      await begin();
      const wanted = { add: [recipientOf("x25519")], remove: [], nowMs: 0 };
      const recipients = [recipientOf("p256")];
      const sealed = await sealMessage([], { recipients, format });
      const body = await sealed.body.bytes();
      const other = await sealMessage([], { recipients: [recipientOf("x25519")], format });
      for (const header of [other.header, sealed.header, concat(sealed.header, u32(0))]) {
        const openedBy = { publicKey: recipientOf("p256").publicKey, name: "liar" };
        const rewrapping = rewrapMessage([sealed.header, body], {
          ...wanted,
          identities: [],
          rewrapped: () => Promise.resolve({ header, openedBy, nowMs: Date.now() }),
        });
        expect(await codeOf(rewrapping)).toMatch(/^ERR_(?:NOT_AUTHENTIC|TRAILING)$/);
      }
    },
  );
});
