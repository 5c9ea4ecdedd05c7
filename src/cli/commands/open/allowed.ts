/**
 * What `open` puts up with where messages of other programs have no better: content that nothing
 * vouches for, and algorithms of old. Each flag is about this run, and no configuration sets it.
 */
import type { AtEnd } from "../../../envelope/envelope.js";
import type { MessageInfo } from "../../../envelope/message-info.js";
import type { Allowances } from "../../../envelope/receiver.js";
import { PolicyError, UsageError } from "../../../errors.js";
import type { Secret } from "../../../secret.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { homeOf } from "../../io/home.js";

/** @throws UsageError: unauthenticated content of several files */
export function allowancesOf(args: Arguments, files: readonly string[]): Allowances {
  const unauthenticated = args.flag("allow-unauthenticated");
  if (unauthenticated && files.length > 1) {
    throw new UsageError(
      "ERR_USAGE",
      "--allow-unauthenticated is for one message, and several were given",
      { hint: "open each by itself, and see what it holds before you use it" },
    );
  }
  return { unauthenticated, legacy: args.flag("allow-legacy") };
}

/**
 * Keeps content that may be anybody's from a terminal, which obeys what it is sent. Before any key
 * is looked for.
 *
 * @throws PolicyError `ERR_UNAUTHENTICATED`
 */
export function requireAway(
  { authenticated }: MessageInfo,
  { unauthenticated }: Allowances,
  isTerminal: boolean,
): void {
  // Without the flag, nothing comes that is not signed inside.
  if (authenticated !== false || unauthenticated !== true || !isTerminal) return;
  throw new PolicyError(
    "ERR_UNAUTHENTICATED",
    "content that nothing vouches for is not written to a terminal",
    { hint: "write it to a file with -o FILE" },
  );
}

/** Says so, once such content was written. */
export function noteUnauthenticated(atEnd: AtEnd | undefined, { report }: Context): void {
  if (atEnd?.authenticated !== false) return;
  report.note("NOT AUTHENTICATED: anybody on the way may have changed what was opened");
}

/** The secret that implicit rejection is made from; the commands for CryptoAPI have it, too. */
export async function rejectionSecret({ io }: Context): Promise<Secret> {
  // Few messages need it, and it takes all of CryptoAPI with it.
  const { CapiHome } = await import("../capi/capi-home.js");
  return new CapiHome(homeOf(io)).rejectionSecret();
}
