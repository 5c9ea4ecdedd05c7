/**
 * How many files of a run are done, as a bar. Lines on stderr, questions at the terminal, and what
 * is written to a stdout that is one take the bar away first.
 */
import type { Terminal } from "../../terminal/terminal.js";
import { Bar, isSeen } from "./bar.js";
import type { Io } from "./io.js";
import type { Report } from "./report.js";

export interface FileProgress {
  /** For all that the run asks and writes meanwhile. */
  readonly io: Io;
  /** Tells how many files there are; counts only if somebody sees the bar. */
  count(files: () => Promise<number>): void;
  /** One more file is done. */
  add(): void;
  /** Before something is shown that is no line on stderr, nor a question. */
  hide(): void;
  /** Takes the bar away. */
  stop(): void;
}

/** @param json - a program reads what the run writes: no bar, as with `--quiet` */
export function fileProgress(
  { io, report }: { readonly io: Io; readonly report: Report },
  { json }: { readonly json: boolean },
): FileProgress {
  if (!isSeen(io, report.quiet || json)) return { io, ...UNSEEN };
  const bar = new Bar(io, "{bar} {value} of {total} files, {eta_formatted} left");
  const forget = report.beforeLines(() => {
    bar.hide();
  });
  return {
    io: makingWay(io, bar),
    count(files) {
      files().then(
        (total) => {
          bar.total = total;
        },
        () => undefined, // Whoever goes through the files meets the same fault, and tells it.
      );
    },
    add() {
      // The first one may have had to wait for a PIN.
      bar.start();
      bar.done++;
    },
    hide() {
      bar.hide();
    },
    stop() {
      forget();
      bar.stop();
    },
  };
}

const UNSEEN: Omit<FileProgress, "io"> = {
  count() {
    // Nothing is shown.
  },
  add() {
    // Nothing is shown.
  },
  hide() {
    // Nothing is shown.
  },
  stop() {
    // Nothing was shown.
  },
};

function makingWay(io: Io, bar: Bar): Io {
  const terminal: Io["terminal"] = async () => {
    const opened = await io.terminal();
    return opened && whileOpen(opened, bar);
  };
  // Not a copy: no stream is touched before it is used.
  return Object.assign(Object.create(io) as Io, { terminal });
}

function whileOpen(terminal: Terminal, bar: Bar): Terminal {
  return {
    ask(prompt, options) {
      bar.hold();
      return terminal.ask(prompt, options);
    },
    close() {
      terminal.close();
      bar.release();
    },
  };
}
