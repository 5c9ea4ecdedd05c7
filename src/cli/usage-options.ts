/** Options as data, and those that many commands have (`usage.ts`). */

export interface OptionSpec {
  readonly alias?: string;
  readonly type: "string" | "boolean";
  readonly repeatable?: true;
  readonly required?: true;
  readonly choices?: readonly string[];
  readonly default?: string;
  readonly describe: string;
}

export const general = {
  quiet: { alias: "q", type: "boolean", describe: "No notes, no progress; errors only" },
  verbose: { alias: "v", type: "boolean", describe: "Say how it is done, token calls included" },
} satisfies Record<string, OptionSpec>;

export const json = {
  json: { type: "boolean", describe: "Print JSON, errors too" },
} satisfies Record<string, OptionSpec>;
