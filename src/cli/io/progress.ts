/** A progress bar on stderr, for work that takes long enough to wonder about. */
import type { SingleBar } from "cli-progress";
import { onInterrupt } from "../../terminal/interrupts.js";
import { tapped } from "../../stream.js";
import type { Io } from "./io.js";

/** Work that is done sooner shows no bar. */
const PATIENCE_MS = 700;

/** So little is done at once; whether there is a terminal need not even be asked. */
const LITTLE_BYTES = 4096;

export interface Progress {
  /** Counts the bytes that pass. */
  through(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>;
  /** Bytes done so far, where they don't pass through. */
  at(bytes: number): void;
  /** The work began: what was before, such as typing a PIN, is not counted as waiting. */
  start(): void;
  /** Takes the bar away. */
  stop(): void;
}

/** `size`: bytes to come; without it there is no bar, and none without a terminal or with `--quiet`. */
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
