/**
 * Gives memory back at once. A cipher returns each segment in a new buffer of hundreds of KiB. To
 * the garbage collector that looks like a few bytes, so it runs late: by then the next segments
 * have fresh pages, which the kernel had to clear and no cache holds. Freed as soon as they are
 * written, the same few buffers serve again and again: half the memory, and ciphers a third faster.
 */
import { MessageChannel, type MessagePort } from "node:worker_threads";

/** A closed port: a buffer transferred to it is detached from us, arrives nowhere, and is freed. */
let nowhere: MessagePort | undefined;

/** Frees the memory behind those parts that are large. Nobody may use them again. */
export function release(parts: readonly Uint8Array[]): void {
  for (const part of parts) if (part.length > WORTH_FREEING_BYTES) free(part);
}

/** Length fields and tags are left to the garbage collector. */
const WORTH_FREEING_BYTES = 4096;

function free(bytes: Uint8Array): void {
  const { buffer } = bytes;
  // A view of something larger is not ours to free, and memory shared by threads can't be freed.
  if (buffer.byteLength !== bytes.length || !(buffer instanceof ArrayBuffer)) return;
  nowhere ??= closedPort();
  nowhere.postMessage(undefined, [buffer]);
}

/**
 * Makes the C library keep freed memory for the next allocation. By itself it returns large blocks,
 * and free memory at the end of the heap, to the kernel: each segment would get fresh pages. It
 * learns what counts as large from the largest block freed so far (glibc, mallopt(3),
 * M_MMAP_THRESHOLD), so one is freed here. It was never touched, so it never had pages.
 */
export function keepFreedMemory(): void {
  free(new Uint8Array(Buffer.allocUnsafeSlow(LEARNT_BYTES).buffer));
}

/** The size that then counts as large; free memory at the end of the heap may be twice that. */
const LEARNT_BYTES = 16 * 1024 * 1024;

function closedPort(): MessagePort {
  const { port1 } = new MessageChannel();
  port1.close();
  return port1;
}
