/** Connections over Node's IPC channel, between a process and the child it started. */
import type { ChildProcess } from "node:child_process";
import { onInterrupt } from "../../terminal/interrupts.js";
import type { ClientEnd, Listener, ServerEnd } from "./connection.js";
import { coreHint } from "./no-core.js";
import type { FromClient, FromServer } from "./wire.js";

/** The parent's end. It closes when the child exits, whenever the channel itself broke. */
export class ChildConnection implements ClientEnd {
  readonly #child: ChildProcess;
  /** The child is reading a PIN from the terminal that both processes share. */
  #isAtTerminal = false;

  /** `trace` gets each line that the child writes to stderr; modules write there what they like. */
  constructor(child: ChildProcess, trace: (line: string) => void) {
    this.#child = child;
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      for (const line of text.split("\n")) if (line !== "") trace(`module: ${line}`);
    });
    const forget = onInterrupt(() => {
      this.#interrupt();
    });
    child.once("exit", forget);
    child.once("error", forget);
  }

  send(message: FromClient): void {
    if (!this.#child.connected) return;
    this.#child.send(message, () => {
      // A broken channel is not an event of its own: the exit is reported instead.
    });
  }

  listen({ heard, closed }: Listener<FromServer>): void {
    this.#child.once("exit", (status, signal) => {
      closed({
        happened: howItEnded(status, signal),
        hint: `it ran in a process of its own; ${coreHint()}; a newer version of the token's software may help`,
      });
    });
    this.#child.on("error", ({ message }) => {
      closed({ subject: "the token's process", happened: `failed: ${message}` });
    });
    this.#child.on("message", (message) => {
      const sent = message as FromServer;
      try {
        if (sent.kind === "person") this.#isAtTerminal = sent.waiting && sent.atTerminal;
        heard(sent);
      } catch {
        // The module has written over the process's memory, or into its channel.
        this.destroy();
        closed({ subject: "the token's process", happened: "sent what nobody can understand" });
      }
    });
  }

  ref(): void {
    this.#child.ref();
    this.#child.channel?.ref();
  }

  unref(): void {
    letGo(this.#child);
  }

  close(): void {
    if (this.#child.connected) this.#child.disconnect();
  }

  destroy(): void {
    this.#child.kill("SIGKILL");
  }

  /** This program is told to stop, and so is the child, once it has restored the terminal. */
  #interrupt(): void {
    if (!this.#isAtTerminal) {
      this.destroy();
      return;
    }
    this.#child.kill("SIGTERM");
    // Whoever uses the terminal next must find its echo on. A signal handler can only wait by
    // blocking.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RESTORE_MS);
  }
}

const RESTORE_MS = 150;

/** Descriptor in the child of the stderr that this program was started with. */
export const COMMAND_STDERR = 4;

/** An idle child must not keep this process from ending. */
export function letGo(child: ChildProcess): void {
  child.unref();
  child.channel?.unref();
  // A pipe is a socket, though its type does not say so.
  (child.stderr as { unref?: () => void } | null)?.unref?.();
}

/** The child's end. It closes when the parent disconnects or dies. */
export function connectionToParent(): ServerEnd {
  return {
    send(message) {
      // If the parent is gone, nobody wants the message or its error.
      if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
    },
    listen({ heard, closed }) {
      process.on("message", (message: FromClient) => {
        heard(message);
      });
      process.once("disconnect", () => {
        closed({ happened: "disconnected" });
      });
    },
  };
}

function howItEnded(status: number | null, signal: string | null): string {
  return signal === null
    ? `ended its process with status ${String(status)}`
    : `crashed (${signal})`;
}
