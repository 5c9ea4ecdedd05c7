/**
 * Modules registered with p11-kit (pkcs11.conf(5)): `*.module` files with `name: value` lines. Read
 * directly, because p11-kit's own proxy module loads all of them at once and takes seconds.
 */
import { isExactText, textOfBytes } from "../byte-text.js";
import { defined } from "../../defined.js";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { basename, isAbsolute, join } from "node:path";
import { isOthers } from "./module-file.js";
import type { SystemPaths } from "./well-known.js";

export interface RegisteredModule {
  readonly path: string;
  readonly source: string;
  /** `x-init-reserved`: the string given to C_Initialize. */
  readonly parameters?: string;
}

/** This program's name in `enable-in` and `disable-in`. */
const PROGRAM = "p11seal";

/**
 * The registered modules that may hold keys, by descending priority, then by name. Modules disabled
 * for this program and those that run a command (`remote`) are left out. So are p11-kit's own: the
 * proxy and the client repeat other modules, and the trust module holds no keys.
 */
export function registeredModules(system: SystemPaths): RegisteredModule[] {
  const files = new Map<string, { settings: Map<string, string>; path: string }>();
  // Later folders are the administrator's and the user's; their settings override earlier ones.
  for (const folder of system.p11KitConfigs) {
    for (const name of moduleFiles(folder)) {
      const path = join(folder, name);
      const settings = new Map([...(files.get(name)?.settings ?? []), ...readSettings(path)]);
      files.set(name, { settings, path });
    }
  }
  return [...files]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .sort(([, a], [, b]) => priority(b.settings) - priority(a.settings))
    .flatMap(([, { settings, path }]) => registered(settings, path, system));
}

function registered(
  settings: ReadonlyMap<string, string>,
  file: string,
  system: SystemPaths,
): RegisteredModule[] {
  const module = settings.get("module");
  if (module === undefined || module === "" || settings.has("remote")) return [];
  if (!isEnabled(settings) || settings.get("trust-policy") === "yes") return [];
  if (/^(?:lib)?p11-kit(?:-(?:proxy|client|trust))?\./.test(basename(module))) return [];
  // A path that is not UTF-8 can't be given to the loader: another file would be loaded.
  if (!isExactText(module)) return [];
  const path = isAbsolute(module) ? module : inModuleFolder(module, system);
  if (path === undefined) return [];
  const parameters = settings.get("x-init-reserved");
  return [
    {
      path,
      source: file,
      ...defined({ parameters: parameters === "" ? undefined : parameters }),
    },
  ];
}

/**
 * pkcs11.conf(5): both settings list programs; with `enable-in`, only the listed ones load the
 * module.
 */
function isEnabled(settings: ReadonlyMap<string, string>): boolean {
  const list = (name: string): string[] | undefined => settings.get(name)?.split(/[\s,]+/);
  const enabled = list("enable-in");
  if (enabled !== undefined) return enabled.includes(PROGRAM);
  return !(list("disable-in")?.includes(PROGRAM) ?? false);
}

/** Resolves a relative path against p11-kit's module folders. */
function inModuleFolder(module: string, system: SystemPaths): string | undefined {
  return system.p11KitModules
    .map((folder) => join(folder, module))
    .find((path) => existsSync(path));
}

function moduleFiles(folder: string): string[] {
  try {
    // p11-kit accepts only these characters, which excludes editors' backup files.
    return readdirSync(folder).filter((name) => /^[\w-][\w.-]*\.module$/.test(name));
  } catch {
    return [];
  }
}

function readSettings(path: string): Map<string, string> {
  const settings = new Map<string, string>();
  let text: string;
  try {
    // Whoever may write to it chooses what is loaded.
    if (isOthers(path)) return settings;
    text = textOfBytes(readFileSync(path));
  } catch {
    return settings;
  }
  for (const line of text.slice(0, MAX_CHARACTERS).split(/\r?\n/)) {
    const match = /^\s*([A-Za-z0-9_-]+)\s*:\s*(.*?)\s*$/.exec(line);
    if (match?.[1] !== undefined) settings.set(match[1], match[2] ?? "");
  }
  return settings;
}

/** Far more than any configuration file needs. */
const MAX_CHARACTERS = 65_536;

function priority(settings: ReadonlyMap<string, string>): number {
  const value = Number(settings.get("priority") ?? 0);
  return Number.isFinite(value) ? value : 0;
}
