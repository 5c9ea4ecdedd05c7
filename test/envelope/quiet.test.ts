/** The library never prints, never warns, and leaves the process alone. */
import { afterEach, beforeEach, expect, it, jest } from "@jest/globals";
import { fromHex } from "../../src/bytes.js";
import {
  inspectMessage,
  openMessage,
  sealMessage,
  verifySender,
} from "../../src/envelope/messages.js";
import { headerBytes, holder, MESSAGE_ID, messageBytes } from "../support/forge.js";
import { identityOf, recipientOf, senderOf } from "../support/identities.js";
import { EXCHANGE_KEY_NAMES } from "../support/keys.js";
import { codeOf } from "../support/streams.js";

let said: string[] = [];
let spies: { mockRestore: () => void }[] = [];

beforeEach(() => {
  said = [];
  const noting =
    (where: string) =>
    (...words: unknown[]) => {
      said.push(`${where}: ${words.map(String).join(" ")}`);
      return true;
    };
  spies = [
    ...(["log", "info", "warn", "error", "debug", "trace"] as const).map((method) =>
      jest.spyOn(console, method).mockImplementation(noting(`console.${method}`)),
    ),
    jest.spyOn(process.stdout, "write").mockImplementation(noting("stdout")),
    jest.spyOn(process.stderr, "write").mockImplementation(noting("stderr")),
    jest.spyOn(process, "emitWarning").mockImplementation(noting("a warning")),
    jest.spyOn(process, "exit").mockImplementation(noting("exit") as never),
  ];
});

afterEach(() => {
  for (const spy of spies) spy.mockRestore();
});

it("sealing, opening and refusing are silent, and leave no listener behind", async () => {
  const before = process.eventNames().map((name) => process.listenerCount(name));
  const recipients = EXCHANGE_KEY_NAMES.map((name) => recipientOf(name));
  const sealed = await sealMessage(new Uint8Array(5), { recipients, sender: senderOf("ed25519") });
  const whole = await sealed.stream().bytes();
  await inspectMessage(whole);
  await verifySender(whole);
  for (const name of EXCHANGE_KEY_NAMES) {
    const opened = await openMessage(whole, { identities: [identityOf(name)] });
    await opened.plaintext.bytes();
  }
  // A map with arrays as keys: CBOR libraries warn about it on the console.
  const core = Buffer.concat([fromHex("a20150"), MESSAGE_ID, fromHex("1840a2800080a100f600")]);
  const refused = [
    await codeOf(openMessage(whole.subarray(0, 100), { identities: [] })),
    await codeOf(openMessage(whole, { identities: [] })),
    await codeOf(openMessage(headerBytes({ core }), { identities: [holder] })),
    await codeOf(openMessage(messageBytes({ mac: new Uint8Array(32) }), { identities: [holder] })),
  ];
  const after = process.eventNames().map((name) => process.listenerCount(name));
  expect(refused).toEqual(["ERR_TRUNCATED", "ERR_NO_MATCH", "ERR_HEADER", "ERR_NOT_AUTHENTIC"]);
  // The way that jest loads modules makes Node warn once.
  expect(said.filter((line) => !line.includes("VM Modules"))).toEqual([]);
  expect(after).toEqual(before);
});
