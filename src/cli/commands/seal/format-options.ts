/** Which options of `seal` are for which message format. */
import { UsageError } from "../../../errors.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { SealedKind } from "../file-tasks.js";

/** The formats that files are sealed in, by their names on the command line. */
export type SealFormat = Exclude<SealedKind, "mail">;

/**
 * Refuses what the format has no place for, before anything is looked for.
 *
 * @throws UsageError `ERR_FORMAT_OPTION`
 */
export function requireInFormat(format: SealFormat, args: Arguments): void {
  const option = WITHOUT[format].find((name) => isGiven(name, format, args));
  if (option === undefined) return;
  throw new UsageError("ERR_FORMAT_OPTION", `--${option} with --format ${format}`, {
    hint: hintFor(option, format),
  });
}

const OF_CMS = ["cert", "profile", "smime", "by-ski"] as const;

const WITHOUT: Readonly<Record<SealFormat, readonly string[]>> = {
  p11seal: OF_CMS,
  age: ["sign-with", "key-blob", "oaep", "expires", "stream-name", ...OF_CMS],
  cms: ["key-blob", "expires", "stream-name"],
};

function isGiven(option: string, format: SealFormat, args: Arguments): boolean {
  if (option === "smime" || option === "by-ski") return args.flag(option);
  if (option === "cert") return args.texts(option).length > 0;
  const value = args.text(option);
  // age's own hash may be asked for.
  return value !== undefined && !(option === "oaep" && format === "age" && value === "sha256");
}

function hintFor(option: string, format: SealFormat): string {
  if (OF_CMS.some((name) => name === option)) return "it is for messages in CMS: --format cms";
  const hint = HINTS[`${format} ${option}`] ?? HINTS[option];
  return hint ?? "leave it out, or seal in p11seal's own format";
}

const HINTS: Readonly<Record<string, string>> = {
  "age sign-with": "age files are not signed; seal in p11seal's own format, or as CMS",
  "age oaep": "age has one form of RSA-OAEP: SHA-256, and a label",
  "cms key-blob": "a CMS message is one file; its lengths stand before its wrapped keys",
  "cms expires": "CMS messages have a signing time, and no end; seal in p11seal's own format",
};
