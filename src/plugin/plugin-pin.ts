/**
 * The PIN: the age client asks for it, at its terminal or in a window. A client that can't leaves
 * `P11SEAL_PIN_SOURCE`. Each token's PIN is asked for once in a run, and sent once.
 */
import { TokenError } from "../errors.js";
import { pinFromBytes, pinFromSource } from "../token/session/pin.js";
import { padPrompt } from "../token/session/pin-question.js";
import type { AtPad, PinProvider, PinRequest } from "../token/values.js";
import type { AgeClient } from "./age-client.js";

/** Tells the person, through `client`, to type a PIN on the reader. */
export function atPadThrough(client: Pick<AgeClient, "show">): AtPad {
  return async (request, work) => {
    await client.show(padPrompt(request));
    return work();
  };
}

/** Says where PINs come from: `client`, or else the source that the environment names. */
export function pinThrough(
  client: Pick<AgeClient, "show" | "requestSecret">,
  env: Record<string, string | undefined>,
): PinProvider {
  return async (request) => {
    const { token } = request;
    if (token.pin === "low") await client.show("a wrong PIN was tried on this token before");
    const serial = token.serial === "" ? "" : ` (serial ${token.serial})`;
    const answer = await client.requestSecret(`PIN for token "${token.label}"${serial}:`);
    if (answer === undefined) return fromEnvironment(request, env);
    try {
      return pinFromBytes(answer);
    } finally {
      answer.fill(0);
    }
  };
}

async function fromEnvironment(
  request: PinRequest,
  env: Record<string, string | undefined>,
): Promise<string> {
  const source = env["P11SEAL_PIN_SOURCE"];
  if (source !== undefined && source !== "") return pinFromSource(source, env)(request);
  const { label } = request.token;
  throw new TokenError("ERR_PIN_MISSING", `no PIN for token "${label}": age could not ask for it`, {
    hint: "run age in a terminal, or set P11SEAL_PIN_SOURCE: env:VAR, file:PATH, cmd:COMMAND or pinentry",
  });
}
