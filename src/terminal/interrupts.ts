/**
 * What must be put right when the process is told to stop half way: temporary files, the terminal's
 * echo. Each is a synchronous function, registered for as long as it is needed; `restore` runs what
 * is registered, latest first. The signals themselves are caught in `main.ts`, and only for the
 * program.
 */
const pending = new Set<() => void>();

/** Registers `undo` and returns the function that takes it back. */
export function onInterrupt(undo: () => void): () => void {
  const entry = (): void => {
    undo();
  };
  pending.add(entry);
  return () => {
    pending.delete(entry);
  };
}

/** Runs what is registered, once. A failure of one must not keep the others from running. */
export function restore(): void {
  for (const undo of [...pending].reverse()) {
    pending.delete(undo);
    try {
      undo();
    } catch {
      // Best effort: the process is on its way out, and the next entry may matter more.
    }
  }
}
