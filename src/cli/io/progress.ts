/** A progress bar on stderr, for work that takes long enough for people to wonder. */
import type { SingleBar } from "cli-progress";
import { onInterrupt } from "../../terminal/interrupts.js";
import { tapped } from "../../stream.js";
import type { Io } from "./io.js";

/** Shorter work shows no bar. */
const PATIENCE_MS = 700;

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

/** `size`: bytes to come. Without it, without a terminal, and with `--quiet` there is no bar. */
export function progress(
  io: Io,
  options: { readonly size: number | undefined; readonly quiet: boolean },
): Progress {
  const { size } = options;
  if (size === undefined || size < LITTLE_BYTES || options.quiet) return NO_PROGRESS;
  if (io.stderr.isTTY !== true) return NO_PROGRESS;

  let passed = 0;
  let startedAt: number | undefined;
  let bar: SingleBar | undefined;
  let stopped = false;
  const stop = (): void => {
    stopped = true;
    bar?.stop();
    forget();
  };
  const forget = onInterrupt(stop);

  const show = async (): Promise<void> => {
    const { SingleBar } = await import("cli-progress");
    if (stopped || bar !== undefined) return;
    bar = new SingleBar({
      stream: io.stderr,
      format: "{bar} {percentage}% of {size}, {eta_formatted} left",
      clearOnComplete: true,
      hideCursor: null,
      barsize: 30,
      etaBuffer: 200,
    });
    bar.start(size, passed, { size: humanSize(size) });
  };

  const isDue = (): boolean =>
    bar === undefined && startedAt !== undefined && Date.now() - startedAt > PATIENCE_MS;

  return {
    through: (chunks) =>
      tapped(chunks, ({ length }) => {
        passed += length;
        bar?.update(passed);
        if (isDue()) void show();
      }),
    at(bytes) {
      passed = bytes;
      bar?.update(passed);
      if (isDue()) void show();
    },
    start() {
      startedAt ??= Date.now();
    },
    stop,
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
