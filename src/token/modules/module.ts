/**
 * A loaded and initialized module: one per file in this process, however many callers use it.
 *
 * Initialization belongs to the whole process (PKCS#11 v2.40 §5.4), so uses are counted: the first
 * one initializes and the last one finalizes. A module that other code had initialized is left
 * initialized. A library is never unloaded, because vendors' libraries leave threads running.
 */
import { defined } from "../../defined.js";
import { TokenError } from "../../errors.js";
import type { Cryptoki } from "./binding.js";
import { call, callAsync, failedWith, origin } from "./call.js";
import { OS_LOCKING_OK } from "./constants.js";
import { type DirectFunctions, directFunctions } from "./koffi-library.js";
import { loadBinding } from "./load-binding.js";
import { checkModuleFile } from "./module-file.js";
import { nextForm, type Operating } from "./operating.js";
import { SlotEvents } from "./slot-events.js";

/** A library that may be a module, with what it needs to start. */
export interface ModuleCandidate {
  /** Absolute path. */
  readonly path: string;
  /** Where the path came from, to show to the user. */
  readonly source: string;
  /** Named by the user, so its failure is an error and not just a line in a list. */
  readonly explicit: boolean;
  /** The user, or the administrator, named it in a file of their own; it may lie anywhere. */
  readonly named?: boolean;
  /** The string NSS softoken wants with C_Initialize. */
  readonly parameters?: string;
  /** Environment variables for the library to read while it initializes; undefined unsets one. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

/** What the library says of itself (CK_INFO), blanks trimmed. */
export interface LibraryInfo {
  readonly manufacturer: string;
  readonly description: string;
  readonly version: { readonly major: number; readonly minor: number };
  readonly cryptoki: { readonly major: number; readonly minor: number };
}

export class Module {
  readonly path: string;
  readonly library: LibraryInfo;
  /** The binding's object. Use it only inside `call` or `run`. */
  readonly native: Cryptoki;
  /** What happened in the slots, also before this use of the module. */
  readonly events: SlotEvents;
  readonly #inFlight = new Set<readonly unknown[]>();
  readonly #release: () => void;

  constructor(path: string, { native, events }: Loaded, library: LibraryInfo, release: () => void) {
    this.path = path;
    this.native = native;
    this.events = events;
    this.library = library;
    this.#release = release;
  }

  /**
   * Runs an operation of the token, on a thread of its own when others are waiting
   * (`setSideBySide`). `keep` holds its arguments until it settles: native code has pointers into
   * them, and the memory of a buffer collected in the meantime could be reused while native code
   * still reads it.
   *
   * @throws TokenError with `fn` and `ckr`.
   */
  async run<T>(
    fn: string,
    keep: readonly unknown[],
    start: (native: Operating) => Promise<T>,
  ): Promise<T> {
    return this.#keeping(keep, () => callAsync(fn, () => start(nextForm(this.native))));
  }

  /** @throws TokenError `ERR_KOFFI_MISSING` where `runDirect` cannot work */
  async requireDirect(): Promise<void> {
    await this.#direct();
  }

  /**
   * As `run`, with the functions that only koffi can call as needed.
   *
   * @throws also TokenError `ERR_KOFFI_MISSING`
   */
  async runDirect(
    fn: string,
    keep: readonly unknown[],
    start: (functions: DirectFunctions) => Promise<void>,
  ): Promise<void> {
    const functions = await this.#direct();
    await this.#keeping(keep, () => callAsync(fn, () => start(functions)));
  }

  #direct(): Promise<DirectFunctions> {
    return callAsync("C_GetFunctionList", () => directFunctions(this.path));
  }

  async #keeping<T>(keep: readonly unknown[], work: () => Promise<T>): Promise<T> {
    this.#inFlight.add(keep);
    try {
      return await work();
    } finally {
      this.#inFlight.delete(keep);
    }
  }

  /**
   * Ends this use. Waits for native calls, since the standard leaves C_Finalize during a call
   * undefined.
   */
  async close(): Promise<void> {
    while (this.#inFlight.size > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    this.#release();
  }
}

/**
 * Loads and initializes a module.
 *
 * @throws TokenError those of `loadBinding` and `checkModuleFile`, `ERR_MODULE_LOAD` when the
 * loader refuses it, and `ERR_MODULE_INIT` when C_Initialize does.
 */
