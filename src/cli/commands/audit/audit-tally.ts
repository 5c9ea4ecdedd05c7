/** What an audit comes to: counted as the files go by, and said in a line or two at the end. */
import { PolicyError } from "../../../errors.js";
import type { AuditSummary } from "./audit-report.js";
import {
  severityOf,
  type Audited,
  type FindingKind,
  type Proof,
  type Severity,
} from "./findings.js";

export class Tally {
  readonly #severities: Record<Severity, number> = { fault: 0, warning: 0, note: 0 };
  readonly #kinds = new Map<FindingKind, number>();
  readonly #proofs: Record<Proof, number> | undefined;
  #messages = 0;
  #others = 0;
  #skipped = 0;
  #unreadable = 0;
  #affected = 0;

  /** @param proves - whether headers are opened with a key */
  constructor(proves: boolean) {
    if (proves) this.#proofs = { proved: 0, refuted: 0, unprovable: 0, "left out": 0 };
  }

  skip(): void {
    this.#skipped++;
  }

  add({ isMessage, findings, proof }: Audited): void {
    if (findings.some(({ kind }) => kind === "unreadable")) this.#unreadable++;
    else if (isMessage) this.#messages++;
    else this.#others++;
    if (findings.length > 0) this.#affected++;
    for (const finding of findings) {
      this.#severities[severityOf(finding)]++;
      this.#kinds.set(finding.kind, (this.#kinds.get(finding.kind) ?? 0) + 1);
    }
    if (proof !== undefined && this.#proofs !== undefined) this.#proofs[proof]++;
  }

  summary(): AuditSummary {
    const proofs = this.#proofs;
    return {
      messages: this.#messages,
      others: this.#others,
      skipped: this.#skipped,
      unreadable: this.#unreadable,
      affected: this.#affected,
      severities: this.#severities,
      kinds: Object.fromEntries(this.#kinds),
      ...(proofs && {
        proof: {
          proved: proofs.proved,
          refuted: proofs.refuted,
          unprovable: proofs.unprovable,
          leftOut: proofs["left out"],
        },
      }),
    };
  }
}

/**
 * For people.
 *
 * @param hasError - `strictError` is told as well, which has the verdict
 */
export function summaryLines(summary: AuditSummary, hasError: boolean): string[] {
  const { messages, others, skipped, proof } = summary;
  const seen = `${counted(messages, "message")} looked at`;
  const lines = [hasError ? seen : `${verdictOf(summary)}; ${seen}`];
  if (others > 0) lines.push(`${counted(others, "other file")}: no sealed messages`);
  if (skipped > 0)
    lines.push(`${counted(skipped, "link or special file", "links or special files")} passed over`);
  if (proof === undefined) return lines;
  const { proved, refuted, unprovable, leftOut } = proof;
  lines.push(`with --as: ${proved} of ${counted(proved + refuted, "header")} could be opened`);
  if (unprovable > 0) {
    const what = counted(unprovable, "message");
    lines.push(
      `${what} not checked with --as: only opening to the end shows whether the key is right`,
    );
  }
  if (leftOut > 0) lines.push(`${counted(leftOut, "message")} not in the sample`);
  return lines;
}

/** What `--strict` makes of findings. */
export function strictError(summary: AuditSummary): PolicyError {
  return new PolicyError("ERR_AUDIT", verdictOf(summary), {
    hint: "to leave out a kind that doesn't matter here: --ignore KIND",
  });
}

/** As in `3 findings (1 fault, 2 warnings) in 2 files`. */
function verdictOf({ severities, affected }: AuditSummary): string {
  const order = ["fault", "warning", "note"] as const;
  const total = order.reduce((sum, one) => sum + severities[one], 0);
  if (total === 0) return "no findings";
  const parts = order
    .filter((one) => severities[one] > 0)
    .map((one) => counted(severities[one], one));
  return `${counted(total, "finding")} (${parts.join(", ")}) in ${counted(affected, "file")}`;
}

function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
