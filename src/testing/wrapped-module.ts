/**
 * Any PKCS#11 module behind the shim: faults, a log of calls and profiles for tokens that are there
 * already, on SoftHSM or on hardware.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Call, forgetCalls, readCalls } from "./calls.js";
import { Faults } from "./faults.js";
import { newTokenFolder, removeTokenFolder, tokensFolder } from "./folders.js";
import { requireLoadable } from "./loadable.js";
import { type Profile, type ProfileName, profileOf } from "./profiles.js";
import { type ShimLibrary, shimLibrary } from "./shim-library.js";
import { type Settings, ShimSettings, UNTOUCHED } from "./shim-settings.js";

export interface WrapOptions {
  /** The kind of token that its tokens behave like; by default they stay as they are. */
  readonly profile?: ProfileName | Profile;
}

/** A module behind the shim. `await using` removes it at the end of the block. */
export interface WrappedModule extends AsyncDisposable {
  /** Path of the module to use instead of the real one. */
  readonly module: string;
  readonly faults: Faults;
  /** All calls of its functions so far, of all processes. */
  calls(): Call[];
  /** Empties the list of calls. */
  forgetCalls(): void;
  /** Removes the shim. The real module and its tokens stay. */
  close(): Promise<void>;
}

/**
 * Puts a module behind a shim of its own. What the module reads of the environment it still reads.
 *
 * @param path - the real module
 * @throws UnsupportedError `ERR_TEST_TOKEN_UNAVAILABLE` where the shim would have to be compiled,
 * and there is no C++ compiler
 */
export async function wrapModule(
  path: string,
  { profile = "softhsm" }: WrapOptions = {},
): Promise<WrappedModule> {
  const shim = await shimLibrary();
  requireLoadable(tokensFolder(), "TMPDIR");
  const folder = newTokenFolder();
  layModule(folder, shim);
  return wrappedIn(folder, { real: path, profile: profileOf(profile), softHsmConf: undefined });
}

/** The module of a folder that has the shim in it. */
export function wrappedIn(
  folder: string,
  what: Pick<Settings, "real" | "profile" | "softHsmConf" | "person">,
): WrappedModule {
  const settings = new ShimSettings(folder, { ...UNTOUCHED, ...what });
  const close = (): Promise<void> => {
    removeTokenFolder(folder);
    return Promise.resolve();
  };
  return {
    module: moduleIn(folder),
    faults: new Faults(settings, folder),
    calls: () => readCalls(folder),
    forgetCalls: () => {
      forgetCalls(folder);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Puts the shim into a folder. */
export function layModule(folder: string, { bytes }: ShimLibrary): void {
  writeFileSync(moduleIn(folder), bytes, { mode: 0o700 });
}

/** Path of the shim in its folder. */
export function moduleIn(folder: string): string {
  return join(folder, "token.so");
}
