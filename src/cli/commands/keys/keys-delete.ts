/** `p11seal keys delete`: a key pair, for good. */
import { toHex } from "../../../bytes.js";
import { UsageError } from "../../../errors.js";
import type { KeyInfo } from "../../../token/values.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { keyAt } from "../../find/hidden-keys.js";
import { withTokens } from "../../find/tokens.js";
import { confirm } from "../../io/confirm.js";

export async function keysDeleteCommand(args: Arguments, context: Context): Promise<undefined> {
  const [text = ""] = args.operands;
  await withTokens(args, context, async (tokens) => {
    const uri = tokens.uri(text);
    const namesToken = uri.token !== undefined || uri.serial !== undefined;
    if (!namesToken || (uri.object === undefined && uri.id === undefined)) {
      throw new UsageError("ERR_URI_INCOMPLETE", "the URI does not name one key on one token", {
        hint: "give token= or serial=, and object= or id=; p11seal keys list prints such URIs",
      });
    }
    const access = await tokens.access();
    const key = await keyAt(uri, tokens);
    const certificates = args.flag("certificates");
    if (!args.flag("yes")) await confirmDeletion(key, certificates, context);
    await access.deleteKey(key, { certificates });
    context.report.note(`deleted ${key.uri}`);
    if (key.certificates.length > 0 && !certificates) {
      context.report.note("its certificate is still on the token; --certificates deletes it, too");
    }
  });
}

async function confirmDeletion(
  key: KeyInfo,
  certificates: boolean,
  { io }: Context,
): Promise<void> {
  const word = key.label === "" ? toHex(key.id) : key.label;
  await confirm(io, {
    act: "deleting a key",
    question:
      `delete ${key.kind} key "${word}"${withCertificates(key, certificates)} ` +
      `on token "${key.token.label}" permanently? ` +
      `what is sealed to it can then not be opened. type its ${key.label === "" ? "id" : "label"} to confirm:`,
    word,
    otherwise: "--yes confirms",
    refused: "nothing was deleted",
  });
}

function withCertificates({ certificates }: KeyInfo, areDeleted: boolean): string {
  if (certificates.length === 0) return "";
  return areDeleted ? " and its certificate" : ", but not its certificate,";
}
