/**
 * A connection between a client and the server that loads the modules, seen from either end.
 *
 * It carries the messages of wire.ts: each arrives whole, and in the order they were sent. Node's
 * channel between a process and its child is one carrier (ipc.ts). Whatever else can carry
 * structured clones, a socket for instance, needs one more file like that one and no change
 * elsewhere.
 */
import type { FromClient, FromServer } from "./wire.js";

/** What either end can do. */
export interface Connection<Sent, Heard> {
  /** Sends a message. It is lost if the other end is gone; `closed` reports that. */
  send(message: Sent): void;
  /** Called once, before the first message can arrive. */
  listen(listener: Listener<Heard>): void;
}

export interface Listener<Heard> {
  readonly heard: (message: Heard) => void;
  /** The other end is gone. May be called more than once. */
  readonly closed: (how: Closing) => void;
}

/** How a connection ended, in words for an error message. */
export interface Closing {
  /** By default, the module whose code was running. */
  readonly subject?: string;
  /** As in "crashed (SIGSEGV)". */
  readonly happened: string;
  readonly hint?: string;
}

/** The server's end. */
export type ServerEnd = Connection<FromServer, FromClient>;

/** The client's end. */
export interface ClientEnd extends Connection<FromClient, FromServer> {
  /** Keeps this process from ending while an answer is awaited. */
  ref(): void;
  /** An idle connection keeps nothing running. */
  unref(): void;
  /** Nothing more will be sent. A server that exists for this client alone ends. */
  close(): void;
  /** Ends the connection at once, even if the server is stuck in a native call. */
  destroy(): void;
}
