/** From file keys to stanzas: all of them or none, with labels for clients that know them. */
import { describe, expect, it } from "@jest/globals";
import { FormatError, TokenError } from "../../src/errors.js";
import {
  type AgeRecipient,
  type RecipientFinder,
  recipientV1,
} from "../../src/plugin/recipient-v1.js";
import type { Stanza } from "../../src/plugin/stanza-stream.js";
import { converse, stanza } from "./support/scripted-client.js";

class ToyFinder implements RecipientFinder {
  isClosed = false;

  recipient(text: string): AgeRecipient {
    if (text.startsWith("bad")) throw new FormatError("ERR_X", `${text} is malformed`);
    const wrap = (fileKey: Uint8Array): Stanza => {
      if (text === "broken") throw new TokenError("ERR_Y", "no");
      return stanza(`to ${text}`, fileKey);
    };
    return { wrap, labels: text.startsWith("pq") ? ["postquantum"] : [] };
  }

  recipientOf(identity: string): Promise<AgeRecipient> {
    return Promise.resolve(this.recipient(identity.toLowerCase()));
  }

  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }
}

async function run(...commands: Stanza[]) {
  const finder = new ToyFinder();
  const { lines } = await converse(
    commands,
    (client) => recipientV1(client, finder),
    ({ type }) => {
      expect(finder.isClosed).toBe(type === "done");
      return undefined;
    },
  );
  expect(finder.isClosed).toBe(true);
  return lines;
}

const to = (text: string) => stanza(`add-recipient ${text}`);
const toIdentity = (text: string) => stanza(`add-identity ${text}`);
const FILE_KEY = stanza("wrap-file-key", "YELLOW SUBMARINE");
const OTHER_KEY = stanza("wrap-file-key", "MELLOW SUBMARINE");
const LABELS = stanza("extension-labels");

describe("recipient-v1", () => {
  it("wraps each file key to each recipient and identity", async () => {
    const noise = stanza("grease-9", "noise");
    expect(await run(to("a"), FILE_KEY, noise, toIdentity("B"), OTHER_KEY)).toEqual([
      "recipient-stanza 0 to a; YELLOW SUBMARINE",
      "recipient-stanza 0 to b; YELLOW SUBMARINE",
      "recipient-stanza 1 to a; MELLOW SUBMARINE",
      "recipient-stanza 1 to b; MELLOW SUBMARINE",
      "done",
    ]);
  });

  it("answers with labels, also with none, if the client knows them", async () => {
    expect(await run(to("a"), FILE_KEY, LABELS)).toContain("labels");
    expect(await run(to("pq"), to("pq2"), FILE_KEY, LABELS)).toContain("labels postquantum");
  });

  it("keeps post-quantum recipients apart from others", async () => {
    for (const client of [[LABELS], []]) {
      const lines = await run(to("a"), to("pq"), FILE_KEY, ...client);
      expect(lines).toHaveLength(2);
      expect(lines[0]).toMatch(/^error recipient 1; post-quantum and other recipients can't be/);
    }
    const mixed = await run(toIdentity("PQ"), to("a"), toIdentity("B"), FILE_KEY, LABELS);
    expect(mixed.map((line) => line.split(";")[0])).toEqual([
      "error recipient 0",
      "error identity 1",
      "done",
    ]);
  });

  it("refuses post-quantum recipients for a client that could mix them with others", async () => {
    const [line] = await run(to("pq"), FILE_KEY);
    expect(line).toMatch(/^error recipient 0; this age client can't keep .* \(use age 1\.3/);
  });

  it("sends no stanza if one recipient is malformed or can't be wrapped to", async () => {
    expect(await run(to("a"), to("bad"), toIdentity("BAD2"), FILE_KEY, LABELS)).toEqual([
      "error recipient 1; bad is malformed",
      "error identity 0; bad2 is malformed",
      "done",
    ]);
    expect(await run(to("a"), to("broken"), FILE_KEY)).toEqual(["error recipient 1; no", "done"]);
  });

  it("refuses a file key that is not 16 bytes long", async () => {
    expect(await run(to("a"), stanza("wrap-file-key", "short"))).toEqual([
      "error internal; a file key has 5 bytes, not 16",
      "done",
    ]);
  });

  it.each([
    ["a recipient without a string", stanza("add-recipient")],
    ["a file key with an argument", stanza("wrap-file-key x", "YELLOW SUBMARINE")],
    ["labels with an argument", stanza("extension-labels x")],
  ])("ends without done, but closed, at %s", async (_, command) => {
    const finder = new ToyFinder();
    const talk = converse([command], (client) => recipientV1(client, finder));
    await expect(talk).rejects.toMatchObject({ code: "ERR_PLUGIN_PROTOCOL" });
    expect(finder.isClosed).toBe(true);
  });
});
