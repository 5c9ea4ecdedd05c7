/** `p11seal keys list`: the keys that tokens show without a PIN. */
import { toHex } from "../../../bytes.js";
import { fingerprintText } from "../../../keys/public-key.js";
import type { KeyInfo } from "../../../token/values.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { withTokens } from "../../find/tokens.js";
import { decisive, troubleError, troubleText, whyEmpty } from "../../find/troubles.js";
import { write } from "../../io/io.js";
import { json, table } from "../../io/table.js";

export async function keysListCommand(args: Arguments, context: Context): Promise<undefined> {
  const [text] = args.operands;
  await withTokens(args, context, async (tokens) => {
    const uri = text === undefined ? undefined : tokens.uri(text);
    const access = await tokens.access();
    const keys = await access.keys(uri);
    const { stdout } = context.io;
    await write(stdout, args.flag("json") ? json({ keys: keys.map(asData) }) : describe(keys));
    const troubles = await access.troubles(uri);
    const trouble = decisive(troubles);
    if (trouble !== undefined && (keys.length === 0 || trouble.at === "module")) {
      throw troubleError(trouble);
    }
    for (const one of troubles) {
      if (one.at !== "module") context.report.note(`not listed: ${troubleText(one)}`);
    }
    if (keys.length === 0)
      context.report.note((await whyEmpty(uri ?? {}, access)) ?? "no key was found");
  });
}

function asData(key: KeyInfo): unknown {
  return {
    uri: key.uri,
    label: key.label,
    id: toHex(key.id),
    kind: key.kind,
    uses: key.uses,
    fingerprint: key.publicKey === undefined ? null : fingerprintText(key.publicKey),
    seenAs: key.seenAs,
    token: key.token,
  };
}

function describe(keys: readonly KeyInfo[]): string {
  return table(
    keys.map((key) => [
      key.label === "" ? "(no label)" : key.label,
      key.kind,
      key.uses.join("+") || "no use",
      key.publicKey === undefined ? "public half not found" : fingerprintText(key.publicKey),
      key.uri,
    ]),
  );
}
