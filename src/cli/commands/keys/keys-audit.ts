/** `p11seal keys audit`: keys judged against the key policy (docs/threat-model.md). */
import { PolicyError } from "../../../errors.js";
import type { Arguments } from "../../arguments/arguments.js";
import { write } from "../../io/io.js";
import { json, table } from "../../io/table.js";
import { silentTokens } from "../../find/troubles.js";
import { withTokens } from "../../find/tokens.js";
import type { Context } from "../../command.js";

export async function keysAuditCommand(args: Arguments, context: Context): Promise<undefined> {
  const [text] = args.operands;
  await withTokens(args, context, async (tokens) => {
    const uri = text === undefined ? undefined : tokens.uri(text);
    const findings = await tokens.find(uri ?? {}, (access) => access.audit(uri));
    const rows = findings.map(({ severity, rule, key, message }) => [severity, rule, message, key]);
    await write(context.io.stdout, args.flag("json") ? json({ findings }) : table(rows));
    if (findings.length === 0) context.report.note("no findings");
    const skipped =
      uri === undefined
        ? await silentTokens(await tokens.access(), (name) => `p11seal keys audit '${name}'`)
        : [];
    for (const line of skipped) context.report.note(line);
    if (args.flag("strict") && findings.length > 0) {
      const count = findings.length === 1 ? "1 finding" : `${findings.length} findings`;
      throw new PolicyError("ERR_AUDIT", `${count} against the key policy`);
    }
  });
}
