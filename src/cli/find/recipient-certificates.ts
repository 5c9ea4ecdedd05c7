/** Whether the certificates of recipients are believed before anything is sealed to their keys. */
import { PolicyError } from "../../errors.js";
import { defined } from "../../defined.js";
import type { Arguments } from "../arguments/arguments.js";
import type { Context } from "../command.js";
import type { CertificateTrust } from "./certificate-trust.js";
import type { FoundKey } from "./public-keys.js";

/** Throws to refuse a recipient. */
export type RecipientJudge = (key: FoundKey) => Promise<void>;

/**
 * A judge of recipients that come with a certificate. Keys that the user's directory or token holds
 * are trusted for that, unless `--trust` asks for more.
 *
 * @param isDemanded - the format is for certificates: one that is not believed is refused; else it
 *   is noted, unless `--trust` is given
 */
export function recipientJudge(
  args: Arguments,
  isDemanded: boolean,
  context: Context,
): RecipientJudge {
  let found: Promise<CertificateTrust> | undefined;
  return async ({ certificate, chain, where, origin }) => {
    if (certificate === undefined) return;
    const isNamed = args.texts("trust").length > 0;
    if (!isNamed && (origin.kind === "name" || origin.kind === "token")) return;
    // Loaded here, so that keys without certificates need none of it.
    const { certificateTrust } = await import("./certificate-trust.js");
    const trust = await (found ??= certificateTrust(args, context));
    try {
      trust.judge({ certificate, use: "encrypt", ...defined({ others: chain }) });
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      const isRefused = (isDemanded || isNamed) && !args.flag("allow-untrusted-cert");
      if (isRefused) throw untrusted(error, where);
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
