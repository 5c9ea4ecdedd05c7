/** `p11seal keys audit`: keys judged against the key policy (docs/threat-model.md). */
import { PolicyError } from "../../../errors.js";
import type { Finding } from "../../../token/values.js";
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
    const { stdout } = context.io;
    await write(stdout, args.flag("json") ? json({ findings }) : table(rows, stdout.columns));
    const skipped =
      uri === undefined
        ? await silentTokens(await tokens.access(), (name) => `p11seal keys audit '${name}'`)
        : [];
    for (const line of skipped) context.report.note(line);
    context.report.note(summaryOf(findings));
    if (args.flag("strict") && findings.length > 0) {
      throw new PolicyError(
        "ERR_AUDIT",
        `${counted(findings.length, "finding")} against the key policy`,
      );
    }
  });
}

/** As in `3 findings (1 fault, 2 warnings) in 2 keys`. */
function summaryOf(findings: readonly Finding[]): string {
  if (findings.length === 0) return "no findings";
  const severities = [...new Set(findings.map(({ severity }) => severity))];
  const counts = severities.map((one) => {
    const count = findings.filter(({ severity }) => severity === one).length;
    return counted(count, one);
  });
  const keys = new Set(findings.map(({ key }) => key)).size;
  return `${counted(findings.length, "finding")} (${counts.join(", ")}) in ${counted(keys, "key")}`;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}
