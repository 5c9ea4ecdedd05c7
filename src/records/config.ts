/** Records: the user's settings, `config.toml` in the data folder (`config-text.ts`). */
import { join } from "node:path";
import { UsageError } from "../errors.js";
import { DEFAULT_SKEW_MS, DEFAULT_WINDOW_MS } from "./policy.js";
import { readWhole } from "../store/files.js";
import type { Config } from "./config-text.js";

export type { Config } from "./config-text.js";

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
  // Loaded here: most commands run without settings.
  const { decodeConfig } = await import("./config-text.js");
  return decodeConfig(bytes, path);
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

function fromOf(names: readonly string[]): readonly string[] | "any" | undefined {
  if (names.length === 0) return undefined;
  if (!names.includes("any")) return names;
  if (names.length === 1) return "any";
  throw new UsageError(
    "ERR_USAGE",
    "--from any can't be combined with names: it means every trusted sender",
  );
}
