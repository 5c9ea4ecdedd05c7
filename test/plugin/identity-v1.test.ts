/** From stanzas to file keys: what the plugin says, what it keeps to itself, and in which order. */
import { describe, expect, it } from "@jest/globals";
import { AuthenticationError, FormatError, TokenError } from "../../src/errors.js";
import { type FileKeyOpener, identityV1, StanzaRefused } from "../../src/plugin/identity-v1.js";
import type { Stanza } from "../../src/plugin/stanza-stream.js";
import { Secret } from "../../src/secret.js";
import { converse, stanza } from "./support/scripted-client.js";

/** Opens `tag` stanzas whose body is upper case: the file key is the body in lower case. */
class ToyOpener implements FileKeyOpener {
  readonly events: string[] = [];
  readonly keys: Secret[] = [];

  addIdentity(text: string): void {
    if (text.startsWith("BAD")) throw new FormatError("ERR_IDENTITY", `${text} is malformed`);
    this.events.push(`identity ${text}`);
  }

  isKnown({ type, args }: Stanza): boolean {
    if (type !== "tag") return false;
    if (args.length !== 1) throw new FormatError("ERR_STANZA", "a tag stanza has one argument");
    return true;
  }

  unwrap(stanzas: readonly Stanza[]): Promise<Secret | undefined> {
    this.events.push(`unwrap ${stanzas.length}`);
    const mine = stanzas.find(({ args }) => args[0] === "mine");
    if (mine === undefined) return Promise.resolve(undefined);
    const text = Buffer.from(mine.body).toString("latin1");
    if (text === "PIN") throw refusedPin(mine);
    if (text !== text.toUpperCase()) {
      throw new StanzaRefused(mine, 0, new AuthenticationError("ERR_X", "not authentic"));
    }
    const key = new Secret(Buffer.from(text.toLowerCase()));
    this.keys.push(key);
    return Promise.resolve(key);
  }

  close(): Promise<void> {
    this.events.push("closed");
    return Promise.resolve();
  }
}

function refusedPin(mine: Stanza): StanzaRefused {
  const cause = new TokenError("ERR_PIN_REFUSED", 'token "a\u001b" refuses the PIN', {
    hint: "not tried again",
  });
  return new StanzaRefused(mine, 1, cause);
}

async function run(...commands: Stanza[]) {
  const opener = new ToyOpener();
  const events = opener.events;
  const { lines, greased } = await converse(
    commands,
    (client) => identityV1(client, opener),
    ({ type }) => {
      events.push(type.startsWith("grease") ? "grease" : type);
      return undefined;
    },
  );
  return { lines, greased, opener, events: events.filter((one) => one !== "grease") };
}

const ID = stanza("add-identity ONE");
const of = (file: number, line: string, body = "KEY") =>
  stanza(`recipient-stanza ${file} ${line}`, body);

describe("identity-v1", () => {
  it("delivers a file key, and closes everything before it says done", async () => {
    const { lines, events, opener } = await run(ID, of(0, "tag mine"));
    expect(lines).toEqual(["file-key 0; key", "done"]);
    expect(events).toEqual(["identity ONE", "unwrap 1", "file-key", "closed", "done"]);
    expect(() => opener.keys[0]?.expose()).toThrow("wiped");
  });

  it("is silent about stanzas of others, and asks nothing of a token for them", async () => {
    const { lines, events } = await run(ID, of(0, "X25519 abc"), of(0, "scrypt def 18"));
    expect(lines).toEqual(["done"]);
    expect(events).toEqual(["identity ONE", "closed", "done"]);
  });

  it("is silent about known stanzas for keys of others", async () => {
    expect((await run(ID, of(0, "tag theirs"))).lines).toEqual(["done"]);
  });

  it("ignores unknown commands in phase 1, and is understood when it sends one", async () => {
    let greased = 0;
    for (let tries = 0; tries < 40; tries++) {
      const noise = stanza("grease-1 2 3", "noise");
      const one = await run(noise, ID, stanza("extension-x"), of(0, "tag mine"), noise);
      expect(one.lines).toEqual(["file-key 0; key", "done"]);
      greased += one.greased;
    }
    expect(greased).toBeGreaterThan(0);
    expect(greased).toBeLessThan(40);
  });

  it("opens none of a file with a malformed stanza of a known type, but other files", async () => {
    const { lines, events } = await run(
      ...[ID, of(0, "other"), of(0, "tag mine"), of(0, "tag mine twice"), of(1, "tag mine", "B")],
    );
    expect(lines).toEqual([
      "error stanza 0 2; a tag stanza has one argument",
      "file-key 1; b",
      "done",
    ]);
    expect(events.filter((one) => one.startsWith("unwrap"))).toEqual(["unwrap 1"]);
  });

  it("opens nothing if an identity is malformed, also with the others", async () => {
    const bad = stanza("add-identity BAD-ONE");
    const { lines, events } = await run(ID, bad, of(0, "tag mine"));
    expect(lines).toEqual(["error identity 1; BAD-ONE is malformed", "done"]);
    expect(events).toEqual(["identity ONE", "error", "closed", "done"]);
  });

  it("blames the stanza that is not authentic, as the client counts", async () => {
    const { lines } = await run(ID, of(4, "X25519 a"), of(4, "tag mine", "altered"));
    expect(lines).toEqual(["error stanza 4 1; not authentic", "done"]);
  });

  it("blames the identity whose token refuses, with what may be shown at a terminal", async () => {
    const { lines, events } = await run(ID, ID, of(0, "tag mine", "PIN"), of(1, "tag mine"));
    expect(lines).toEqual([
      'error identity 1; token "a\\u{1b}" refuses the PIN (not tried again)',
      "file-key 1; key",
      "done",
    ]);
    expect(events.slice(-2)).toEqual(["closed", "done"]);
  });

  it.each([
    ["an identity without a string", [stanza("add-identity")]],
    ["an identity with a body", [stanza("add-identity ONE", "x")]],
    ["a stanza without a type", [stanza("recipient-stanza 0")]],
    ["a file that is no number", [stanza("recipient-stanza 0x1 tag mine")]],
    ["a file numbered otherwise than usual", [stanza("recipient-stanza 01 tag mine")]],
    ["files that go back", [of(1, "tag mine"), of(0, "tag mine")]],
    ["an end with an argument", [stanza("done now")]],
  ])("ends without done, but closed, at %s", async (_, commands) => {
    const opener = new ToyOpener();
    const talk = converse([ID, ...commands], (client) => identityV1(client, opener));
    await expect(talk).rejects.toMatchObject({ code: "ERR_PLUGIN_PROTOCOL" });
    expect(opener.events).toEqual(["closed"]);
  });

  it("ends without done, but closed, at an answer that is none", async () => {
    const opener = new ToyOpener();
    const talk = converse(
      [ID, of(0, "tag mine")],
      (client) => identityV1(client, opener),
      ({ type }) => (type === "file-key" ? stanza("maybe") : undefined),
    );
    await expect(talk).rejects.toThrow('"maybe" is no answer to file-key');
    expect(opener.events.at(-1)).toBe("closed");
  });
});
