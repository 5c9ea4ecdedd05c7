/** The error for input that is no message, which names what it seems to be. */
import { ascii, equal, fromHex } from "../bytes.js";
import { FormatError } from "../errors.js";

/** FormatError `ERR_NOT_A_MESSAGE` for input that starts so; 8 bytes suffice to tell. */
export function notAMessage(start: Uint8Array): FormatError {
  return new FormatError("ERR_NOT_A_MESSAGE", describe(start), {
    hint: "p11seal opens what `p11seal seal` wrote",
  });
}

function describe(start: Uint8Array): string {
  if (start.length === 0) return "the input is empty";
  const looksLike = FOREIGN.find(([prefix]) => equal(prefix, start.subarray(0, prefix.length)));
  return looksLike === undefined
    ? "not a p11seal message"
    : `not a p11seal message: it looks like ${looksLike[1]}`;
}

const FOREIGN: readonly (readonly [Uint8Array, string])[] = [
  [ascii("age-encr"), "an age file"],
  [ascii("-----BEG"), "a PEM file"],
  [fromHex("8b503131"), "a message whose line ends were converted by a text transfer"],
];
