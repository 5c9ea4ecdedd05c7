/** Whether the certificates of recipients are believed before anything is sealed to their keys. */
import { PolicyError } from "../../errors.js";
import { defined } from "../../defined.js";
import type { Arguments } from "../arguments/arguments.js";
import type { Context } from "../command.js";
import type { CertificateTrust } from "./certificate-trust.js";
import type { FoundKey } from "./public-keys.js";
import { givenTrustOption } from "./trust-options.js";

/** Throws to refuse a recipient. */
export type RecipientJudge = (key: FoundKey) => Promise<void>;

/**
 * A judge of recipients that come with a certificate. Keys that the user's directory or token holds
 * are trusted for that, unless `--trust` asks for more.
 *
 * @param isDemanded - the format is for certificates: one that is not believed is refused; else it
 *   is noted, unless `--trust` is given or the settings demand it
 */
export function recipientJudge(
  args: Arguments,
  isDemanded: boolean,
  context: Context,
): RecipientJudge {
  let found: Promise<CertificateTrust> | undefined;
  const isNamed = args.texts("trust").length > 0;
  return async ({ certificate, chain, where, origin }) => {
    if (certificate === undefined) return;
    if (!isNamed && (origin.kind === "name" || origin.kind === "token")) return;
    let isRefused = isDemanded || givenTrustOption(args) !== undefined;
    try {
      // Loaded here, so that keys without certificates need none of it, nor a data folder.
      const { certificateTrust } = await import("./certificate-trust.js");
      const trust = await (found ??= certificateTrust(args, context));
      isRefused ||= trust.isRequired;
      trust.judge({ certificate, use: "encrypt", ...defined({ others: chain }) });
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      if (isRefused && error.code === "ERR_UNSAFE_FILE") throw error;
      if (isRefused && !args.flag("allow-untrusted-cert")) throw untrusted(error, where);
      context.report.note(`${where}: the certificate is not verified: ${error.message}`);
    }
  };
}

function untrusted({ code, message, hint }: PolicyError, where: string): PolicyError {
  const advice = hint ?? "ask its owner for another, or check whose it is";
  return new PolicyError(code, `${where}: ${message}`, {
    hint: `${advice}; to seal all the same: --allow-untrusted-cert`,
  });
}
