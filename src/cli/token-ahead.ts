/** Starts the token's process early, for command lines that will certainly need it. */
import { pinSource } from "../token/session/pin-variables.js";
import { startAhead } from "../token/process/start-ahead.js";
import type { Arguments } from "./arguments/arguments.js";
import type { Io } from "./io/io.js";

/** Starts the token's process. Faults in a PIN's source are left for the command to report. */
export function startTokenAhead(args: Arguments, { env }: Pick<Io, "env">): void {
  const sources = [
    ...["pin-source", "so-pin-source", "new-pin-source"].map((name) =>
      args.has(name) ? args.text(name) : undefined,
    ),
    env["P11SEAL_PIN_SOURCE"],
    env["P11SEAL_SO_PIN_SOURCE"],
    env["P11SEAL_NEW_PIN_SOURCE"],
  ];
  // From here on, variables that hold PINs are known, and are kept from other processes. Something
  // that is not a source may be a PIN given by mistake: then nothing is started.
  const given = sources.filter((source) => source !== undefined);
  if (given.every((source) => pinSource(source) !== undefined)) startAhead(env);
}
