/**
 * Waiting for a token that is not there: at a terminal until it is, elsewhere as long as `--wait`
 * says. A process of its own looks once a second. It starts the modules anew each time, since some
 * show only the tokens that were there when they started. It never gets a PIN.
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
  /** Errors are JSON, so a program is at work. Unless it said `--wait`, it won't expect to wait. */
  readonly json: boolean;
}

/**
 * Waits until a token that `uri` matches is there.
 *
 * @returns false if there was no waiting, or no such token came
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
    // If no module works, no token will ever be seen.
    if ((await lookout.modules()).every(({ library }) => library === undefined)) return false;
    let isInvited = false;
    for (;;) {
      if (await isThere(uri, lookout)) return true;
      const left = deadline - Date.now();
      if (left <= 0) return false;
      if (!isInvited) context.report.note(invitation(uri, seconds));
      isInvited = true;
      await sleep(Math.min(POLL_MS, left));
      await lookout.rescan();
    }
  } finally {
    await lookout.close();
  }
}

/** Seconds; Infinity at a terminal; 0 if nobody would know that a token is wanted. */
async function limitOf({ seconds, json }: Patience, { io, report }: Context): Promise<number> {
  if (seconds !== undefined) return seconds;
  // Whoever redirects or suppresses our messages would not see what is waited for.
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
    // If two match, the command refuses.
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

/** A module that hangs or crashes when asked will do so again. */
const HOPELESS: ReadonlySet<string> = new Set(["ERR_TOKEN_TIMEOUT", "ERR_TOKEN_CRASHED"]);

const POLL_MS = 1000;
