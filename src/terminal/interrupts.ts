/**
 * Clean-up for when a signal stops the process: temporary files, the terminal's echo. Each clean-up
 * is a synchronous function, registered for as long as it is needed. `restore` runs them, latest
 * first. Only the programs handle signals, in their main files; the library does not.
 */
const pending = new Set<() => void>();

/** Registers `undo`. Returns a function that removes it. */
export function onInterrupt(undo: () => void): () => void {
  const entry = (): void => {
    undo();
  };
  pending.add(entry);
  return () => {
    pending.delete(entry);
  };
}

/** A signal that ends a program. */
export type EndingSignal = "SIGINT" | "SIGTERM" | "SIGHUP";

let taker: ((signal: EndingSignal) => void) | undefined;

/**
 * Has signals handed to `take`, instead of ending the program, until the function that is returned
 * is called.
 */
export function takeSignals(take: (signal: EndingSignal) => void): () => void {
  taker = take;
  return () => {
    taker = undefined;
  };
}

/** Hands a signal on. False if nobody takes it. */
export function handOn(signal: EndingSignal): boolean {
  taker?.(signal);
  return taker !== undefined;
}

/** Runs and removes what is registered. All of it runs, even if part of it fails. */
export function restore(): void {
  for (const undo of [...pending].reverse()) {
    pending.delete(undo);
    try {
      undo();
    } catch {
      // The process is ending. The other entries still have to run.
    }
  }
}
