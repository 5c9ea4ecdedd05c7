/**
 * The user's standing orders, `config.toml` in the data folder. TOML, because the project's files are to
 * be read and written by people, and `smol-toml` (1.1 of the language, no dependencies) because a parser
 * of our own would be one more to get right.
 *
 * ```toml
 * require = "signed"        # open nothing that is not signed by a trusted sender
 * from = ["alice", "bob"]   # and by which; all trusted ones where this is not said
 * window = "7d"             # how old a message may be
 * skew = "5m"               # how far a sender's clock may be ahead
 * ```
 *
 * Strict: an order that is misspelt would otherwise be one that is not followed.
 */
import { join } from "node:path";
import { FormatError, UsageError } from "../errors.js";
import { parseDuration } from "./duration.js";
import { DEFAULT_SKEW_MS, DEFAULT_WINDOW_MS } from "./policy.js";
import { readWhole } from "../store/files.js";
import { tomlTable } from "../store/toml.js";

export interface Config {
  /** Every message must be signed by a trusted sender, whether or not a command says so. */
  readonly require?: "signed";
  /** By which ones; only beside `require`. */
  readonly from?: readonly string[];
  readonly windowMs?: number;
  readonly skewMs?: number;
}

/** What a command line says of senders. */
export interface PolicyOptions {
  /** `--from`: names, or the one word `any`; empty: not given. */
  readonly from: readonly string[];
  readonly windowMs?: number | undefined;
}

/** What a receiver demands of a message. */
export interface OpenPolicy {
  readonly from: readonly string[] | "any";
  readonly windowMs: number;
  readonly skewMs: number;
}

/** The file in the data folder. */
export function configPath(folder: string): string {
  return join(folder, "config.toml");
}

/**
 * The user's orders; none where there is no file.
 *
 * @throws FormatError `ERR_CONFIG`; PolicyError `ERR_UNSAFE_FILE`; FileError `ERR_READ`, `ERR_FILE_SIZE`
 */
export async function readConfig(folder: string): Promise<Config> {
  const path = configPath(folder);
  const bytes = await readWhole(path, MAX_CONFIG_BYTES);
  return bytes === undefined ? {} : parseConfig(new TextDecoder().decode(bytes), path);
}

/**
 * @param where - how messages call the file.
 * @throws FormatError `ERR_CONFIG`
 */
export function parseConfig(text: string, where: string): Config {
  const values = tomlTable(text, where, malformed);
  const strange = Object.keys(values).find((name) => !KEYS.has(name));
  if (strange !== undefined) throw malformed(where, `unknown key "${strange}"`);
  const { require, from, window, skew } = values;
  if (require !== undefined && require !== "signed") {
    throw malformed(where, 'require is "signed", or is not said');
  }
  if (from !== undefined && require === undefined) {
    throw malformed(where, 'from has no meaning without require = "signed"');
  }
  const windowMs = durationOf(window, "window", where);
  const skewMs = durationOf(skew, "skew", where);
  return {
    ...(require === undefined ? {} : { require }),
    ...(from === undefined ? {} : { from: namesOf(from, where) }),
    ...(windowMs === undefined ? {} : { windowMs }),
    ...(skewMs === undefined ? {} : { skewMs }),
  };
}

/**
 * What is demanded of a message, by the command line and the standing orders together; `undefined`:
 * nothing. A command can name other senders than the orders do, but not do without one.
 *
 * @throws UsageError `ERR_USAGE` for `any` among names, and for a window without a policy
 */
export function openPolicy(config: Config, options: PolicyOptions): OpenPolicy | undefined {
  const from = fromOf(options.from) ?? (config.require === "signed" ? config.from : undefined);
  if (from === undefined && config.require === undefined) {
    if (options.windowMs === undefined) return undefined;
    throw new UsageError("ERR_USAGE", "--window has no meaning without --from", {
      hint: "an unsigned message can say any time it likes",
    });
  }
  return {
    from: from ?? "any",
    windowMs: options.windowMs ?? config.windowMs ?? DEFAULT_WINDOW_MS,
    skewMs: config.skewMs ?? DEFAULT_SKEW_MS,
  };
}

// ── Details ─────────────────────────────────────────────────────────────────────────────────────

const MAX_CONFIG_BYTES = 65_536;
const KEYS: ReadonlySet<string> = new Set(["require", "from", "window", "skew"]);

function fromOf(names: readonly string[]): readonly string[] | "any" | undefined {
  if (names.length === 0) return undefined;
  if (!names.includes("any")) return names;
  if (names.length === 1) return "any";
  throw new UsageError("ERR_USAGE", "--from any stands alone: it means every trusted sender");
}

function namesOf(value: unknown, where: string): readonly string[] {
  const isName = (name: unknown): name is string => typeof name === "string" && name !== "any";
  if (!Array.isArray(value) || value.length === 0 || !value.every(isName)) {
    throw malformed(where, "from is a list of senders' names; leave it out for all trusted ones");
  }
  return value;
}

function durationOf(value: unknown, name: string, where: string): number | undefined {
  if (value === undefined) return undefined;
  try {
    if (typeof value === "string") return parseDuration(value);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
  }
  throw malformed(where, `${name} is a length of time, as in "7d"`);
}

function malformed(where: string, fact: string): FormatError {
  return new FormatError("ERR_CONFIG", `${where}: ${fact}`);
}
