/**
 * Where an agent's PINs come from. It runs for hours, so a source that can be read only once, or
 * that would leave the PIN in the agent's own environment, is refused.
 */
import { UsageError } from "../../../errors.js";
import type { PinFound } from "../../../agent/login.js";
import type { Purpose } from "../../../agent/keyring.js";
import type { PinRequest } from "../../../token/values.js";
import type { Pkcs11Uri } from "../../../token/uri.js";
import { matchesToken } from "../../../token/uri-match.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { pinReferrer } from "../../find/pins.js";

export interface AgentPins {
  readonly findPin: (request: PinRequest, purpose: Purpose) => Promise<PinFound>;
  /** Where it asks, in words. */
  readonly asks: string;
}

/**
 * @param uris - the keys that are served: their `pin-source` counts
 * @throws UsageError `ERR_PIN_SOURCE`
 */
export async function agentPins(
  args: Arguments,
  uris: readonly Pkcs11Uri[],
  context: Context,
): Promise<AgentPins> {
  const user = args.text("pin-source");
  const general = user ?? context.io.env["P11SEAL_PIN_SOURCE"];
  requireLasting(general);
  const refer = pinReferrer({ user, uris }, context);
  const findPin = async (request: PinRequest): Promise<PinFound> => {
    const hasSource =
      general !== undefined ||
      uris.some((uri) => uri.pinSource !== undefined && matchesToken(uri, request.token));
    return { pin: await refer(request), fromPerson: !hasSource };
  };
  return { findPin, asks: await whereItAsks(general, context) };
}

function requireLasting(source: string | undefined): void {
  if (source === undefined || /^(?:file|cmd):/.test(source)) return;
  throw new UsageError("ERR_PIN_SOURCE", "an agent's PIN comes from file:PATH or cmd:COMMAND", {
    hint: "it forgets the PIN and fetches it again; an environment would show it all the time",
  });
}

async function whereItAsks(source: string | undefined, { io }: Context): Promise<string> {
  if (source !== undefined) return source.startsWith("cmd:") ? "a command" : "a file";
  const terminal = await io.terminal();
  terminal?.close();
  return terminal === undefined ? "nowhere" : "the agent's own terminal";
}
