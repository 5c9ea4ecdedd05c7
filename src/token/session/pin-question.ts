/** What a person is asked when a token wants a PIN, in the same words wherever it is asked. */
import { printable } from "../../printable.js";
import type { PadRequest, PinRequest } from "../values.js";

/** The questions, all of which want the same answer: a new PIN is typed twice. */
export function pinQuestions({ token, kind, fresh }: PinRequest): readonly string[] {
  const name = `${fresh ? "new " : ""}${pinName(kind)}`;
  const first = `${name} for ${tokenName(token)}:`;
  return fresh ? [first, `${name} again:`] : [first];
}

/** What a person is told who is to type a PIN on a reader. */
export function padPrompt({ token, kind, what }: PadRequest): string {
  const type = (pins: string): string => `type ${pins} for ${tokenName(token)} on the reader`;
  switch (what) {
    case "login":
      return type(`the ${pinName(kind)}`);
    case "use":
      return `${type("the PIN")}, for one use of the key`;
    case "change":
      return type("the old PIN, and then the new one,");
    case "set":
      return type("the new PIN");
  }
}

/** What a person should know before typing: what the token says about wrong PINs. */
export function pinWarning({ token }: Pick<PinRequest, "token">): string | undefined {
  if (token.pin === "low") return "a wrong PIN was tried on this token before";
  return token.pin === "final-try" ? "this is the last try before the PIN is locked" : undefined;
}

function pinName(kind: PinRequest["kind"]): string {
  return kind === "so" ? "security officer PIN" : "PIN";
}

/** In one line, whatever the token says. */
function tokenName({ label, serial }: PinRequest["token"]): string {
  return printable(`token "${label}"${serial === "" ? "" : ` (serial ${serial})`}`);
}
