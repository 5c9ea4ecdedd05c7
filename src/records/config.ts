/**
 * Records: the user's settings, `config.toml` in the data folder. TOML, because people read and
 * write this project's files; `smol-toml` (TOML 1.1, no dependencies), because a parser of our own
 * would be one more to get right.
 *
 * ```toml
 * require = "signed"        # open nothing that is not signed by a trusted sender
 * from = ["alice", "bob"]   # only by these; without this line, by any trusted sender
 * window = "7d"             # how old a message may be
 * skew = "5m"               # how far a sender's clock may be ahead
 * custodians = ["vault"]    # take messages that these re-wrapped for others
 * trust = ["/etc/ssl/certs/ca-certificates.crt"]  # authorities, besides those of p11seal trust
 * certificates = "required" # seal to no certificate that is not believed, in no format
 * rules_signer = "carol"    # who signs p11seal-rules.toml: a sender's name, or a fingerprint
 * rules = "required"        # seal nothing that no rules are about
 * agent = false             # use no agent, also where one runs
 * ```
 *
 * Strict: a misspelt setting that was merely ignored would protect nobody.
 */
import { join } from "node:path";
import { defined } from "../defined.js";
import { FormatError, UsageError } from "../errors.js";
import { parseDuration } from "./duration.js";
import { DEFAULT_SKEW_MS, DEFAULT_WINDOW_MS } from "./policy.js";
import { exactText } from "../store/exact.js";
import { readWhole } from "../store/files.js";
import { tomlTable } from "../store/toml.js";

export interface Config {
  /** Every message must be signed by a trusted sender, with or without `--from`. */
  readonly require?: "signed";
  /** The senders' names; only together with `require`. */
  readonly from?: readonly string[];
  readonly windowMs?: number;
  readonly skewMs?: number;
  /** Names of the custodians whose re-wrapping is accepted. */
  readonly custodians?: readonly string[];
  /**
   * Files with certificates of authorities, besides those in the data folder; a relative path is
   * one in the data folder.
   */
  readonly trust?: readonly string[];
  /** Recipients' certificates must be believed, also for formats that need none. */
  readonly certificates?: "required";
  /**
   * Who signs rules files: a name among the senders, or a fingerprint. With it, no rules count that
   * this key did not sign.
   */
  readonly rulesSigner?: string;
  /** Every message must be sealed under rules. */
  readonly rules?: "required";
  /** False: no agent is used. */
  readonly agent?: boolean;
}

/** What a command line says about senders. */
export interface PolicyOptions {
  /** `--from`: names, or the single word `any`; empty if it was not given. */
  readonly from: readonly string[];
  readonly windowMs?: number | undefined;
}

/** What a receiver demands of a message; `any` stands for every trusted sender. */
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
 * The user's settings; none if there is no file.
 *
 * @throws FormatError `ERR_CONFIG`; PolicyError `ERR_UNSAFE_FILE`; FileError `ERR_READ`,
 *   `ERR_FILE_SIZE`
 */
export async function readConfig(folder: string): Promise<Config> {
  const path = configPath(folder);
  const bytes = await readWhole(path, MAX_CONFIG_BYTES);
  if (bytes === undefined) return {};
  const text = exactText(bytes, (line) => malformed(`${path}:${line}`, "not UTF-8"));
  return parseConfig(text, path);
}

/**
 * @param where - the file's name in messages.
 * @throws FormatError `ERR_CONFIG`
 */
