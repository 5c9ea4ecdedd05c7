/** Which messages of a tree belong where they lie, by their headers alone. */
import { describe, expect, it } from "@jest/globals";
import {
  foreignBecause,
  isSealedTo,
  unexplained,
  type Expected,
} from "../../../src/cli/find/explained.js";
import type { MessageInfo } from "../../../src/envelope/message-info.js";
import { inspectMessage, sealMessage } from "../../../src/envelope/messages.js";
import { recipientOf, type ExchangeKeyName } from "../../support/identities.js";

const key = (name: ExchangeKeyName) => ({ publicKey: recipientOf(name).publicKey });

async function sealedTo(
  names: readonly ExchangeKeyName[],
  format = "p11seal",
): Promise<MessageInfo> {
  const recipients = names.map((name) => recipientOf(name));
  const sealed = await sealMessage(Uint8Array.of(1), { recipients, format });
  return inspectMessage(sealed.stream());
}

const [team, colleague, escrow, stranger] = ["p256", "p384", "rsa2048", "rsa3072"] as const;
const expected: Expected = { here: [key(team), key(colleague)], everywhere: [key(escrow)] };
const judged = async (...names: readonly ExchangeKeyName[]): Promise<string | undefined> =>
  foreignBecause(await sealedTo(names), expected);

describe("a message", () => {
  it("belongs where it lies if each of its recipients does, and one by the place", async () => {
    expect(await judged(team)).toBeUndefined();
    expect(await judged(team, escrow)).toBeUndefined();
    expect(await judged(colleague, team, escrow)).toBeUndefined();
  });

  it("is foreign with a recipient that nobody expects there", async () => {
    expect(await judged(team, escrow, stranger)).toBe(
      "nobody expected here has the key to 2 of its 5 wrapped keys",
    );
    expect(await judged(stranger)).toContain("nobody expected here");
  });

  it("is foreign if it is for the escrow alone: a secret that was carried there is", async () => {
    expect(await judged(escrow)).toContain("nobody but keys that open messages everywhere");
  });

  it("is foreign if the format does not name a recipient, whoever that may be", async () => {
    const info = await sealedTo(["p256", "x25519"], "age");
    const all = { here: [key("p256"), key("x25519")], everywhere: [] };
    expect(foreignBecause(info, all)).toBe("it does not say whose 1 of its 2 wrapped keys may be");
    expect(isSealedTo(info, key("x25519"))).toBe(false);
    expect(unexplained(info, all.here).map(({ type }) => type)).toEqual(["X25519"]);
  });

  it("is foreign in CMS, whose recipients anybody can exchange", async () => {
    const info = await sealedTo(["rsa2048"], "cms");
    expect(isSealedTo(info, key("rsa2048"))).toBe(true);
    expect(foreignBecause(info, { here: [key("rsa2048")], everywhere: [] })).toContain("CMS");
  });

  it("in CMS, is for no key of the same kind that it doesn't name", async () => {
    expect(isSealedTo(await sealedTo(["p256"], "cms"), key("p384"))).toBe(false);
    const info = await sealedTo(["rsa2048"], "cms");
    expect(unexplained(info, [key("rsa3072")])).toHaveLength(1);
  });
});
