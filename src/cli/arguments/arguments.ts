/**
 * What a user gave to one command, read by name and kind. Options that may be given once were, and
 * none is empty, before a command sees them.
 */
import { UsageError } from "../../errors.js";
import type { CommandSyntax } from "./syntax.js";

export class Arguments {
  readonly #spec: CommandSyntax;
  readonly #values: Readonly<Record<string, unknown>>;

  /** `parsed` is what yargs made of the command line. */
  constructor(spec: CommandSyntax, parsed: Readonly<Record<string, unknown>>) {
    this.#spec = spec;
    this.#values = parsed;
    for (const [name, { type, repeatable }] of Object.entries(spec.options)) {
      const value = parsed[name];
      if (type === "string" && Array.isArray(value) && repeatable !== true) {
        throw new UsageError("ERR_USAGE", `--${name} was given twice`);
      }
      if ([value].flat().includes("")) {
        throw new UsageError("ERR_USAGE", `--${name} was given an empty value`);
      }
    }
    if (this.operands.includes("")) {
      throw new UsageError("ERR_USAGE", "a file's name is empty");
    }
  }

  /** True if the command has such an option, given or not. */
  has(name: string): boolean {
    return Object.hasOwn(this.#spec.options, name);
  }

  /** The value of an option, if it was given or has a default. */
  text(name: string): string | undefined {
    const value = this.#option(name, "string");
    return typeof value === "string" ? value : undefined;
  }

  /** The value of an option yargs has already insisted on. */
  required(name: string): string {
    const value = this.text(name);
    if (value === undefined) throw new UsageError("ERR_USAGE", `--${name} is missing`);
    return value;
  }

  /** The values of an option that may be repeated, in the order given. */
  texts(name: string): readonly string[] {
    const value = this.#option(name, "string");
    return [value].flat().filter((item): item is string => typeof item === "string");
  }

  /** What `Report` needs to know. */
  get reporting(): { quiet: boolean; verbose: boolean; json: boolean } {
    const given = (name: string): boolean => this.#values[name] === true;
    return { quiet: given("quiet"), verbose: given("verbose"), json: given("json") };
  }

  flag(name: string): boolean {
    return this.#option(name, "boolean") === true;
  }

  /** What stands on the command line without an option's name: files, or a URI. */
  get operands(): readonly string[] {
    const named = [this.#spec.operand ?? []].flat().map((name) => this.#values[name]);
    // What follows "--" is never an option; yargs keeps it apart.
    return [...named, this.#values["--"]]
      .flat()
      .filter((item): item is string => typeof item === "string");
  }

  #option(name: string, type: "string" | "boolean"): unknown {
    if (this.#spec.options[name]?.type !== type) {
      throw new TypeError(`${this.#spec.name} has no option ${name} of type ${type}`);
    }
    return this.#values[name];
  }
}
