/**
 * The text of `config.toml`, the user's settings. TOML, because people read and write the project's
 * files; `smol-toml` (TOML 1.1, no dependencies), because a parser of our own would be one more to
 * get right.
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
import { defined } from "../defined.js";
import { FormatError, UsageError } from "../errors.js";
import { exactText } from "../store/exact.js";
import { tomlTable } from "../store/toml.js";
import { parseDuration } from "./duration.js";

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

/**
 * The file's bytes, read.
 *
 * @param where - the file's name in messages.
 * @throws FormatError `ERR_CONFIG`
 */
export function decodeConfig(bytes: Uint8Array, where: string): Config {
  const text = exactText(bytes, (line) => malformed(`${where}:${line}`, "not UTF-8"));
  return parseConfig(text, where);
}

/** As `decodeConfig`, of text. */
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

// ── Details ──

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
