/** For command lines that are sure to need a token: its process starts before the command's code loads. */
import { pinSource } from "../token/session/pin-variables.js";
import { startAhead } from "../token/process/start-ahead.js";
import type { Arguments } from "./arguments/arguments.js";
import type { Io } from "./io/io.js";

/** Starts the token's process. What is wrong with a PIN's source is told later, by the command. */
export function startTokenAhead(args: Arguments, { env }: Pick<Io, "env">): void {
  const sources = [
    ...["pin-source", "so-pin-source"].map((name) =>
      args.has(name) ? args.text(name) : undefined,
    ),
    env["P11SEAL_PIN_SOURCE"],
    env["P11SEAL_SO_PIN_SOURCE"],
  ];
  // A variable that holds a PIN is known as one from here on, and kept from other processes. What is
  // no source may be a PIN by mistake.
  const given = sources.filter((source) => source !== undefined);
  if (given.every((source) => pinSource(source) !== undefined)) startAhead(env);
}