export async function openModule(candidate: ModuleCandidate): Promise<Module> {
  const real = checkModuleFile(candidate.path, candidate.explicit || candidate.named === true);
  const binding = await loadBinding();
  // No await from here on, so two calls for the same module cannot interleave.
  let loaded = registry.get(real);
  if (loaded === undefined) {
    const native = load(binding.newModule(), candidate.path);
    loaded = { native, events: new SlotEvents(native), users: 0, ours: false };
    registry.set(real, loaded);
  }
  const entry = loaded;
  if (entry.users === 0) entry.ours = initialize(entry.native, candidate);
  entry.users += 1;
  const release = (): void => {
    entry.users -= 1;
    if (entry.users > 0 || !entry.ours) return;
    try {
      entry.native.C_Finalize();
    } catch {
      // The work is done and its result is valid; a module that fails to shut down ends with the
      // process.
    }
  };
  try {
    return new Module(candidate.path, entry, libraryInfo(entry.native), release);
  } catch (error) {
    release();
    throw error;
  }
}

interface Loaded {
  readonly native: Cryptoki;
  readonly events: SlotEvents;
  users: number;
  /** True when this process's own call initialized the module, and so must finalize it. */
  ours: boolean;
}

/** By real path. Entries are kept: unloading is unsafe, and a library need not be loaded twice. */
const registry = new Map<string, Loaded>();

/**
 * Objects whose `load` failed, kept here because any call on them crashes, and so may collecting
 * them.
 */
const broken: Cryptoki[] = [];

function load(native: Cryptoki, path: string): Cryptoki {
  try {
    native.load(path);
    return native;
  } catch (error) {
    broken.push(native);
    const { message } = error as Error;
    if (message.includes("C_GetFunctionList")) {
      throw new TokenError("ERR_MODULE_LOAD", `module "${path}" is not a PKCS#11 library`, {
        hint: "it has no C_GetFunctionList; a PKCS#11 module comes with the token's software",
      });
    }
    const lacking = /^(\S+): cannot open shared object file/.exec(message)?.[1];
    throw new TokenError("ERR_MODULE_LOAD", `module "${path}" cannot be loaded: ${message}`, {
      ...defined({ hint: lacking && `install the package that contains ${lacking}` }),
    });
  }
}

/** Calls C_Initialize. True when this call initialized the module. */
function initialize(native: Cryptoki, candidate: ModuleCandidate): boolean {
  const { parameters, environment = {}, path } = candidate;
  const options = {
    flags: OS_LOCKING_OK,
    // pkcs11js drops the last byte of the string.
    ...defined({ libraryParameters: parameters === undefined ? undefined : `${parameters} ` }),
  };
  try {
    // Node passes an assignment on to setenv, so the library's getenv sees it.
    withEnvironment(environment, () => {
      call("C_Initialize", () => {
        native.C_Initialize(options);
      });
    });
    return true;
  } catch (error) {
    if (failedWith(error, "CKR_CRYPTOKI_ALREADY_INITIALIZED")) return false;
    if (!(error instanceof TokenError)) throw error;
    throw new TokenError("ERR_MODULE_INIT", `module "${path}" does not start: ${error.message}`, {
      hint: startHint(path) ?? error.hint ?? "the module's configuration may be missing",
      ...origin(error),
    });
  }
}

function startHint(path: string): string | undefined {
  if (isNssSoftoken(path))
    return "set P11SEAL_NSS_DIR to the folder of the NSS database (cert9.db)";
  if (isSoftHsm(path)) {
    return "SoftHSM found no readable configuration: set SOFTHSM2_CONF, or make a development token with `p11seal token init`";
  }
  return undefined;
}

/** NSS softoken starts only with parameters. */
export function isNssSoftoken(path: string): boolean {
  return /(?:^|[\\/])(?:lib)?softokn3\.(?:so|dylib|dll)$/i.test(path);
}

/** SoftHSM version 2 reads SOFTHSM2_CONF when it initializes. */
export function isSoftHsm(path: string): boolean {
  return /(?:^|[\\/])(?:lib)?softhsm2(?:-x64)?\.(?:so|dylib|dll)$/i.test(path);
}

function withEnvironment(
  variables: Readonly<Record<string, string | undefined>>,
  run: () => void,
): void {
  const before = Object.keys(variables).map((name) => [name, process.env[name]] as const);
  try {
    setEnvironment(Object.entries(variables));
    run();
  } finally {
    setEnvironment(before);
  }
}

function setEnvironment(pairs: readonly (readonly [string, string | undefined])[]): void {
  for (const [name, value] of pairs) {
    // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- nothing else unsets it
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
}

function libraryInfo(native: Cryptoki): LibraryInfo {
  const info = call("C_GetInfo", () => native.C_GetInfo());
  return {
    manufacturer: info.manufacturerID.trim(),
    description: info.libraryDescription.trim(),
    version: info.libraryVersion,
    cryptoki: info.cryptokiVersion,
  };
}