export function parseConfig(text: string, where: string): Config {
  const values = tomlTable(text, where, malformed);
  const strange = Object.keys(values).find((name) => !KEYS.has(name));
  if (strange !== undefined) throw malformed(where, `unknown key "${strange}"`);
  const { require, from, window, skew, custodians, trust, certificates } = values;
  const { rules_signer: rulesSigner, rules, agent } = values;
  if (require !== undefined && require !== "signed") {
    throw malformed(where, 'the only value of require is "signed"');
  }
  if (from !== undefined && require === undefined) {
    throw malformed(where, 'from needs require = "signed"');
  }
  if (certificates !== undefined && certificates !== "required") {
    throw malformed(where, 'the only value of certificates is "required"');
  }
  if (rules !== undefined && rules !== "required") {
    throw malformed(where, 'the only value of rules is "required"');
  }
  if (agent !== undefined && typeof agent !== "boolean") {
    throw malformed(where, "agent is true or false");
  }
  if (rulesSigner !== undefined && (typeof rulesSigner !== "string" || rulesSigner === "")) {
    throw malformed(where, "rules_signer is a sender's name or a fingerprint");
  }
  const windowMs = durationOf(window, "window", where);
  const skewMs = durationOf(skew, "skew", where);
  return {
    ...(require === "signed" && { require }),
    ...defined({ windowMs, skewMs }),
    ...(from !== undefined && { from: namesOf(from, where, ALL_SENDERS) }),
    ...(custodians !== undefined && { custodians: namesOf(custodians, where, NO_CUSTODIANS) }),
    ...(trust !== undefined && { trust: pathsOf(trust, where) }),
    ...(certificates === "required" && { certificates }),
    ...defined({ rulesSigner }),
    ...(rules === "required" && { rules }),
    ...defined({ agent }),
  };
}

/**
 * What the command line and the settings together demand of a message; `undefined` if nothing. A
 * command may name other senders than the settings do, but it can't lift the demand for a
 * signature.
 *
 * @throws UsageError `ERR_USAGE` for `any` among names, and for a window without a policy
 */
export function openPolicy(config: Config, options: PolicyOptions): OpenPolicy | undefined {
  const from = fromOf(options.from) ?? (config.require === "signed" ? config.from : undefined);
  if (from === undefined && config.require === undefined) {
    if (options.windowMs === undefined) return undefined;
    throw new UsageError("ERR_USAGE", "--window has no meaning without --from", {
      hint: "anyone can write any time into an unsigned message",
    });
  }
  return {
    from: from ?? "any",
    windowMs: options.windowMs ?? config.windowMs ?? DEFAULT_WINDOW_MS,
    skewMs: config.skewMs ?? DEFAULT_SKEW_MS,
  };
}

/**
 * The custodians whose re-wrapping is accepted: those that the command line names, or else those of
 * the settings. None by default.
 *
 * @throws UsageError `ERR_USAGE` for `any`: a custodian is accepted by name
 */
export function acceptedCustodians(config: Config, given: readonly string[]): readonly string[] {
  if (given.includes("any")) {
    throw new UsageError("ERR_USAGE", '--custodian takes the names of custodians, not "any"', {
      hint: "p11seal custodians list shows the names",
    });
  }
  return given.length > 0 ? given : (config.custodians ?? []);
}

// ── Details ──

const MAX_CONFIG_BYTES = 65_536;
const KEYS: ReadonlySet<string> = new Set([
  "require",
  "from",
  "window",
  "skew",
  "custodians",
  "trust",
  "certificates",
  "rules_signer",
  "rules",
  "agent",
]);

function fromOf(names: readonly string[]): readonly string[] | "any" | undefined {
  if (names.length === 0) return undefined;
  if (!names.includes("any")) return names;
  if (names.length === 1) return "any";
  throw new UsageError(
    "ERR_USAGE",
    "--from any can't be combined with names: it means every trusted sender",
  );
}

function namesOf(value: unknown, where: string, fact: string): readonly string[] {
  const isName = (name: unknown): name is string => typeof name === "string" && name !== "any";
  if (Array.isArray(value) && value.length > 0 && value.every(isName)) return value;
  throw malformed(where, fact);
}

const ALL_SENDERS =
  "from is a list of senders' names; without it, every trusted sender is accepted";
const NO_CUSTODIANS = "custodians is a list of custodians' names; without it, none is accepted";

function pathsOf(value: unknown, where: string): readonly string[] {
  const isPath = (path: unknown): path is string => typeof path === "string" && path !== "";
  if (Array.isArray(value) && value.every(isPath)) return value;
  throw malformed(where, "trust is a list of files with certificates of authorities");
}

function durationOf(value: unknown, name: string, where: string): number | undefined {
  if (value === undefined) return undefined;
  try {
    if (typeof value === "string") return parseDuration(value);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
  }
  throw malformed(where, `${name} must be a length of time, such as "7d"`);
}

function malformed(where: string, fact: string): FormatError {
  return new FormatError("ERR_CONFIG", `${where}: ${fact}`);
}
