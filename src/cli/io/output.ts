/** Outputs as commands see them; `outputs.ts` makes them. */
import type { OutputPaths } from "../../records/ledger/ledger.js";
import type { Input } from "./inputs.js";

/** Where a command's bytes go. */
export interface Output {
  /** For messages. */
  readonly name: string;
  /** Does what can be done before the first bytes come, for whoever has time until then. */
  ahead?(): void;
  /** True of a file that appears whole; what is written elsewhere can't be taken back. */
  readonly isWhole?: boolean;
  /** Of such a file: its name until then, and afterwards. */
  readonly paths?: OutputPaths;
  /** Writes the parts one after the other, in as few calls as possible. */
  write(...parts: readonly Uint8Array[]): Promise<void>;
  /** For a file: it and its name must be on the disk before the run ends. */
  readonly durable?: boolean;
  /** True if nobody needs bytes again once they are written, so their memory may be freed. */
  readonly forgets: boolean;
  /** For a file: lets the caller write at positions after what was written already. */
  file?(): Promise<OutputFile>;
  /**
   * For a stream of this process: the descriptor that threads may write to while nobody else does.
   * A terminal offers none: Ctrl-C must be able to stop what is written there.
   */
  readonly descriptor?: number;
  /** The error to throw when a write to that file or descriptor failed. */
  failure?(error: unknown): Error;
  /**
   * Takes a whole file that an earlier run left under its temporary name; then only `place`
   * follows.
   */
  adopt?(temporary: string): void;
  /** Does everything that can fail, before any target changes. */
  prepare(): Promise<void>;
  /**
   * Gives the file its name; call `prepare` first. It is synchronous, so that no signal comes
   * between the files of one run. With `reversible`, what is replaced is kept until `close`.
   */
  place(options: { readonly reversible: boolean }): void;
  /** Undoes `place`. */
  displace(): void;
  /** Closes the output and removes what is temporary. May always be called. */
  close(): Promise<void>;
}

/** A file that is written at positions. */
export interface OutputFile {
  readonly fd: number;
  /** How many bytes were written already. */
  readonly offset: number;
  write(bytes: Uint8Array, position: number): Promise<void>;
  /** Reports bytes written at `offset`, or after those reported last: later writes follow them. */
  wrote(bytes: number): void;
  /** Discards everything after `offset`. */
  truncate(): Promise<void>;
}

export interface OutputOptions {
  /** Replace an existing regular file. */
  readonly force: boolean;
  /** `private`, for plaintext: only its owner may read it (0600). `public`: 0666 less the umask. */
  readonly mode: "private" | "public";
  /** For `private`: told when a file has its name, and others can read it all the same. */
  readonly exposed?: (name: string) => void;
  /** Files that are being read and must not be overwritten. */
  readonly inputs: readonly Input[];
  /** It must be on the disk when `prepare` is done, even if it replaces nothing. */
  readonly durable?: boolean;
  /** Once prepared, a ledger may name its temporary file, which no other run removes by itself. */
  readonly inLedger?: boolean;
}
