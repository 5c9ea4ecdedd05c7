/**
 * Reads FLOE segments from a stream: a last segment says how long it is, the others are full.
 */
import { AuthenticationError } from "../errors.js";
import type { Reader } from "../stream.js";
import { SEGMENT_OVERHEAD, segmentLength } from "./floe.js";

/**
 * Reads segment `index`, whole, to the start of `room`, which a full segment fills.
 *
 * @throws AuthenticationError `ERR_TRUNCATED`, `ERR_SEGMENT`
 */
export async function readFloeSegment(
  reader: Reader,
  room: Uint8Array,
  index: number,
): Promise<{ readonly segment: Uint8Array; readonly final: boolean }> {
  const field = room.subarray(0, 4);
  if ((await reader.into(field)) < 4) throw cut(index);
  const length = segmentLength(field);
  if (length !== null && (length < SEGMENT_OVERHEAD || length > room.length)) {
    throw damaged(index, length);
  }
  const segment = room.subarray(0, length ?? room.length);
  const rest = segment.subarray(4);
  if ((await reader.into(rest)) < rest.length) throw cut(index);
  return { segment, final: length !== null };
}

function cut(index: number): AuthenticationError {
  return new AuthenticationError(
    "ERR_TRUNCATED",
    `the message is cut off within segment ${index}`,
    {
      hint: "the message is not complete; ask for it again",
    },
  );
}

function damaged(index: number, length: number): AuthenticationError {
  return new AuthenticationError("ERR_SEGMENT", `segment ${index} claims ${length} bytes`, {
    hint: "the message was altered or damaged on its way; ask for it again",
  });
}
