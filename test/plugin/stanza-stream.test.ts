/** Stanzas between age and the plugin: read strictly, within bounds, and written as age does. */
import { describe, expect, it } from "@jest/globals";
import { encodeStanza, type Stanza, StanzaReader } from "../../src/plugin/stanza-stream.js";
import { fuzz } from "../support/mutate.js";
import { scaled } from "../support/scale.js";
import { stanza } from "./support/scripted-client.js";

async function* chunksOf(bytes: Uint8Array, size = bytes.length || 1): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    yield await Promise.resolve(bytes.subarray(at, at + size));
  }
}

async function readAll(text: string | Uint8Array, size?: number): Promise<Stanza[]> {
  const reader = new StanzaReader(chunksOf(Buffer.from(text), size));
  const read: Stanza[] = [];
  for (;;) {
    const next = await reader.next();
    if (next === undefined) return read;
    read.push(next);
  }
}

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1");

describe("a stanza", () => {
  it("is written with its body in lines of 64 characters, the last of them shorter", () => {
    expect(text(encodeStanza(stanza("done")))).toBe("-> done\n\n");
    expect(text(encodeStanza(stanza("a b c", "hi")))).toBe("-> a b c\naGk\n");
    // 48 bytes are 64 characters: an empty line says that there is no more.
    const full = "QUFB".repeat(16);
    expect(text(encodeStanza(stanza("a", "A".repeat(48))))).toBe(`-> a\n${full}\n\n`);
    expect(text(encodeStanza(stanza("a", "A".repeat(49))))).toBe(`-> a\n${full}\nQQ\n`);
  });

  it.each([1, 2, 7, 64, 1000])("reads the same in chunks of %i bytes", async (size) => {
    const stanzas = [0, 1, 47, 48, 49, 95, 96, 97, 500].map((length) =>
      stanza("recipient-stanza 0 x", Buffer.alloc(length, length)),
    );
    const bytes = Buffer.concat(stanzas.map(encodeStanza));
    expect(await readAll(bytes, size)).toEqual(stanzas);
  });

  it.each([
    ["no arrow", "done\n\n"],
    ["an arrow without a blank", "->done\n\n"],
    ["no word", "-> \n\n"],
    ["two blanks", "-> a  b\n\n"],
    ["a blank at the end", "-> a \n\n"],
    ["a tab", "-> a\tb\n\n"],
    ["a carriage return", "-> a\r\n\r\n"],
    ["a letter that is not ASCII", "-> ä\n\n"],
    ["no body", "-> a\n"],
    ["no line feed", "-> a"],
    ["no line feed after its body", "-> a\naGk"],
    ["no end of its body", `-> a\n${"QUFB".repeat(16)}\n`],
    ["a line of 65 characters", `-> a\n${"QUFB".repeat(16)}Q\n`],
    ["padding", "-> a\naGk=\n"],
    ["bits that don't count", "-> a\naGl\n"],
    ["base64url", "-> a\n__-_\n"],
    ["a blank in its body", "-> a\naG k\n"],
    ["a character that base64 ends with", "-> a\nQUFBQ\n"],
  ])("with %s is refused", async (_, malformed) => {
    await expect(readAll(malformed)).rejects.toMatchObject({ code: "ERR_PLUGIN_PROTOCOL" });
  });

  it("has bounds: its line, its body, and all of them together", async () => {
    const refused = { code: "ERR_PLUGIN_PROTOCOL" };
    const longest = `-> ${"a".repeat(65_533)}\n\n`;
    expect(await readAll(longest)).toHaveLength(1);
    await expect(readAll(longest.replace("a", "aa"))).rejects.toMatchObject(refused);
    const body = Buffer.from(encodeStanza(stanza("a", Buffer.alloc(65_000))));
    expect(await readAll(body)).toHaveLength(1);
    const large = encodeStanza(stanza("a", Buffer.alloc(66_000)));
    await expect(readAll(large)).rejects.toMatchObject(refused);
    const flood = (async function* () {
      for (;;) yield await Promise.resolve(body);
    })();
    const reader = new StanzaReader(flood);
    const drain = async () => {
      for (;;) await reader.next();
    };
    await expect(drain()).rejects.toMatchObject(refused);
    // A line without an end is not waited for.
    const endless = (async function* () {
      for (;;) yield await Promise.resolve(Buffer.alloc(1000, "a"));
    })();
    await expect(new StanzaReader(endless).next()).rejects.toMatchObject(refused);
  });

  it("if damaged, is refused, or writes the same bytes", async () => {
    const seeds = [
      stanza("done"),
      stanza("add-identity AGE-PLUGIN-P11-1QQQQ"),
      stanza("recipient-stanza 0 p256tag abcdef 0123456789", Buffer.alloc(32, 7)),
      stanza("grease-7 1 2 3", Buffer.alloc(96, 1)),
    ].map(encodeStanza);
    seeds.push(Buffer.concat(seeds));
    const report = await fuzz(seeds, scaled(200_000, 5000), 1307, async (input) => {
      try {
        const again = Buffer.concat((await readAll(input)).map(encodeStanza));
        return Buffer.compare(again, input) === 0 ? true : "encodes otherwise";
      } catch (error) {
        const { code } = error as { code?: string };
        return code === "ERR_PLUGIN_PROTOCOL" ? (error as Error) : `threw ${String(error)}`;
      }
    });
    expect(report.broken).toEqual([]);
    expect(report.taken).toBeGreaterThan(report.tried / 100);
    expect(report.slowestMs).toBeLessThan(1000);
  });
});
