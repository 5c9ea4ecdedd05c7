/** What became of each file, as people and programs are told, and as the exit status says. */
import { defined } from "../../../defined.js";
import type { MessageInfo } from "../../../envelope/message-info.js";
import { P11SealError } from "../../../errors.js";
import { printable, printableJson } from "../../../printable.js";
import type { Context } from "../../command.js";
import type { FileProgress } from "../../io/file-progress.js";
import { write } from "../../io/io.js";
import { EXIT, outcomeOf } from "../../io/report.js";
import { mayPass } from "../file-tasks.js";
import type { NotDone, Plan, PlannedChange } from "./rewrap-plan.js";

/** A file, and whether the user named it or it was found in a folder. */
export interface SoughtFile {
  readonly path: string;
  readonly named: boolean;
}

export type Outcome =
  | RewrappedOutcome
  | {
      readonly result: Exclude<Plan, PlannedChange>["kind"];
      readonly file: SoughtFile;
      readonly plan: Exclude<Plan, PlannedChange>;
    }
  | { readonly result: "no message"; readonly file: SoughtFile }
  | { readonly result: "failed"; readonly file: SoughtFile; readonly error: unknown }
  /** Not looked at: the run had to end before. */
  | { readonly result: "left"; readonly file: SoughtFile };

export interface RewrappedOutcome {
  /** `change`: a dry run would have re-wrapped it. */
  readonly result: "rewrapped" | "change";
  readonly file: SoughtFile;
  /** Only what is told of it: a whole header may be large, and results wait for their turn. */
  readonly info: Pick<MessageInfo, "format" | "messageId" | "signed">;
  readonly plan: PlannedChange;
  /** How the file was changed. */
  readonly how?: string;
  /** Whether a custodian signs a record of it. */
  readonly isRecorded: boolean;
}

type Result = Outcome["result"];

/** For people, after a number of files. */
const COUNTED: Readonly<Record<Result, string>> = {
  rewrapped: "re-wrapped",
  change: "would be re-wrapped",
  unchanged: "as they should be",
  other: "not for --from-key",
  foreign: "foreign, left as they are",
  "no message": "no messages",
  failed: "failed",
  left: "not looked at",
};

/** Counts what became of files, and tells. */
export class Outcomes {
  readonly #context: Context;
  readonly #isDryRun: boolean;
  readonly #json: boolean;
  readonly #progress: FileProgress;
  readonly #counts = new Map<Result, number>();
  #failure: number | undefined;
  #isPassing = true;
  #unrecorded = 0;
  #written: Promise<void> = Promise.resolve();

  constructor(
    context: Context,
    how: { readonly isDryRun: boolean; readonly json: boolean; readonly progress: FileProgress },
  ) {
    this.#context = context;
    this.#isDryRun = how.isDryRun;
    this.#json = how.json;
    this.#progress = how.progress;
  }

