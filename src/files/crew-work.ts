/** The other side of `crew.ts`: what a thread of a crew is told, answers, and does. */
import type { MessagePort } from "node:worker_threads";
import { SegmentCipher, type SegmentCipherState } from "../body/floe.js";
import { openSegment, sealSegment } from "../body/segments.js";
import { AuthenticationError } from "../errors.js";

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

/** `parts` is missing when the segment is not authentic. */
export interface CrewAnswer {
  readonly parts?: readonly Uint8Array[];
  readonly leaf?: Uint8Array;
  readonly buffer: ArrayBuffer;
}

/** Answers jobs, in the order in which they come. */
export function serve(port: MessagePort, orders: CrewOrders): void {
  const cipher = new SegmentCipher(orders.crew);
  port.on("message", (job: CrewJob) => {
    const answer = answerTo(cipher, job);
    const own = [answer.buffer, ...(answer.parts ?? []).map(({ buffer }) => buffer as ArrayBuffer)];
    port.postMessage(answer, own);
  });
  port.postMessage("ready");
}

function answerTo(cipher: SegmentCipher, job: CrewJob): CrewAnswer {
  const { kind, index, final, hashed, length, buffer } = job;
  const segment = { index, final, hashed, bytes: new Uint8Array(buffer, 0, length) };
  try {
    const { parts, leaf } =
      kind === "seal" ? sealSegment(cipher, segment) : openSegment(cipher, segment);
    // A part may lie in memory that others use as well, and is then not ours to give away.
    const own = parts.map((part) => (part.buffer.byteLength === part.length ? part : part.slice()));
    return leaf === undefined
      ? { parts: own, buffer }
      : { parts: own, leaf: new Uint8Array(leaf), buffer };
  } catch (error) {
    if (error instanceof AuthenticationError) return { buffer };
    throw error;
  }
}
