/**
 * Findings as JUnit's XML, which CI servers show as tests: each message is one, and fails if
 * anything was found. The numbers stand at its start, so it is kept until all are known.
 */
import { basename, dirname } from "node:path";
import { printable } from "../../../printable.js";
import type { AuditWriter } from "./audit-report.js";
import { severityOf, type Audited, type Finding } from "./findings.js";

export class JunitAudit implements AuditWriter {
  readonly #cases: string[] = [];
  #failures = 0;
  #errors = 0;

  start(): string {
    return "";
  }

  file({ path, findings }: Audited): string {
    const [first, ...more] = findings;
    const name = `classname="${xml(dirname(path))}" name="${xml(basename(path))}"`;
    if (first === undefined) {
      this.#cases.push(`    <testcase ${name}/>\n`);
      return "";
    }
    const isError = first.kind === "unreadable";
    if (isError) this.#errors++;
    else this.#failures++;
    const element = isError ? "error" : "failure";
    const others = more.length === 0 ? "" : `, and ${more.length} more`;
    const summary = `type="${first.kind}" message="${xml(first.message + others)}"`;
    const lines = findings.map((one) => `${xml(line(one))}\n`).join("");
    this.#cases.push(
      `    <testcase ${name}>\n      <${element} ${summary}>\n${lines}</${element}>\n    </testcase>\n`,
    );
    return "";
  }

  end(): string {
    const counts = `tests="${this.#cases.length}" failures="${this.#failures}" errors="${this.#errors}"`;
    return [
      '<?xml version="1.0" encoding="UTF-8"?>\n',
      `<testsuites ${counts}>\n  <testsuite name="p11seal audit" ${counts} skipped="0">\n`,
      ...this.#cases,
      "  </testsuite>\n</testsuites>\n",
    ].join("");
  }
}

function line(finding: Finding): string {
  return `${severityOf(finding)}: ${finding.message} [${finding.kind}]`;
}

/**
 * Text for an attribute or an element. XML 1.0 (§2.2) has no place for most control characters, not
 * even escaped; those and all that a terminal would act on are shown as `\u{…}`.
 */
export function xml(text: string): string {
  return printable(text)
    .replace(/[\ufffe\uffff]/g, (one) => `\\u{${one.charCodeAt(0).toString(16)}}`)
    .replace(/[&<>"']/g, (one) => `&#${one.charCodeAt(0)};`);
}
