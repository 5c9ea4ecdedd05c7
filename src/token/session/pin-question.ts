/** What a person is asked when a token wants a PIN, in the same words wherever it is asked. */
import type { PinRequest } from "../values.js";

/** The questions, all of which want the same answer: a new PIN is typed twice. */
export function pinQuestions({ token, kind, fresh }: PinRequest): readonly string[] {
  const name = `${fresh ? "new " : ""}${kind === "so" ? "security officer PIN" : "PIN"}`;
  const serial = token.serial === "" ? "" : ` (serial ${token.serial})`;
  const first = `${name} for token "${token.label}"${serial}:`;
  return fresh ? [first, `${name} again:`] : [first];
}

/** What a person should know before typing: what the token says about wrong PINs. */
export function pinWarning({ token }: PinRequest): string | undefined {
  if (token.pin === "low") return "a wrong PIN was tried on this token before";
  return token.pin === "final-try" ? "this is the last try before the PIN is locked" : undefined;
}
