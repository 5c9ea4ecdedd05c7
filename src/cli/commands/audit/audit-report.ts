/** The findings of an audit as they are written: for people, as JSON, for CI in two formats. */
import { printable, printableJson } from "../../../printable.js";
import { json } from "../../io/table.js";
import {
  severityOf,
  type Audited,
  type Finding,
  type FindingKind,
  type Severity,
} from "./findings.js";

/** Gets the files in their order, and writes a text that is valid once `end` has given its part. */
export interface AuditWriter {
  start(): string;
  file(audited: Audited): string;
  end(summary: AuditSummary): string;
}

export interface AuditSummary {
  /** Sealed messages, broken ones among them. */
  readonly messages: number;
  /** Other files in the folders. */
  readonly others: number;
  /** Links and such in the folders, which are not followed. */
  readonly skipped: number;
  /** Files that could not be read: nothing is known of them. */
  readonly unreadable: number;
  /** Messages or files with findings. */
  readonly affected: number;
  /** How many findings of each. */
  readonly severities: Readonly<Record<Severity, number>>;
  readonly kinds: Readonly<Partial<Record<FindingKind, number>>>;
  /** With `--as`: how many headers were opened with the key, and what came of it. */
  readonly proof?: {
    readonly proved: number;
    readonly refuted: number;
    readonly unprovable: number;
    readonly leftOut: number;
  };
}

/** A line for each finding, as compilers write them. */
export class TextAudit implements AuditWriter {
  start(): string {
    return "";
  }

  file({ path, findings }: Audited): string {
    return findings
      .map((one) => `${path}: ${severityOf(one)}: ${one.message} [${one.kind}]`)
      .map((line) => `${printable(line)}\n`)
      .join("");
  }

  end(): string {
    return "";
  }
}

/** One object; the findings are written as they come. */
export class JsonAudit implements AuditWriter {
  readonly #list = new ListText("    ");

  start(): string {
    return '{\n  "findings": [';
  }

  file({ path, findings }: Audited): string {
    return this.#list.add(findings.map((one) => findingData(path, one)));
  }

  end(summary: AuditSummary): string {
    return `${this.#list.end()},\n${json(summary).slice("{\n".length)}`;
  }
}

/** A finding as JSON has it. */
function findingData(file: string, finding: Finding): object {
  const { kind, message, recipients, key } = finding;
  return { file, kind, severity: severityOf(finding), message, recipients, key };
}

/** The items of a list in JSON, whose "[" is written already. */
export class ListText {
  readonly #indent: string;
  #isEmpty = true;

  constructor(indent: string) {
    this.#indent = indent;
  }

  add(items: readonly object[]): string {
    return items
      .map((item) => {
        const text = printableJson(item, 2).replaceAll("\n", `\n${this.#indent}`);
        const before = this.#isEmpty ? "" : ",";
        this.#isEmpty = false;
        return `${before}\n${this.#indent}${text}`;
      })
      .join("");
  }

  /** The list's end. */
  end(): string {
    return this.#isEmpty ? "]" : `\n${this.#indent.slice(2)}]`;
  }
}
