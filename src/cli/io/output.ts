/** Outputs, as commands see them: `outputs.ts` makes them. */
import type { OutputPaths } from "../../records/ledger/ledger.js";
import type { Input } from "./inputs.js";

/** Where a command's bytes go. */
export interface Output {
  /** For messages. */
  readonly name: string;
  /** Where the output is a file that appears whole: what it is called until then, and afterwards. */
  readonly paths?: OutputPaths;
  /** Writes one after the other, in as few calls as there can be. */
  write(...parts: readonly Uint8Array[]): Promise<void>;
  /** Where the output is a file: it, and its name, are to be on the disk before the run is over. */
  readonly durable?: boolean;
  /** What was written is not looked at again: its memory may be freed. */
  readonly forgets: boolean;
  /** Where the output is a file: it, for writing at positions after what was written already. */
  file?(): Promise<OutputFile>;
  /**
   * Where the output is a stream of this process: its descriptor, for threads to write to while nobody
   * else does. Not a terminal's: there a key pressed must come first.
   */
  readonly descriptor?: number;
  /** What a failed write to that file or descriptor is told as. */
  failure?(error: unknown): Error;
  /** Takes a whole file that an earlier run left under its temporary name; only `place` comes after. */
  adopt?(temporary: string): void;
  /** Everything a later step could fail at, before any target changes. */
  prepare(): Promise<void>;
  /**
   * Gives the file its name; call `prepare` first. In one go, so that no signal comes between the
   * files of one run. `reversible` keeps what is replaced until `close`.
   */
  place(options: { readonly reversible: boolean }): void;
  /** Takes `place` back. */
  displace(): void;
  /** Lets go of what is left. Safe to call always, and after which nothing temporary is there. */
  close(): Promise<void>;
}

/** A file that is written by position. */
export interface OutputFile {
  readonly fd: number;
  /** Bytes that were written already. */
  readonly offset: number;
  write(bytes: Uint8Array, position: number): Promise<void>;
  /** Bytes were written at `offset`, or after what this was told last; what comes next follows them. */
  wrote(bytes: number): void;
  /** Throws away everything after `offset`. */
  truncate(): Promise<void>;
}

export interface OutputOptions {
  /** Replace an existing regular file. */
  readonly force: boolean;
  /** `private`: for plaintext, its owner alone (0600); `public`: what the umask leaves of 0666. */
  readonly mode: "private" | "public";
  /** Files that are being read, and must not be written. */
  readonly inputs: readonly Input[];
  /** Have it on the disk when `prepare` is done, whether or not it replaces something. */
  readonly durable?: boolean;
}
