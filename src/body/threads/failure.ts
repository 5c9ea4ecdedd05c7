/** The system refused a read or a write, or the input got shorter while it was read (`ESTALE`). */
export class FileFailure extends Error {
  readonly kind: "read" | "write";
  /** As in `ENOSPC`. */
  readonly code: string;

  constructor(kind: "read" | "write", code: string) {
    super(`${kind}: ${code}`);
    this.kind = kind;
    this.code = code;
  }
}
