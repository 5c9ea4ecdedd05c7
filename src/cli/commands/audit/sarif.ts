/**
 * Findings in SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format"), which code hosts
 * and editors show beside the files. One run; a reporting descriptor for each kind of finding.
 */
import { isAbsolute, sep } from "node:path";
import { json } from "../../io/table.js";
import { version } from "../../version.js";
import { ListText, type AuditSummary, type AuditWriter } from "./audit-report.js";
import {
  FINDING_KINDS,
  FINDING_RULES,
  severityOf,
  type Audited,
  type Finding,
  type Severity,
} from "./findings.js";

export class SarifAudit implements AuditWriter {
  readonly #list = new ListText("        ");

  start(): string {
    const head = { $schema: SCHEMA, version: "2.1.0", runs: [{ tool: { driver: driver() } }] };
    // The run is left open, for its results.
    return `${json(head).slice(0, -"\n    }\n  ]\n}\n".length)},\n      "results": [`;
  }

  file({ path, findings }: Audited): string {
    return this.#list.add(findings.map((finding) => result(path, finding)));
  }

  end(summary: AuditSummary): string {
    const { unreadable } = summary;
    const invocations = [{ executionSuccessful: unreadable === 0 }];
    const rest = json({ invocations, properties: { summary } });
    const indented = rest.slice("{\n".length, -"\n}\n".length).replaceAll("\n", "\n    ");
    return `${this.#list.end()},\n    ${indented}\n    }\n  ]\n}\n`;
  }
}

const SCHEMA =
  "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/** §3.18, §3.19: the program, and what it can find. */
function driver(): object {
  return {
    name: "p11seal",
    version: version(),
    rules: FINDING_KINDS.map((id) => {
      const { severity, title, remedy } = FINDING_RULES[id];
      return {
        id,
        shortDescription: { text: title },
        help: { text: remedy },
        defaultConfiguration: { level: LEVELS[severity] },
      };
    }),
  };
}

/** §3.27 */
function result(path: string, finding: Finding): object {
  const { kind, message, recipients, key } = finding;
  return {
    ruleId: kind,
    ruleIndex: FINDING_KINDS.indexOf(kind),
    level: LEVELS[severityOf(finding)],
    message: { text: plainMessage(message) },
    locations: [{ physicalLocation: { artifactLocation: { uri: fileUri(path) } } }],
    properties: { recipients, key },
  };
}

/** §3.27.10 */
const LEVELS: Readonly<Record<Severity, string>> = {
  fault: "error",
  warning: "warning",
  note: "note",
};

/**
 * §3.11.5, §3.11.6: braces would be a placeholder, and brackets a link.
 *
 * @param text - in which names from outside may stand
 */
function plainMessage(text: string): string {
  return text.replace(/[{}]/g, "$&$&").replace(/[\\[\]]/g, "\\$&");
}

/** RFC 3986: a relative path stays relative, as the tree may lie elsewhere for whoever reads it. */
export function fileUri(path: string): string {
  const [first = "", ...others] = path.split(sep).map(encodedName);
  if (!isAbsolute(path)) return [first, ...others].join("/");
  // On Windows, `C:\x` is file:///C:/x.
  const drive = /^[A-Za-z]%3A$/.test(first) ? `/${first.slice(0, 1)}:` : first;
  return `file://${[drive, ...others].join("/")}`;
}

/** What a name has that is no character, which Windows lets it have, becomes a mark. */
function encodedName(name: string): string {
  return encodeURIComponent(name.replace(/\p{Cs}/gu, "\ufffd"));
}
