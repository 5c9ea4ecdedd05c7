/** What can be wrong with a sealed segment, whatever it is sealed with. */
import { AuthenticationError } from "../errors.js";

/** The segment was altered, or is not the one of this position. */
export function notAuthentic(index: number): AuthenticationError {
  return altered(`segment ${index} is not authentic`);
}

/** A segment before the end says that it is `length` bytes long, which none is. */
export function damagedLength(index: number, length: number): AuthenticationError {
  return altered(`segment ${index} claims ${length} bytes`);
}

/** Only an empty message ends with an empty segment. */
export function emptySegment(index: number): AuthenticationError {
  return altered(`segment ${index} is empty`);
}

/** The input ends within the segment. */
export function cutWithin(index: number): AuthenticationError {
  return new AuthenticationError(
    "ERR_TRUNCATED",
    `the message is cut off within segment ${index}`,
    { hint: "the message is not complete; ask for it again" },
  );
}

function altered(fact: string): AuthenticationError {
  return new AuthenticationError("ERR_SEGMENT", fact, {
    hint: "the message was altered or damaged on its way; ask for it again",
  });
}
