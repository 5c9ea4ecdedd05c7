/** How far work on one file's bytes is, as a bar. */
import { tapped } from "../../stream.js";
import { Bar, isSeen } from "./bar.js";
import type { FileProgress } from "./file-progress.js";
import type { Io } from "./io.js";

/** Work on less than this is done before we know whether there is a terminal. */
const LITTLE_BYTES = 4096;

export interface Progress {
  /** Counts the bytes that pass. */
  through(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>;
  /** Sets how many bytes are done, where they don't pass through. */
  at(bytes: number): void;
  /** The work begins. Time before this, such as for typing a PIN, doesn't count. */
  start(): void;
  /** Takes the bar away. */
  stop(): void;
}

export interface ProgressOptions {
  /** Bytes to come. Without it, without a terminal, and with `--quiet` there is no bar. */
  readonly size: number | undefined;
  readonly quiet: boolean;
  /** The bar of the files that this one is among. */
  readonly among?: FileProgress;
}

export function progress(io: Io, { size, quiet, among }: ProgressOptions): Progress {
  if (size === undefined || size < LITTLE_BYTES || !isSeen(io, quiet)) return NO_PROGRESS;
  const format = `{bar} {percentage}% of ${humanSize(size)}, {eta_formatted} left`;
  const bar = new Bar(io, format, () => among?.hide());
  bar.total = size;
  return {
    through: (chunks) =>
      tapped(chunks, ({ length }) => {
        bar.done += length;
      }),
    at(bytes) {
      bar.done = bytes;
    },
    start() {
      bar.start();
    },
    stop() {
      bar.stop();
    },
  };
}

/** As in "64.0 MiB". */
export function humanSize(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit] ?? ""}`;
}

const NO_PROGRESS: Progress = {
  through: (chunks) => chunks,
  at() {
    // Nothing is shown.
  },
  start() {
    // Nothing is shown.
  },
  stop() {
    // Nothing was shown.
  },
};
