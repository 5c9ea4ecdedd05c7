/** From file to file, with segments so small that a thread takes many at once: the same message. */
import { randomBytes } from "node:crypto";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "@jest/globals";
import { beginOpening, beginSealing, openMessage } from "../../../src/envelope/messages.js";
import type { Sender } from "../../../src/envelope/envelope.js";
import { openFile, sealFile } from "../../../src/body/threads/parallel.js";
import { Reader } from "../../../src/stream.js";
import { identityOf, recipientOf, senderOf } from "../../support/identities.js";

const folder = mkdtempSync(join(tmpdir(), "p11seal-files-"));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const FULL = 2 ** 12 - 32;
/** Number of segments that a thread takes at once. */
const BATCH = 64;
const SENDER: Sender = { ...senderOf("p384"), createdMs: Date.now(), serial: 1 };

/** Seals with the calling thread alone; from sources, no more can be started. */
async function sealedBy(content: Uint8Array, sender: Sender | undefined): Promise<Buffer> {
  const [plain, message] = [join(folder, "plain"), join(folder, "message")];
  writeFileSync(plain, content);
  const options = { recipients: [recipientOf("p256")], segLog2: 12 };
  const begun = await beginSealing(sender === undefined ? options : { ...options, sender });
  writeFileSync(message, begun.header);
  const input = openSync(plain, "r");
  const output = await open(message, "r+");
  const file = {
    fd: output.fd,
    offset: begun.header.length,
    async write(bytes: Uint8Array, position: number) {
      await output.write(bytes, 0, bytes.length, position);
    },
  };
  try {
    await sealFile({ fd: input }, file, segmentsOf(begun.body), { threads: 1 });
  } finally {
    closeSync(input);
    await output.close();
  }
  return readFileSync(message);
}

async function openedBy(message: Uint8Array): Promise<Buffer | undefined> {
  const [sealed, opened] = [join(folder, "sealed"), join(folder, "opened")];
  writeFileSync(sealed, message);
  const reader = new Reader(message);
  const begun = await beginOpening(reader, { identities: [identityOf("p256")] });
  const [input, output] = [openSync(sealed, "r"), openSync(opened, "w")];
  const from = { fd: input, offset: reader.consumed };
  try {
    const good = await openFile(from, { fd: output, offset: 0 }, segmentsOf(begun.body), {
      threads: 1,
    });
    return good ? readFileSync(opened) : undefined;
  } finally {
    closeSync(input);
    closeSync(output);
  }
}

function segmentsOf<B extends { readonly kind: string }>(body: B): B & { kind: "segments" } {
  if (body.kind !== "segments") throw new TypeError("not in segments");
  return body as B & { kind: "segments" };
}

describe.each([
  ["unsigned", undefined],
  ["signed", SENDER],
])("a file sealed and opened by position, %s", (_name, sender) => {
  it.each([
    0,
    1,
    FULL,
    FULL + 1,
    BATCH * FULL,
    BATCH * FULL + 1,
    (BATCH + 1) * FULL,
    (BATCH + 1) * FULL + 1,
    (3 * BATCH - 1) * FULL + 7,
  ])("is the message that a stream makes of %d bytes", async (length) => {
    const content = randomBytes(length);
    const message = await sealedBy(content, sender);
    const streamed = await openMessage(message, { identities: [identityOf("p256")] });
    expect(Buffer.from(await streamed.plaintext.bytes()).equals(content)).toBe(true);
    expect((await openedBy(message))?.equals(content)).toBe(true);
  });

  it("is refused with a bit changed in any of its parts", async () => {
    const message = await sealedBy(randomBytes((BATCH + 1) * FULL + 9), sender);
    const body = (BATCH + 1) * 2 ** 12;
    for (const fromEnd of [1, 65, 100, 200, body >> 1, body]) {
      const bad = Buffer.from(message);
      const at = bad.length - fromEnd;
      bad.writeUInt8(bad.readUInt8(at) ^ 1, at);
      expect([fromEnd, await openedBy(bad)]).toEqual([fromEnd, undefined]);
    }
  });
});
