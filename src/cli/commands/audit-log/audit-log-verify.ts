/** `p11seal audit-log verify`: whether the record of openings is complete and unchanged. */
import { AuthenticationError, UsageError } from "../../../errors.js";
import {
  auditFiles,
  verifyAuditLog,
  type AuditHead,
  type AuditReport,
} from "../../../records/audit/audit-log.js";
import { defined } from "../../../defined.js";
import type { Arguments } from "../../arguments/arguments.js";
import { knownSigner } from "../../find/sender.js";
import { homeOf } from "../../io/home.js";
import { write } from "../../io/io.js";
import { json, table } from "../../io/table.js";
import type { Context } from "../../command.js";

export async function auditLogVerifyCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io, report } = context;
  const expected = expectedOf(args.text("expected"));
  const files = auditFiles(homeOf(io));
  const found = await verifyAuditLog(files, defined({ expected }));
  const text = args.flag("json") ? json(found) : describe(found) + (await passedOn(found, context));
  await write(io.stdout, text);
  for (const line of found.tornLines) {
    report.note(`line ${line}: cut short by a crash; no other line is affected`);
  }
  const { length } = found.problems;
  if (length > 0) {
    const count = length === 1 ? "1 problem" : `${length} problems`;
    throw new AuthenticationError("ERR_AUDIT_LOG", `${count} in the audit log "${files.log}"`, {
      hint: "it was changed, or replaced by an older copy; keep it as it is for an investigation",
    });
  }
  report.note(found.lines === 0 ? "the audit log is empty" : "no problem was found");
}

/** A head in the form that this command prints, `N:HASH`. */
function expectedOf(text: string | undefined): AuditHead | undefined {
  if (text === undefined) return undefined;
  const [, n, hash] = /^(0|[1-9][0-9]{0,14}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (n === undefined || hash === undefined) {
    throw new UsageError("ERR_USAGE", `--expected takes a head of the log, not "${text}"`, {
      hint: "give it as this command printed it: a number, a colon, 64 hexadecimal digits",
    });
  }
  return { n: Number(n), hash };
}

function describe({ lines, head, problems }: AuditReport): string {
  const summary = [
    ["lines", String(lines)],
    ...(head === undefined ? [] : [["head", `${head.n}:${head.hash}`]]),
  ];
  const details = problems.map(({ code, line, message }) => [`line ${line}`, code, message]);
  return table(summary) + table(details);
}

/** How many messages came by way of custodians. */
async function passedOn(found: AuditReport, context: Context): Promise<string> {
  const rows = found.passedOn.map(async ({ custodian, opened }) => {
    const known = await knownSigner({ keyId: custodian }, "custodians", context);
    const who =
      known === undefined ? "a key that is no custodian's now" : `custodian "${known.name}"`;
    const messages = opened === 1 ? "1 message" : `${opened} messages`;
    return [messages, `opened that ${who} had passed on`, `SHA256:${custodian}`];
  });
  return table(await Promise.all(rows));
}
