/**
 * Reads FLOE segments from a stream: a last segment says how long it is, the others are full.
 */
import type { Reader } from "../stream.js";
import { SEGMENT_OVERHEAD, segmentLength } from "./floe.js";
import { cutWithin, damagedLength } from "./segment-faults.js";

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
  if ((await reader.into(field)) < 4) throw cutWithin(index);
  const length = segmentLength(field);
  if (length !== null && (length < SEGMENT_OVERHEAD || length > room.length)) {
    throw damagedLength(index, length);
  }
  const segment = room.subarray(0, length ?? room.length);
  const rest = segment.subarray(4);
  if ((await reader.into(rest)) < rest.length) throw cutWithin(index);
  return { segment, final: length !== null };
}