  tell(outcome: Outcome): void {
    const { result, file } = outcome;
    this.#counts.set(result, this.#count(result) + 1);
    if ("isRecorded" in outcome && !outcome.isRecorded) this.#unrecorded++;
    if (result === "failed") {
      const status = this.#context.report.failure(outcome.error, file.path);
      this.#failure ??= status;
      this.#isPassing &&= isPassing(outcome.error);
    }
    if (this.#json) this.#print(printableJson(outcomeData(outcome)));
    else if (this.#isDryRun && result !== "failed") this.#print(line(outcome));
    else if (isWorthANote(outcome)) this.#context.report.note(line(outcome));
    this.#progress.add();
  }

  /** The last lines. @returns the exit status */
  async end(): Promise<number> {
    const { report } = this.#context;
    const status = this.#status();
    const counts = [...this.#counts];
    if (this.#json) {
      const summary = Object.fromEntries(counts.map(([result, count]) => [NAMES[result], count]));
      this.#print(printableJson({ summary, exit: status }));
    }
    report.note(counts.map(([result, count]) => `${count} ${COUNTED[result]}`).join(", "));
    if (this.#count("foreign") > 0) report.note(FOREIGN);
    if (this.#unrecorded > 0) report.note(`${this.#unrecorded} of them ${UNRECORDED}`);
    if (this.#count("rewrapped") + this.#count("change") > 0) report.note(MAY_HAVE_KEPT);
    if (status === EXIT.someLeft) report.note("some are left: run it again");
    await this.#written;
    return status;
  }

  #status(): number {
    if (this.#failure === undefined) {
      if (this.#count("left") > 0) return EXIT.someLeft;
      return this.#count("foreign") > 0 ? EXIT.policy : EXIT.done;
    }
    const all = [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
    return this.#isPassing && all > 1 ? EXIT.someLeft : this.#failure;
  }

  #count(result: Result): number {
    return this.#counts.get(result) ?? 0;
  }

  /** In their order, whether or not anybody waits. */
  #print(text: string): void {
    const { stdout } = this.#context.io;
    this.#written = this.#written.then(() => {
      if (stdout.isTTY === true) this.#progress.hide();
      return write(stdout, `${printable(text)}\n`);
    });
    // Whoever waits gets the rejection.
    this.#written.catch(() => undefined);
  }
}

/** A failure that says nothing of the file: another run may well succeed. */
function isPassing(error: unknown): boolean {
  const isOfRun =
    error instanceof P11SealError && ["ERR_CHANGED", "ERR_LOCKED"].includes(error.code);
  return isOfRun || mayPass(error);
}

/** Of what was found in folders, only what was not done; of what the user named, everything. */
function isWorthANote({ result, file }: Outcome): boolean {
  if (result === "failed" || result === "left") return false;
  return file.named || result === "foreign";
}

// ── A file as a line ──

function line(outcome: Outcome): string {
  return `${outcome.file.path}: ${about(outcome)}`;
}

function about(outcome: Outcome): string {
  switch (outcome.result) {
    case "rewrapped":
      return `re-wrapped, ${changeText(outcome.plan)}`;
    case "change":
      return `would be re-wrapped, ${changeText(outcome.plan)}`;
    case "unchanged":
      return `its recipients are as they should be${notDoneText(notDoneOf(outcome))}`;
    case "other":
      return "not sealed to a key of --from-key";
    case "foreign":
      return `foreign: ${outcome.plan.kind === "foreign" ? outcome.plan.reason : ""}`;
    case "no message":
      return "not a message";
    case "failed":
      return "failed";
    case "left":
      return "not looked at";
  }
}

function changeText({ add, remove, byRules, ...notDone }: PlannedChange): string {
  const parts = [
    ...(add.length > 0 ? [`${add.length} added`] : []),
    ...(remove.length > 0 ? [`${remove.length} removed`] : []),
  ];
  return parts.join(", ") + byRulesText(byRules) + notDoneText(notDone);
}

function byRulesText({ added, removed }: PlannedChange["byRules"] = NOBODY): string {
  const parts = [
    ...(added.length > 0 ? [`${added.join(", ")} added`] : []),
    ...(removed.length > 0 ? [`${removed.join(", ")} removed`] : []),
  ];
  return parts.length === 0 ? "" : ` (by the rules: ${parts.join("; ")})`;
}

const NOBODY = { added: [], removed: [] };

function notDoneOf(outcome: Outcome): NotDone {
  return "plan" in outcome && "absent" in outcome.plan
    ? outcome.plan
    : { absent: [], otherHash: 0 };
}

function notDoneText({ absent, otherHash }: NotDone): string {
  const parts: string[] = [];
  // A key that is not there was perhaps meant to be another.
  if (absent.length > 0) {
    parts.push(`; not among its recipients: ${absent.map(({ word }) => word).join(", ")}`);
  }
  if (otherHash > 0) {
    parts.push(`; ${otherHash} kept with another OAEP hash: --remove it as well, to wrap it anew`);
  }
  return parts.join("");
}

// ── A file as JSON ──

const NAMES: Readonly<Record<Result, string>> = {
  ...{ rewrapped: "rewrapped", change: "would-rewrap", unchanged: "unchanged", foreign: "foreign" },
  ...{ other: "not-from-key", "no message": "not-a-message", failed: "failed", left: "left" },
};

/** As JSON has it. */
export function outcomeData(outcome: Outcome): object {
  const { result, file } = outcome;
  const data = { file: file.path, result: NAMES[result] };
  switch (outcome.result) {
    case "rewrapped":
    case "change": {
      const { info, plan, how, isRecorded } = outcome;
      const { format, messageId, signed } = info;
      return {
        ...{ ...data, format, messageId, signed, record: isRecorded },
        ...{ added: plan.add.length, removed: plan.remove.length },
        ...defined({ byRules: byRulesData(plan), how }),
        ...notDoneData(plan),
      };
    }
    case "unchanged":
      return { ...data, ...notDoneData(notDoneOf(outcome)) };
    case "foreign":
      return { ...data, ...(outcome.plan.kind === "foreign" && { reason: outcome.plan.reason }) };
    case "failed":
      return { ...data, code: outcomeOf(outcome.error) };
    case "other":
    case "no message":
    case "left":
      return data;
  }
}

function byRulesData({ byRules }: PlannedChange): object | undefined {
  return byRules && { added: byRules.added, removed: byRules.removed };
}

function notDoneData({ absent, otherHash }: NotDone): object {
  return {
    ...(absent.length > 0 && { absent: absent.map(({ word }) => word) }),
    ...(otherHash > 0 && { otherHash }),
  };
}

// ── What is said at the end ──

const FOREIGN =
  "foreign messages may have been put there to be opened for others: look where they come from, " +
  "then add --include-foreign";

const UNRECORDED = "without a custodian's record: what nobody signed has none";

const MAY_HAVE_KEPT =
  "whoever could open it before may have kept its key; p11seal reseal gives the message a new one";
