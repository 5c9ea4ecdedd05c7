/**
 * Chooses the modules to try. Modules that the user names (`--module`, `P11SEAL_MODULE`) exclude
 * all others. Without one, the order is `PKCS11_MODULE_PATH`, the modules registered with p11-kit,
 * the paths where vendors install theirs, and SoftHSM for the development token. Nothing is loaded
 * here.
 */
import { isExactText, textOfBytes } from "../byte-text.js";
import { defined } from "../../defined.js";
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { delimiter, join } from "node:path";
import { isOthers } from "./module-file.js";
import { isNssSoftoken, isSoftHsm, type ModuleCandidate } from "./module.js";
import { registeredModules } from "./p11-kit.js";
import { type SystemPaths, systemPaths } from "./well-known.js";

export interface Discovery {
  /** Absolute paths of `--module`. */
  readonly modules?: readonly string[] | undefined;
  /** P11SEAL_HOME. */
  readonly home: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** By default this machine's paths; tests pass their own. */
  readonly system?: SystemPaths | undefined;
}

/** Candidates in order, each file once. */
export function discoverModules(options: Discovery): ModuleCandidate[] {
  const { env } = options;
  const named = [
    ...(options.modules ?? []).map((path) => ({ path, source: "--module" })),
    ...pathList(env["P11SEAL_MODULE"]).map((path) => ({ path, source: "P11SEAL_MODULE" })),
  ];
  // --module overrides the environment, and either overrides discovery.
  const chosen = options.modules?.length ? named.slice(0, options.modules.length) : named;
  const found =
    chosen.length > 0
      ? chosen.map((one) => ({ ...one, explicit: true }))
      : lookAround(options, options.system ?? systemPaths(env));
  const seen = new Set<string>();
  return found
    .filter(({ path }) => {
      const real = realPath(path);
      return !seen.has(real) && seen.add(real);
    })
    .map((candidate) => ({ ...candidate, ...startSettings(candidate, options) }));
}

/** A module named by a URI's `module-path`, started like any other. */
export function namedModule(path: string, options: Discovery): ModuleCandidate {
  const candidate = { path, source: "module-path", explicit: true };
  return { ...candidate, ...startSettings(candidate, options) };
}

/** The folder of the development token of `home`. */
export function developmentToken(home: string): {
  folder: string;
  conf: string;
  tokens: string;
  /** Holds the path of the SoftHSM library that made the token. */
  module: string;
} {
  const folder = join(home, "softhsm");
  return {
    folder,
    conf: join(folder, "softhsm2.conf"),
    tokens: join(folder, "tokens"),
    module: join(folder, "module"),
  };
}

/** SOFTHSM2_CONF; an empty value counts as unset. */
export function namedSoftHsmConf(env: Discovery["env"]): string | undefined {
  return env["SOFTHSM2_CONF"] === "" ? undefined : env["SOFTHSM2_CONF"];
}

/** SoftHSM libraries on this machine, most likely first. */
export function softHsmPaths(options: Discovery): string[] {
  const { env, home } = options;
  const system = options.system ?? systemPaths(env);
  return [
    env["P11SEAL_SOFTHSM2"],
    recordedModule(home),
    ...system.wellKnown.filter(isSoftHsm).filter((path) => existsSync(path)),
  ].filter((path): path is string => path !== undefined && path !== "");
}

function lookAround(options: Discovery, system: SystemPaths): ModuleCandidate[] {
  const { env, home } = options;
  return [
    ...pathList(env["PKCS11_MODULE_PATH"]).map((path) => ({
      path,
      source: "PKCS11_MODULE_PATH",
      explicit: true,
    })),
    ...(env["P11SEAL_SYSTEM_MODULES"] === "0" ? [] : systemModules(system)),
    ...(ownConf(home) !== undefined ? softHsmPaths(options) : [])
      .slice(0, 1)
      .map((path) => ({ path, source: "development token", explicit: false, named: true })),
  ];
}

/** The modules registered with p11-kit, then those at vendors' usual paths. */
function systemModules(system: SystemPaths): ModuleCandidate[] {
  return [
    ...registeredModules(system).map((one) => ({ ...one, explicit: false, named: true })),
    ...system.wellKnown
      .filter((path) => existsSync(path))
      .map((path) => ({ path, source: "well-known path", explicit: false })),
  ];
}

/**
 * What a library needs to start: NSS softoken a database (P11SEAL_NSS_DIR, or a full parameter
 * string in P11SEAL_NSS_PARAMETERS), SoftHSM its configuration. SoftHSM reads only one
 * configuration, so the user's SOFTHSM2_CONF takes precedence over the development token's.
 */
function startSettings(
  candidate: ModuleCandidate,
  { env, home }: Discovery,
): Partial<Pick<ModuleCandidate, "parameters" | "environment">> {
  if (isNssSoftoken(candidate.path)) {
    const parameters = env["P11SEAL_NSS_PARAMETERS"] ?? nssParameters(env["P11SEAL_NSS_DIR"]);
    return defined({ parameters });
  }
  if (isSoftHsm(realPath(candidate.path)) || isSoftHsm(candidate.path)) {
    const chosen = namedSoftHsmConf(env) ?? ownConf(home);
    // SoftHSM takes an empty variable for a file name.
    const isEmpty = env["SOFTHSM2_CONF"] === "";
    return chosen === undefined && !isEmpty ? {} : { environment: { SOFTHSM2_CONF: chosen } };
  }
  return {};
}

/** NSS's own notation: quotes and backslashes are escaped with a backslash. */
function nssParameters(folder: string | undefined): string | undefined {
  if (folder === undefined || folder === "") return undefined;
  const escaped = folder.replace(/['\\]/g, "\\$&");
  return `configdir='sql:${escaped}' certPrefix='' keyPrefix='' secmod='secmod.db' flags=`;
}

/** The development token's configuration, unless others can make it name their keys. */
function ownConf(home: string): string | undefined {
  const { folder, conf } = developmentToken(home);
  if (!existsSync(conf)) return undefined;
  return [home, folder, conf].some(isOthers) ? undefined : conf;
}

function recordedModule(home: string): string | undefined {
  const { folder, module } = developmentToken(home);
  try {
    // Whoever may write to one of these chooses what is loaded.
    if ([home, folder, module].some(isOthers)) return undefined;
    const path = textOfBytes(readFileSync(module)).trimEnd();
    // Another one can't be given to the loader, which would load another file.
    return isExactText(path) ? path : undefined;
  } catch {
    return undefined;
  }
}

function pathList(value: string | undefined): string[] {
  return (value ?? "").split(delimiter).filter((path) => path !== "");
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
