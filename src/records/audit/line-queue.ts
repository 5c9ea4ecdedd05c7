/**
 * Lines that wait to be added to an audit log, so that several go together: each time costs a lock,
 * which other processes want as well, and waits for the disk.
 */
import type { AuditEvent, AuditHead } from "./audit-line.js";

/** A line that waits to be written. */
export interface Entry {
  readonly event: AuditEvent;
  readonly time: string;
  readonly resolve: (head: AuditHead) => void;
  readonly reject: (error: unknown) => void;
}

/** The most lines that are written under one lock. */
export const AT_ONCE = 64;

/** How long a line waits for others that are to follow. A killed process may lose these lines. */
const GATHER_MS = 10;

export class LineQueue {
  #entries: Entry[] = [];
  /** How many of them wait for no others. */
  #urgent = 0;
  #hurry: () => void = () => undefined;

  get length(): number {
    return this.#entries.length;
  }

  add(entry: Entry, { moreFollow }: { readonly moreFollow: boolean }): void {
    this.#entries.push(entry);
    if (!moreFollow) this.#urgent = this.#entries.length;
    if (this.#isDue()) this.#hurry();
  }

  /** Waits for more lines, as long as all that are here may. */
  async gather(): Promise<void> {
    if (this.#isDue()) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, GATHER_MS);
      this.#hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#hurry = () => undefined;
  }

  /** The first ones, which are no longer here then. */
  take(most: number): readonly Entry[] {
    this.#urgent = Math.max(0, this.#urgent - most);
    return this.#entries.splice(0, most);
  }

  #isDue(): boolean {
    return this.#urgent > 0 || this.#entries.length >= AT_ONCE;
  }
}
