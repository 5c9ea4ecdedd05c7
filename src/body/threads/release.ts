/**
 * Memory given back at once. What a cipher returns is a buffer of its own, hundreds of KiB of it for a
 * segment, and the garbage collector, to which it looks like a few bytes, comes late: by then the next
 * segments have been given fresh pages, which the kernel clears and no cache holds. Freed as soon as
 * they were written, a few buffers go round: less memory by half, and ciphers faster by a third.
 */
import { MessageChannel, type MessagePort } from "node:worker_threads";

/** A closed port: what is transferred to it is detached from us, goes nowhere, and is freed. */
let nowhere: MessagePort | undefined;

/** Frees the memory behind `bytes`, which must not be used again; nobody else may use it either. */
export function release(bytes: Uint8Array): void {
  const { buffer } = bytes;
  // A view of something larger is not ours to free; memory shared by threads can't be.
  if (buffer.byteLength !== bytes.length || !(buffer instanceof ArrayBuffer)) return;
  nowhere ??= closedPort();
  nowhere.postMessage(undefined, [buffer]);
}

/**
 * Has the C library keep what is freed, for the next to ask. It gives large blocks back to the kernel,
 * and what is free at the end of a thread's memory, so that each segment would get fresh pages; where it
 * draws the line it learns from the largest block freed so far (glibc, mallopt(3), M_MMAP_THRESHOLD).
 * A block that is never touched has no pages.
 */
export function keepFreedMemory(): void {
  release(new Uint8Array(Buffer.allocUnsafeSlow(LEARNT_BYTES).buffer));
}

/** The line is drawn here then, and at twice as much of what is free at the end. */
const LEARNT_BYTES = 16 * 1024 * 1024;

function closedPort(): MessagePort {
  const { port1 } = new MessageChannel();
  port1.close();
  return port1;
}
