/** From file to file, with segments so small that a thread takes many at once: the same message. */
import { randomBytes } from "node:crypto";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "@jest/globals";
import { beginOpening, beginSealing, openMessage } from "../../../src/envelope/messages.js";
import type { Sender } from "../../../src/envelope/seal-options.js";
import { openFile, sealFile } from "../../../src/body/threads/parallel.js";
import { openBody } from "../../../src/body/body.js";
import { CHUNK_SIZES } from "../../../src/body/chunks.js";
import { floeOpen, floeSeal } from "../../../src/body/floe.js";
import { readFloeSegment } from "../../../src/body/floe-reading.js";
import type {
  BodySummary,
  SegmentsToOpen,
  SegmentsToSeal,
} from "../../../src/body/segment-stream.js";
import { defined } from "../../../src/defined.js";
import { AuthenticationError } from "../../../src/errors.js";
import { collect, Reader } from "../../../src/stream.js";
import { identityOf, recipientOf, senderOf } from "../../support/identities.js";

const folder = mkdtempSync(join(tmpdir(), "p11seal-files-"));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const FULL = 2 ** 12 - 32;
/** Number of segments that a thread takes at once. */
const BATCH = 64;
const SENDER: Sender = { ...senderOf("p384"), createdMs: Date.now(), serial: 1 };

async function sealedBy(content: Uint8Array, sender: Sender | undefined): Promise<Buffer> {
  const options = { recipients: [recipientOf("p256")], segLog2: 12, ...defined({ sender }) };
  const { header, body } = await beginSealing(options);
  if (body.kind !== "segments") throw new TypeError("a message in segments");
  return bodySealedBy(content, body, header);
}

async function openedBy(message: Uint8Array): Promise<Buffer | undefined> {
  const reader = new Reader(message);
  const { body } = await beginOpening(reader, { identities: [identityOf("p256")] });
  if (body.kind !== "segments") throw new TypeError("a message in segments");
  return bodyOpenedBy(message, reader.consumed, body);
}

/** Seals after `header`, with the calling thread alone; from sources, no more can be started. */
async function bodySealedBy(
  content: Uint8Array,
  body: SegmentsToSeal,
  header: Uint8Array = new Uint8Array(0),
): Promise<Buffer> {
  const [plain, message] = [join(folder, "plain"), join(folder, "message")];
  writeFileSync(plain, content);
  writeFileSync(message, header);
  const input = openSync(plain, "r");
  const output = await open(message, "r+");
  const file = {
    fd: output.fd,
    offset: header.length,
    async write(bytes: Uint8Array, position: number) {
      await output.write(bytes, 0, bytes.length, position);
    },
  };
  try {
    await sealFile({ fd: input }, file, body, { threads: 1 });
  } finally {
    closeSync(input);
    await output.close();
  }
  return readFileSync(message);
}

/** Opens what begins at `offset`. */
async function bodyOpenedBy(
  message: Uint8Array,
  offset: number,
  body: SegmentsToOpen,
): Promise<Buffer | undefined> {
  const [sealed, opened] = [join(folder, "sealed"), join(folder, "opened")];
  writeFileSync(sealed, message);
  const [input, output] = [openSync(sealed, "r"), openSync(opened, "w")];
  try {
    const from = { fd: input, offset };
    const good = await openFile(from, { fd: output, offset: 0 }, body, { threads: 1 });
    return good ? readFileSync(opened) : undefined;
  } finally {
    closeSync(input);
    closeSync(output);
  }
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

describe("a body in segments of any format", () => {
  const key = randomBytes(32);
  const trailerOf = ({ root, plaintextBytes, segments }: BodySummary): Uint8Array =>
    Buffer.concat([root, Buffer.from(`${plaintextBytes} in ${segments}`.padEnd(40))]);

  function bodyOf(): { toSeal: SegmentsToSeal; toOpen: SegmentsToOpen } {
    const { header, segments } = floeSeal(key, new Uint8Array(0), { segmentBytes: 4096 });
    const start = Buffer.concat([header, Buffer.from("its own start")]);
    const cipher = floeOpen(key, new Uint8Array(0), { segmentBytes: 4096 }, header);
    const check = (summary: BodySummary, trailer: Uint8Array): void => {
      if (Buffer.compare(trailerOf(summary), trailer) !== 0) {
        throw new AuthenticationError("ERR_TRAILER", "another trailer");
      }
    };
    return {
      toSeal: { kind: "segments", start, cipher: segments, makeTrailer: trailerOf },
      toOpen: {
        kind: "segments",
        cipher,
        readSegment: readFloeSegment,
        trailer: { bytes: 72, check },
      },
    };
  }

  it.each([0, 1, FULL, 3 * FULL + 5])(
    "has a trailer of its own, after %d bytes",
    async (length) => {
      const { toSeal, toOpen } = bodyOf();
      const content = randomBytes(length);
      const sealed = await bodySealedBy(content, toSeal);
      const start = toSeal.start.length;
      expect(Buffer.compare(sealed.subarray(0, start), toSeal.start)).toBe(0);
      expect((await bodyOpenedBy(sealed, start, toOpen))?.equals(content)).toBe(true);

      const reader = new Reader(sealed.subarray(start));
      const streamed = await collect(openBody(toOpen, reader));
      expect(Buffer.from(streamed).equals(content)).toBe(true);

      sealed.writeUInt8(sealed.readUInt8(sealed.length - 1) ^ 1, sealed.length - 1);
      expect(await bodyOpenedBy(sealed, start, toOpen)).toBeUndefined();
    },
  );
});

describe("age's chunks, file to file", () => {
  const { plaintextBytes, segmentBytes } = CHUNK_SIZES;

  it.each([0, 1, plaintextBytes, 5 * plaintextBytes, 9 * plaintextBytes + 7])(
    "are what a stream makes of %d bytes",
    async (length) => {
      const content = randomBytes(length);
      const options = { recipients: [recipientOf("p256")], format: "age" };
      const { header, body } = await beginSealing(options);
      if (body.kind !== "segments") throw new TypeError("a body in segments");
      const message = await bodySealedBy(content, body, header);
      const streamed = await openMessage(message, { identities: [identityOf("p256")] });
      expect(Buffer.from(await streamed.plaintext.bytes()).equals(content)).toBe(true);
      expect((await openedBy(message))?.equals(content)).toBe(true);
      for (const cut of [1, 16, segmentBytes].filter((bytes) => bytes <= message.length / 2)) {
        expect(await openedBy(message.subarray(0, -cut))).toBeUndefined();
      }
    },
  );
});
