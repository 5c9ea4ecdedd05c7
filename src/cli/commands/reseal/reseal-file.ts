/**
 * Opens a file and seals what is in it anew, in one stream: plaintext is in memory alone, a segment
 * at a time. The new file takes the old one's place only once the whole old message was authentic,
 * to its last segment and the sender's signature after it, and the new one is on the disk.
 */
import { closeSync, openSync } from "node:fs";
import { dirname } from "node:path";
import type { Opened, SealInOptions } from "../../../envelope/messages.js";
import { formatOf } from "../../../envelope/formats.js";
import { FormatError, UnsupportedError } from "../../../errors.js";
import { fileChunks } from "../../../store/file-chunks.js";
import { busy, finishInPlace } from "../../../store/header-in-place.js";
import { removeLeftovers } from "../../../store/leftovers.js";
import { OldFile, writeAt } from "../../../store/old-file.js";
import { requireOneName, takePlace } from "../../../store/take-place.js";
import { CREATE } from "../../../store/temporary.js";
import { Reader } from "../../../stream.js";
import { onInterrupt } from "../../../terminal/interrupts.js";
import { sealInto } from "../../io/bulk.js";
import type { FileProgress } from "../../io/file-progress.js";
import type { Input } from "../../io/inputs.js";
import type { Output } from "../../io/output.js";
import { progress } from "../../io/progress.js";
import type { Context } from "../../command.js";
import type { SealFormat } from "../seal/format-options.js";

/** A format that a file is resealed in. */
export type ResealFormat = Exclude<SealFormat, "cms">;

export interface ResealHow {
  readonly breakLinks: boolean;
  /** The files that it is among. */
  readonly among: FileProgress;
  /** Opens the old message, and settles what the new one is sealed with. */
  readonly begin: (
    chunks: AsyncIterable<Uint8Array>,
    format: ResealFormat,
  ) => Promise<{ readonly opened: Opened; readonly sealing: SealInOptions }>;
}

/**
 * @throws FileError as `OldFile.open`, `takePlace`; UnsupportedError `ERR_RESEAL`; FormatError;
 *   whatever `begin` and the opened message's plaintext throw
 */
export async function resealFile(
  path: string,
  { breakLinks, begin, among }: ResealHow,
  context: Context,
): Promise<void> {
  // What a killed run of `rewrap` was overwriting can't be read before that.
  if ((await finishInPlace(path)) === "busy") throw busy(path);
  removeLeftovers(dirname(path));
  const file = OldFile.open(path, new Uint8Array(0), "read");
  try {
    if (!breakLinks) requireOneName(file, "--break-links gives this name a file of its own");
    const { format, isText } = await kindOfMessage(file);
    const size = Number(file.stats.size);
    const meter = progress(context.io, { size, quiet: context.report.quiet, among });
    try {
      const chunks = meter.through(fileChunks(file.fd, path));
      const { opened, sealing } = await begin(chunks, format);
      meter.start();
      const form = isText ? ("armor" as const) : ("bytes" as const);
      const padHeader = format === "p11seal" && !isText && size >= PADDED_FROM_BYTES;
      const options = { ...sealing, format, form, padHeader };
      await takePlace(
        file,
        async (temporary) => {
          const made = openSync(temporary, CREATE, 0o600);
          try {
            const output = outputTo(made, path);
            const input = plaintextOf(opened, path);
            // Progress is of the old file.
            const none = progress(context.io, { size: undefined, quiet: true });
            await sealInto(input, { header: output, body: output }, options, none, 1);
            return made;
          } catch (error) {
            closeSync(made);
            throw error;
          }
        },
        { onInterrupt, ownerHint: "a new file would be yours; run it as the owner" },
      );
    } finally {
      meter.stop();
    }
  } finally {
    file.close();
  }
}

/** As `seal` pads: the body keeps its place when the header is replaced. */
const PADDED_FROM_BYTES = 2 ** 20;

/** @throws UnsupportedError `ERR_RESEAL`; FormatError `ERR_NOT_A_MESSAGE` */
async function kindOfMessage(
  file: OldFile,
): Promise<{ readonly format: ResealFormat; readonly isText: boolean }> {
  const reader = new Reader(fileChunks(file.fd, file.path));
  try {
    const { name } = await formatOf(reader);
    if (name === "p11seal" || name === "age") return { format: name, isText: reader.isDecoded };
    if (name !== "cms") throw new FormatError("ERR_NOT_A_MESSAGE", "not a message of ours");
    throw new UnsupportedError("ERR_RESEAL", "CMS messages are not sealed anew where they lie", {
      hint: "open it, and seal it again with --format cms",
    });
  } finally {
    await reader.close();
  }
}

/** What was opened, as something to be sealed. */
function plaintextOf({ plaintext }: Opened, path: string): Input {
  const close = (): Promise<void> => Promise.resolve();
  return { name: path, size: undefined, id: undefined, chunks: plaintext, close };
}

function outputTo(fd: number, name: string): Output {
  let at = 0;
  const done = (): Promise<void> => Promise.resolve();
  return {
    name,
    forgets: true,
    async write(...parts) {
      for (const part of parts) {
        await writeAt(fd, part, at);
        at += part.length;
      }
    },
    prepare: done,
    place() {
      // `takePlace` does that.
    },
    displace() {
      // And nothing after it can fail.
    },
    close: done,
  };
}
