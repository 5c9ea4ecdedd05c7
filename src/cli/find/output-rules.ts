/**
 * The rules for what a command reads or writes. Nearly every path has none, so what reads rules is
 * loaded once a rules file was seen above one, or the settings demand rules.
 */
import { existsSync } from "node:fs";
import { type P11SealError, PolicyError } from "../../errors.js";
import { configPath } from "../../records/config.js";
import type { Governance } from "../../records/rules/governance.js";
import type { RuleBook } from "../../records/rules/rule-book.js";
import { hasName, placeOf, rulesFilesAbove } from "../../records/rules/rules-lookup.js";
import { pathOfHome } from "../../store/home.js";
import { quoted } from "../../store/system-error.js";
import type { Context } from "../command.js";
import { homeOf } from "../io/home.js";

export class OutputRules {
  readonly #context: Context;
  readonly #remembers: boolean;
  readonly #noted = new Set<string>();
  /** By real folder, as the files themselves are read once a run. */
  readonly #areThere = new Map<string, boolean>();
  #book: Promise<RuleBook> | undefined;
  #areRequired: Promise<boolean> | undefined;

  /** @param remembers - false for a dry run, which writes nothing */
  constructor(context: Context, remembers = true) {
    this.#context = context;
    this.#remembers = remembers;
  }

  /** Whether there is a rules file for it; which of them count is not known yet. */
  isUnderSome(path: string): boolean {
    const place = placeOf(path);
    const known = this.#areThere.get(place.folder);
    if (known !== undefined) return known;
    const areThere = rulesFilesAbove(place).length > 0;
    if (hasName(place)) this.#areThere.set(place.folder, areThere);
    return areThere;
  }

  /** As `RuleBook.rulesFor`; says what a person should know of the rules, once. */
  async of(path: string): Promise<Governance | undefined> {
    if (!this.isUnderSome(path)) return undefined;
    const rules = await (await this.book()).rulesFor(path);
    for (const note of rules?.notes ?? []) this.note(note);
    return rules;
  }

  /**
   * Whether what is wrong with the rules for a path keeps messages there from being opened: the
   * settings name who signs rules, so there is somebody whose rules hold; and if the rules could be
   * read, they say so.
   */
  async isBinding(path: string, error: P11SealError): Promise<boolean> {
    const { readConfig } = await import("../../records/config.js");
    const { rulesSigner } = await readConfig(homeOf(this.#context.io));
    if (rulesSigner === undefined || !ABOUT_RULES.has(error.code)) return rulesSigner !== undefined;
    const { files } = await (await this.book()).explain(path);
    return files.some(({ enforce }) => enforce);
  }

  /** The rules that were read so far. */
  book(): Promise<RuleBook> {
    return (this.#book ??= this.#newBook());
  }

  async #newBook(): Promise<RuleBook> {
    const { RuleBook } = await import("../../records/rules/rule-book.js");
    const home = homeOf(this.#context.io);
    return new RuleBook({ home, nowMs: Date.now(), remembers: this.#remembers });
  }

  /** Says something once. */
  note(text: string): void {
    if (this.#noted.has(text)) return;
    this.#noted.add(text);
    this.#context.report.note(text);
  }

  /**
   * Refuses an output without rules, where the settings demand some.
   *
   * @param path - undefined: stdout
   * @throws PolicyError `ERR_RULES_REQUIRED`; as `readConfig`
   */
  async requireNotRequired(path: string | undefined): Promise<void> {
    if (!(await (this.#areRequired ??= this.#readWhetherRequired()))) return;
    const where = path === undefined ? "stdout" : quoted(path);
    throw new PolicyError("ERR_RULES_REQUIRED", `there are no rules for ${where}`, {
      hint:
        path === undefined
          ? "config.toml demands some; say with --as-path where the message will be"
          : "config.toml demands some: choose a folder below a p11seal-rules.toml",
    });
  }

  /** Read once a run. */
  async #readWhetherRequired(): Promise<boolean> {
    const unchecked = pathOfHome(this.#context.io.env);
    if (!existsSync(configPath(unchecked))) return false;
    const { readConfig } = await import("../../records/config.js");
    const { rules } = await readConfig(homeOf(this.#context.io));
    return rules === "required";
  }
}

/** What rules that were read may say of a path. */
const ABOUT_RULES: ReadonlySet<string> = new Set(["ERR_RULES_NO_MATCH", "ERR_RULES_CONFLICT"]);
