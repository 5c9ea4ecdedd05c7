/** What of a message gets into the audit log when it does not open. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "@jest/globals";
import { sealMessage } from "../../../../src/envelope/messages.js";
import { encodeExtensions } from "../../../../src/envelope/native/header.js";
import {
  encodeRecips,
  MAX_RECIPS_BYTES,
  parseRecips,
  type Stanza,
} from "../../../../src/envelope/native/recips.js";
import { collect } from "../../../../src/stream.js";
import { recipientOf } from "../../../support/identities.js";
import { temporaryFolder, writeKeys } from "../../support/folder.js";
import { run } from "../../support/run.js";

const folder = temporaryFolder();

beforeAll(() => {
  writeKeys(folder);
});

it.each(["binary", "armored"])("a message with the longest header, %s, is in it", async (form) => {
  const [message, home] = [join(folder, "long"), join(folder, `home-${form}`)];
  const sealed = await sealMessage(Buffer.from("x"), {
    recipients: [recipientOf("p256")],
  });
  const { header } = sealed;
  const coreEnd = 16 + Buffer.from(header).readUInt32BE(12);
  // After an empty EXT and the length of RECIPS.
  const stanzas = parseRecips(header.subarray(coreEnd + 8, -32));
  const filler: Stanza = { type: "unknown", number: 0x7fff, tag: new Uint8Array(8), body: EMPTY };
  const room = MAX_RECIPS_BYTES - (encodeRecips([...stanzas, filler]).length - 4);
  const long = Buffer.concat([
    header.subarray(0, coreEnd),
    encodeExtensions([{ type: 0x8000, body: new Uint8Array(65_530) }]),
    encodeRecips([...stanzas, { ...filler, body: new Uint8Array(room) }]),
    header.subarray(-32),
    await collect(sealed.body),
  ]);
  const text = (long.toString("base64").match(/.{1,64}/g) ?? []).join("\n");
  const label = "P11SEAL MESSAGE-----";
  const armor = `-----BEGIN ${label}\n${text}\n-----END ${label}\n`;
  writeFileSync(message, form === "binary" ? long : armor);

  const argv = ["open", "-i", join(folder, "bob.key"), "-o", join(folder, "out"), message];
  const { status, stderr } = await run(argv, { env: { P11SEAL_HOME: home } });
  expect([status, stderr]).toEqual([4, expect.stringContaining("the message header was altered")]);
  const entries = readFileSync(join(home, "audit.jsonl"), "utf8").trimEnd().split("\n");
  expect(entries.map((one) => JSON.parse(one) as unknown)).toEqual([
    expect.objectContaining({ event: "open", messageId: sealed.messageId }),
  ]);
});

const EMPTY = new Uint8Array(0);
