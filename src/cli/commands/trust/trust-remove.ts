/** `p11seal trust remove`. */
import {
  certificateFingerprint,
  readAuthorities,
  removeAuthority,
  requireAuthority,
} from "../../../records/authorities.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { certificateLine } from "../../find/certificates.js";
import { confirm } from "../../io/confirm.js";
import { homeOf } from "../../io/home.js";

export async function trustRemoveCommand(
  args: Arguments,
  { io, report }: Context,
): Promise<undefined> {
  const [text = ""] = args.operands;
  const home = homeOf(io);
  const { name, certificate } = requireAuthority(await readAuthorities(home), text);
  if (!args.flag("yes")) {
    await confirm(io, {
      act: "removing an authority",
      question:
        `remove "${name}", ${certificateLine(certificate)}? certificates below it are then not ` +
        "believed. type the name to confirm:",
      word: name,
      otherwise: "--yes confirms",
      refused: "nothing was removed",
    });
  }
  await removeAuthority(home, name);
  report.note(`removed ${name}, ${certificateFingerprint(certificate)}`);
  return undefined;
}
