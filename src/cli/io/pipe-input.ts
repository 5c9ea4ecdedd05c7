/**
 * stdin as a pipe or socket, read straight into the reader's buffers. Node's own stdin allocates a
 * buffer for every 64 KiB, which is then copied once more.
 */
import { Socket } from "node:net";
import { fillingSource, type FillingSource } from "../../stream.js";
import { fileError } from "../../store/system-error.js";

export class PipeInput {
  readonly chunks: FillingSource;
  readonly #descriptor: number;
  #socket: Socket | undefined;
  /** What is being filled, and how much of it is full. */
  #target: Uint8Array = NOTHING;
  #filled = 0;
  /**
   * The buffer of the next read is chosen when the last one ends: this one, unless a large target
   * is waiting. It is small, because its bytes are copied.
   */
  readonly #between = new Uint8Array(Buffer.allocUnsafeSlow(BETWEEN_BYTES).buffer);
  #into: Uint8Array = NOTHING;
  /**
   * The bytes in `#between` that nobody has taken yet. While there are any, nothing is read.
   */
  #held: Uint8Array = NOTHING;
  #ended = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
    this.chunks = fillingSource((target) => this.#fill(target));
  }

  /** Gives up a pipe before its end: the process would wait for its writer otherwise. */
  close(): void {
    this.#end();
    this.#socket?.destroy();
  }

  /**
   * Fills all of a large `target`, unless the end comes first. A small one is for a header, and is
   * not worth a wait.
   */
  async #fill(target: Uint8Array): Promise<number> {
    this.#target = target;
    this.#filled = 0;
    this.#takeHeld();
    if (!this.#isEnough() && !this.#ended) {
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#socket ??= this.#opened();
      this.#socket.resume();
      await woken;
    }
    const filled = this.#filled;
    this.#target = NOTHING;
    this.#filled = 0;
    if (filled === 0 && this.#error !== undefined) {
      throw fileError("ERR_READ", "stdin", this.#error);
    }
    return filled;
  }

  #opened(): Socket {
    const onread = {
      buffer: () => {
        const isLarge = this.#target.length > PIPE_BYTES && this.#filled < this.#target.length;
        this.#into = isLarge ? this.#target.subarray(this.#filled) : this.#between;
        return this.#into;
      },
      callback: (bytes: number) => {
        if (this.#into === this.#between) this.#held = this.#between.subarray(0, bytes);
        else this.#filled += bytes;
        this.#takeHeld();
        if (this.#isEnough()) this.#wake?.();
        return this.#held.length === 0;
      },
    };
    // The types have `onread` for `connect` only; the constructor takes it too.
    const options = { fd: this.#descriptor, readable: true, writable: false, onread };
    return new Socket(options)
      .on("end", () => {
        this.#end();
      })
      .on("error", (error) => {
        this.#error = error;
        this.#end();
      });
  }

  #end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  #isEnough(): boolean {
    const { length } = this.#target;
    return length > 0 && this.#filled >= (length > PIPE_BYTES ? length : 1);
  }

  #takeHeld(): void {
    const part = this.#held.subarray(0, this.#target.length - this.#filled);
    this.#target.set(part, this.#filled);
    this.#filled += part.length;
    this.#held = this.#held.subarray(part.length);
  }
}

const NOTHING = new Uint8Array(0);

/** The capacity of a pipe. */
const PIPE_BYTES = 64 * 1024;

/** A page, the unit that pipes are made of. */
const BETWEEN_BYTES = 4096;
