/** The other side of `crew.ts`: what a thread of a crew is told, answers, and does. */
import type { MessagePort } from "node:worker_threads";
import { SegmentCipher, type SegmentCipherState } from "../body/floe.js";
import { openSegment, sealSegment } from "../body/segments.js";
import { AuthenticationError } from "../errors.js";
import { release } from "./release.js";

/** With what a thread starts. Holds a key. */
export interface CrewOrders {
  readonly crew: SegmentCipherState;
}

export interface CrewJob {
  readonly kind: "seal" | "open";
  readonly index: number;
  readonly final: boolean;
  readonly hashed: boolean;
  /** Bytes of the segment, from the start of `buffer`, which goes there and back. */
  readonly length: number;
  readonly buffer: ArrayBuffer;
}

/** `length` is missing when the segment is not authentic. */
export interface CrewAnswer {
  /** Bytes of the result, from the start of `buffer`. */
  readonly length?: number;
  readonly leaf?: Uint8Array;
  readonly buffer: ArrayBuffer;
}

/** Answers jobs, in the order in which they come. */
export function serve(port: MessagePort, orders: CrewOrders): void {
  const cipher = new SegmentCipher(orders.crew);
  port.on("message", (job: CrewJob) => {
    const answer = answerTo(cipher, job);
    port.postMessage(answer, [answer.buffer]);
  });
  port.postMessage("ready");
}

function answerTo(cipher: SegmentCipher, job: CrewJob): CrewAnswer {
  const { kind, index, final, hashed, length, buffer } = job;
  const segment = { index, final, hashed, bytes: new Uint8Array(buffer, 0, length) };
  try {
    const { parts, leaf } =
      kind === "seal" ? sealSegment(cipher, segment) : openSegment(cipher, segment);
    // Copied while it is in the cache: memory that one thread takes and another gives back is
    // returned to the kernel and cleared again for each segment.
    let at = 0;
    for (const part of parts) {
      new Uint8Array(buffer, at, part.length).set(part);
      at += part.length;
      release(part);
    }
    const result = { length: at, buffer };
    return leaf === undefined ? result : { ...result, leaf: new Uint8Array(leaf) };
  } catch (error) {
    if (error instanceof AuthenticationError) return { buffer };
    throw error;
  }
}
