/** What a command line chooses of messages in CMS, and what has to be said about them. */
import { basename } from "node:path";
import { defined } from "../../../defined.js";
import type { CmsSealOptions } from "../../../envelope/seal-options.js";
import { UsageError } from "../../../errors.js";
import type { Recipient } from "../../../keys/key.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";

export interface CmsChoices {
  readonly smime: boolean;
  /** Files with the signer's certificate; none: it lies beside the key. */
  readonly certificates: readonly string[];
  /** The same as options for the message made of `source`, a path or `-`. */
  of(source: string): CmsSealOptions;
  /** Says how far recipients without certificates, and windows' cipher, can be relied on. */
  noteLimits(recipients: readonly Recipient[], isSigned: boolean, context: Context): void;
}

/** @throws UsageError */
export function cmsChoices(args: Arguments): CmsChoices {
  const isForWindows = args.text("profile") === "windows";
  const smime = args.flag("smime");
  const certificates = args.texts("cert");
  if (smime && args.flag("armor")) {
    throw new UsageError("ERR_USAGE", "--smime and --armor are two forms of text", {
      hint: "--smime is for mail programs, --armor for openssl cms -inform PEM",
    });
  }
  if (certificates.length > 0 && args.text("sign-with") === undefined) {
    throw new UsageError("ERR_USAGE", "--cert needs --sign-with", {
      hint: "it is the signer's certificate; name a recipient's with -r",
    });
  }
  const byKeyId = args.flag("by-ski");
  const profile = isForWindows ? ("windows" as const) : undefined;
  const of = (source: string): CmsSealOptions => ({
    byKeyId,
    ...defined({ profile, smime: smime ? partNamedAfter(source) : undefined }),
  });
  const noteLimits: CmsChoices["noteLimits"] = (recipients, isSigned, { report }) => {
    const bare = recipients.filter(({ certificate }) => certificate === undefined).length;
    if (bare > 0) {
      const all = recipients.length === 1 ? "the recipient" : `${bare} of ${recipients.length}`;
      report.note(
        `${all} without a certificate: named by the SHA-1 of the key, which most programs look for`,
      );
    }
    if (isForWindows && !isSigned) {
      report.note(
        "nothing vouches for the content of a message for windows: whoever passes it on can " +
          "alter it; sign it with --sign-with",
      );
    }
  };
  return { smime, certificates, of, noteLimits };
}

function partNamedAfter(source: string): { readonly name?: string } {
  return source === "-" ? {} : { name: basename(source) };
}
