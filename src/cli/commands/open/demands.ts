/**
 * What this receiver demands of messages, on the command line and in `config.toml`.
 */
import { UsageError } from "../../../errors.js";
import { openPolicy, readConfig } from "../../../records/config.js";
import { parseDuration } from "../../../records/duration.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import type { CertificateTrust } from "../../find/certificate-trust.js";
import { givenTrustOption } from "../../find/trust-options.js";
import { homeOf } from "../../io/home.js";
import type { Gate } from "./gate.js";

/**
 * The gate that a command's messages have to pass; undefined where nothing is demanded.
 *
 * @throws UsageError; FormatError `ERR_CONFIG`
 */
export async function gateOf(args: Arguments, context: Context): Promise<Gate | undefined> {
  const home = homeOf(context.io);
  const window = args.text("window");
  const policy = openPolicy(await readConfig(home), {
    from: args.texts("from"),
    windowMs: window === undefined ? undefined : parseDuration(window),
  });
  const trust = trustOf(args, context);
  if (policy !== undefined) {
    // What the command line names is read before a message is.
    if (givenTrustOption(args) !== undefined) await trust();
    const how = { inOrder: args.flag("in-order"), allowSha1: args.flag("allow-legacy") };
    // Loaded here: most messages are opened without demands.
    const { Gate } = await import("./gate.js");
    return new Gate(home, policy, { ...how, trust });
  }
  const senseless =
    ["in-order", "stream"].find((name) => args.flag(name)) ??
    ["receipt", "receipt-key"].find((name) => args.text(name) !== undefined) ??
    givenTrustOption(args);
  if (senseless !== undefined) {
    throw new UsageError("ERR_USAGE", `--${senseless} has no meaning without --from`, {
      hint: "say whose messages you accept with --from NAME, or any trusted sender's: --from any",
    });
  }
  return undefined;
}

/** What the user trusts, once it is asked for: most messages have no certificates. */
function trustOf(args: Arguments, context: Context): () => Promise<CertificateTrust> {
  let trust: Promise<CertificateTrust> | undefined;
  return () =>
    (trust ??= import("../../find/certificate-trust.js").then(({ certificateTrust }) =>
      certificateTrust(args, context),
    ));
}
