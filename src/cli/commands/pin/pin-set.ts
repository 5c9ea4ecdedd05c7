/**
 * `p11seal pin change` and `pin unblock`: a new PIN for a token. What the token says about its PINs
 * is told before any is asked for.
 */
import type { PinPolicy, PinState, TokenInfo } from "../../../token/values.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { withTokens } from "../../find/tokens.js";
import { write } from "../../io/io.js";
import { json } from "../../io/table.js";

export function pinChangeCommand(args: Arguments, context: Context): Promise<undefined> {
  return setPin("changePin", args, context);
}

export function pinUnblockCommand(args: Arguments, context: Context): Promise<undefined> {
  return setPin("unblockPin", args, context);
}

async function setPin(
  how: "changePin" | "unblockPin",
  args: Arguments,
  context: Context,
): Promise<undefined> {
  const { io, report } = context;
  await withTokens(args, context, async (tokens) => {
    const text = args.text("token");
    const uri = text === undefined ? {} : tokens.uri(text);
    const token = await tokens.find(uri, (service) => service.findToken(uri));
    const access = await tokens.access();
    for (const line of policyLines(token, await access.pinPolicy(token))) report.note(line);
    await access[how](token);
    const policy = await access.pinPolicy(token);
    if (args.flag("json")) await write(io.stdout, json({ token: token.uri, pin: policy }));
    report.note(`token "${token.label}" has a new PIN`);
  });
}

/** That few tries are left is told where the PIN is asked for. */
function policyLines({ label }: TokenInfo, policy: PinPolicy): string[] {
  const { length, toBeChanged, user } = policy;
  const name = `token "${label}"`;
  return [
    ...(length === undefined ? [] : [`${name} takes PINs of ${length.min} to ${length.max} bytes`]),
    ...(toBeChanged ? [`${name} says that its PIN is to be changed`] : []),
    ...(STATES[user] === undefined ? [] : [`${name}: ${STATES[user]}`]),
  ];
}

const STATES: Partial<Record<PinState, string>> = {
  locked: "its PIN is locked",
  "not-set": "it may have no PIN yet",
};
