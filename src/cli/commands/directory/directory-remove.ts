/** `p11seal senders remove`, `custodians remove` and `recipients remove`. */
import { readDirectory, removeEntry } from "../../../records/directory/directory-file.js";
import {
  requireEntry,
  type DirectoryEntry,
  type DirectoryKind,
} from "../../../records/directory/directory.js";
import { fingerprintText } from "../../../keys/public-key.js";
import type { Context, Run } from "../../command.js";
import { confirm } from "../../io/confirm.js";
import { homeOf } from "../../io/home.js";

export function removeFrom(kind: DirectoryKind): Run {
  return async (args, context) => {
    const [name = ""] = args.operands;
    const home = homeOf(context.io);
    const entry = requireEntry(await readDirectory(home, kind), name);
    if (!args.flag("yes")) await confirmRemoval(entry, kind, context);
    const removed = await removeEntry(home, kind, name);
    context.report.note(`removed ${removed.name}, ${fingerprintText(removed.publicKey)}`);
    return undefined;
  };
}

async function confirmRemoval(
  { name, publicKey }: DirectoryEntry,
  kind: DirectoryKind,
  { io }: Context,
): Promise<void> {
  await confirm(io, {
    act: "removing a key",
    question:
      `remove "${name}", ${fingerprintText(publicKey)}? ${CONSEQUENCE[kind]} ` +
      "type the name to confirm:",
    word: name,
    otherwise: "--yes confirms",
    refused: "nothing was removed",
  });
}

const CONSEQUENCE: Readonly<Record<DirectoryKind, string>> = {
  senders: "its messages will be refused, also those already sent.",
  custodians: "messages that it re-wrapped will be refused, also those already on disk.",
  recipients: "files can then not be sealed to that name.",
};
