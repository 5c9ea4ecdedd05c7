/**
 * Which modules to look at. In order: what the user names (`--module`, `P11SEAL_MODULE`), and then
 * nothing else; otherwise `PKCS11_MODULE_PATH`, the modules registered with p11-kit, the places where
 * vendors install theirs, and SoftHSM for the development token. Nothing is loaded here.
 */
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { delimiter, join } from "node:path";
import { isNssSoftoken, isSoftHsm, type ModuleCandidate } from "./module.js";
import { registeredModules } from "./p11-kit.js";
import { type SystemPaths, systemPaths } from "./well-known.js";

export interface Discovery {
  /** Absolute paths of `--module`. */
  readonly modules?: readonly string[];
  /** P11SEAL_HOME. */
  readonly home: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** For tests; by default this machine's. */
  readonly system?: SystemPaths;
}

/** Candidates in order, each file once. */
export function discoverModules(options: Discovery): ModuleCandidate[] {
  const { env } = options;
  const named = [
    ...(options.modules ?? []).map((path) => ({ path, source: "--module" })),
    ...pathList(env["P11SEAL_MODULE"]).map((path) => ({ path, source: "P11SEAL_MODULE" })),
  ];
  // --module wins over the environment, and either over everything found by looking.
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

/** Where the development token of `home` keeps its files. */
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

/** SOFTHSM2_CONF; set to nothing is not set. */
export function namedSoftHsmConf(env: Discovery["env"]): string | undefined {
  return env["SOFTHSM2_CONF"] === "" ? undefined : env["SOFTHSM2_CONF"];
}

/** SoftHSM libraries on this machine, the likeliest first. */
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
    ...(existsSync(developmentToken(home).conf) ? softHsmPaths(options) : [])
      .slice(0, 1)
      .map((path) => ({ path, source: "development token", explicit: false, named: true })),
  ];
}

/** What p11-kit knows of, and what lies where vendors put theirs. */
function systemModules(system: SystemPaths): ModuleCandidate[] {
  return [
    ...registeredModules(system).map((one) => ({ ...one, explicit: false, named: true })),
    ...system.wellKnown
      .filter((path) => existsSync(path))
      .map((path) => ({ path, source: "well-known path", explicit: false })),
  ];
}

/**
 * What a library needs to start: NSS softoken a database (P11SEAL_NSS_DIR, or a full parameter string
 * in P11SEAL_NSS_PARAMETERS), SoftHSM its configuration. SoftHSM knows only one configuration at a
 * time, so the user's SOFTHSM2_CONF wins over the development token's.
 */
function startSettings(
  candidate: ModuleCandidate,
  { env, home }: Discovery,
): Partial<Pick<ModuleCandidate, "parameters" | "environment">> {
  if (isNssSoftoken(candidate.path)) {
    const parameters = env["P11SEAL_NSS_PARAMETERS"] ?? nssParameters(env["P11SEAL_NSS_DIR"]);
    return parameters === undefined ? {} : { parameters };
  }
  if (isSoftHsm(realPath(candidate.path)) || isSoftHsm(candidate.path)) {
    const { conf } = developmentToken(home);
    const chosen = namedSoftHsmConf(env) ?? (existsSync(conf) ? conf : undefined);
    // SoftHSM takes a variable that is set to nothing for a file's name.
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

function recordedModule(home: string): string | undefined {
  try {
    return readFileSync(developmentToken(home).module, "utf8").trimEnd();
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
