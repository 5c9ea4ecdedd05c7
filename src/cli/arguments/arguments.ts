/**
 * The arguments of one command, read by name and type. They were checked before a command sees
 * them.
 */
import { UsageError } from "../../errors.js";
import type { CommandSyntax } from "./syntax.js";

export class Arguments {
  /**
   * What stands on the command line without an option's name: files, names, a URI. No more than the
   * command takes, no fewer than it needs, and none is empty.
   */
  readonly operands: readonly string[];
  readonly #spec: CommandSyntax;
  readonly #values: Readonly<Record<string, unknown>>;

  /** `values`: by option, a string, strings of one that was repeated, or true. */
  constructor(
    spec: CommandSyntax,
    values: Readonly<Record<string, unknown>>,
    operands: readonly string[],
  ) {
    this.#spec = spec;
    this.#values = values;
    this.operands = operands;
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

  /** The value of an option that is required or has a default. */
  required(name: string): string {
    const value = this.text(name);
    if (value === undefined) throw new UsageError("ERR_USAGE", `missing: --${name}`);
    return value;
  }

  /** The values of a repeatable option, in the order given. */
  texts(name: string): readonly string[] {
    const value = this.#option(name, "string");
    return [value].flat().filter((item): item is string => typeof item === "string");
  }

  flag(name: string): boolean {
    return this.#option(name, "boolean") === true;
  }

  /** What `Report` needs to know. Commands without such an option behave as if it was not given. */
  get reporting(): { quiet: boolean; verbose: boolean; json: boolean } {
    const given = (name: string): boolean => this.#values[name] === true;
    return { quiet: given("quiet"), verbose: given("verbose"), json: given("json") };
  }

  #option(name: string, type: "string" | "boolean"): unknown {
    if (this.#spec.options[name]?.type !== type) {
      throw new TypeError(`${this.#spec.name} has no option ${name} of type ${type}`);
    }
    return this.#values[name];
  }
}
