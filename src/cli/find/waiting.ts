/**
 * Waiting for a token that is not there: at a terminal until it is, elsewhere as long as `--wait` says.
 * Looking is done by a process of its own, once a second, which starts the modules anew each time, since
 * some show only the tokens that were there when they started. It never has a PIN.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { TokenError } from "../../errors.js";
import type { TokenService } from "../../token/service.js";
import type { Pkcs11Uri } from "../../token/uri.js";
import type { Context } from "../command.js";

/** What looking for a token takes. */
export type Lookout = Pick<TokenService, "modules" | "tokens" | "findToken" | "rescan" | "close">;

export interface Patience {
  /** `--wait`, in seconds. */
  readonly seconds: number | undefined;
  /** Errors are told as JSON: to a program, which has not said that it wants to wait. */
  readonly json: boolean;
}

/**
 * Waits until a token that `uri` matches is there.
 *
 * @returns false when there is no waiting, or it was in vain
 */
export async function awaitToken(
  uri: Pkcs11Uri,
  patience: Patience,
  context: Context,
  open: () => Promise<Lookout>,
): Promise<boolean> {
  const seconds = await limitOf(patience, context);
  if (seconds === 0) return false;
  const lookout = await open();
  try {
    const deadline = Date.now() + seconds * 1000;
    // Where no module works, no token will ever be seen.
    if ((await lookout.modules()).every(({ library }) => library === undefined)) return false;
    let isTold = false;
    for (;;) {
      if (await isThere(uri, lookout)) return true;
      const left = deadline - Date.now();
      if (left <= 0) return false;
      if (!isTold) context.report.note(invitation(uri, seconds));
      isTold = true;
      await sleep(Math.min(POLL_MS, left));
      await lookout.rescan();
    }
  } finally {
    await lookout.close();
  }
}

/** Seconds; Infinity at a terminal, 0 where nobody could be waited for. */
async function limitOf({ seconds, json }: Patience, { io, report }: Context): Promise<number> {
  if (seconds !== undefined) return seconds;
  // Who redirects messages, or wants none, would not know what is waited for.
  if (json || report.quiet || io.stderr.isTTY !== true) return 0;
  const terminal = await io.terminal();
  terminal?.close();
  return terminal === undefined ? 0 : Infinity;
}

async function isThere(uri: Pkcs11Uri, lookout: Lookout): Promise<boolean> {
  try {
    await lookout.findToken(uri);
    return true;
  } catch (error) {
    if (!(error instanceof TokenError) || HOPELESS.has(error.code)) throw error;
    // Two that match are for the command to refuse.
    return error.code === "ERR_TOKEN_NOT_UNIQUE";
  }
}

function invitation({ token, serial }: Pkcs11Uri, seconds: number): string {
  const number = serial === undefined ? "" : ` (serial ${serial})`;
  const wanted =
    token === undefined
      ? `${serial === undefined ? "a" : "the"} token${number}`
      : `token "${token}"${number}`;
  const until = seconds === Infinity ? "Ctrl-C to stop" : `up to ${seconds} s`;
  return `insert ${wanted}, waiting; ${until}`;
}

/** A module that hangs or crashes when it is asked will do so again. */
const HOPELESS: ReadonlySet<string> = new Set(["ERR_TOKEN_TIMEOUT", "ERR_TOKEN_CRASHED"]);

const POLL_MS = 1000;
