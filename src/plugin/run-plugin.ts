/** One run of `age-plugin-p11`: a state machine, with tokens behind it. */
import { P11SealError } from "../errors.js";
import { homeFolder } from "../store/home.js";
import { TokenAccess, type TokenAccessOptions } from "../token/access.js";
import { leaveMemoryOut } from "../token/process/no-core.js";
import { AgeClient } from "./age-client.js";
import { TokenFileKeys } from "./file-key-opener.js";
import { identityV1 } from "./identity-v1.js";
import { atPadThrough, pinThrough } from "./plugin-pin.js";
import { tell } from "./plugin-stderr.js";
import { takeStreams } from "./plugin-streams.js";
import { PluginRecipients } from "./recipient-finder.js";
import { recipientV1 } from "./recipient-v1.js";

/** The state machines that this plugin knows. */
export type Machine = "identity-v1" | "recipient-v1";

/**
 * Serves the client at stdin and stdout. Returns the exit status.
 *
 * @param keep - called once the work is done, to keep compiled code
 */
export async function run(machine: Machine, keep: () => void): Promise<number> {
  guardMemory();
  try {
    await serve(machine, keep);
    return 0;
  } catch (error) {
    // What any other error says may come from anywhere.
    tell(error instanceof P11SealError ? error.message : `unexpected: ${nameOf(error)}`);
    if (process.env["P11SEAL_DEBUG"] === "1" && error instanceof Error) tell(`${error.stack}`);
    return 1;
  }
}

async function serve(machine: Machine, keep: () => void): Promise<void> {
  const client = new AgeClient(takeStreams());
  const tokens = new TokensOfRun(keep, {
    home: homeFolder(process.env),
    env: process.env,
    pin: pinThrough(client, process.env),
    atPad: atPadThrough(client),
  });
  if (machine === "recipient-v1") await recipientV1(client, new PluginRecipients(tokens));
  else await identityV1(client, new TokenFileKeys(client, tokens));
}

function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return "an error";
  const { code = "" } = error as NodeJS.ErrnoException;
  return `${error.name} ${code}`.trimEnd();
}

/** This process will know a PIN: no crash writes it to a disk, and no debugger reads it. */
function guardMemory(): void {
  leaveMemoryOut();
  // Older Node opens a debugger's port on this signal, unless there is a handler.
  process.on("SIGUSR1", () => undefined);
}

/** With the last use of tokens this process has done its work, and may be killed at once. */
class TokensOfRun extends TokenAccess {
  readonly #keep: () => void;

  constructor(keep: () => void, options: TokenAccessOptions) {
    super(options);
    this.#keep = keep;
  }

  override async close(): Promise<void> {
    await super.close();
    this.#keep();
  }
}
