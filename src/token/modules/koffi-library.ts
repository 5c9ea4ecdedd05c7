/**
 * The functions of a module that pkcs11js cannot call as needed, called through koffi: logins
 * without a PIN, for a reader that asks for it, on a thread, because a person takes their time; and
 * PINs as bytes, which can be wiped. koffi opens the same path as pkcs11js, so the system's loader
 * gives both the same instance of the library.
 *
 * koffi is loaded with the first such call, which takes 6 ms, and never at start-up.
 */
import { TokenError } from "../../errors.js";
import { CallMemory } from "./ffi/call-memory.js";
import { runOnThread } from "./ffi/foreign-call.js";
import { type CalledFunction, type Functions, loadFunctions } from "./ffi/function-list.js";
import { type Argument, type Koffi, loadKoffi } from "./ffi/koffi.js";
import { describeStructures } from "./ffi/structures.js";

/** PINs are the bytes of UTF-8, or undefined for PINs that the reader asks for. */
export interface DirectFunctions {
  /** @param user - `CKU` */
  C_Login(session: Buffer, user: number, pin: Buffer | undefined): Promise<void>;
  /** Sets the user PIN in a session that the SO has logged in to. */
  C_InitPIN(session: Buffer, pin: Buffer | undefined): Promise<void>;
  C_SetPIN(session: Buffer, old: Buffer | undefined, fresh: Buffer | undefined): Promise<void>;
}

/**
 * The functions of the library at `path`, which is loaded and initialized. Use them only inside
 * `Module.runDirect`, which names what they reject with.
 *
 * @throws TokenError `ERR_KOFFI_MISSING`
 */
export async function directFunctions(path: string): Promise<DirectFunctions> {
  const koffi = await availableKoffi();
  // No await from here on, so two callers cannot both open the library.
  const known = opened.get(path);
  if (known !== undefined) return known;
  const { structures, struct } = describeStructures(koffi);
  const memory = new CallMemory(koffi, structures);
  const functions = loadFunctions(koffi, struct, path);
  const direct: DirectFunctions = {
    C_Login: (session, user, pin) =>
      invoke(functions, "C_Login", [memory.handle(session), user, ...bytes(pin)]),
    C_InitPIN: (session, pin) =>
      invoke(functions, "C_InitPIN", [memory.handle(session), ...bytes(pin)]),
    C_SetPIN: (session, old, fresh) =>
      invoke(functions, "C_SetPIN", [memory.handle(session), ...bytes(old), ...bytes(fresh)]),
  };
  opened.set(path, direct);
  return direct;
}

/**
 * True while a call runs. Node joins its threads when it exits, so a process that exits now waits
 * for whoever is at the reader.
 */
export function isCalling(): boolean {
  return underWay > 0;
}

async function availableKoffi(): Promise<Koffi> {
  try {
    return await loadKoffi();
  } catch (cause) {
    throw new TokenError("ERR_KOFFI_MISSING", "the package koffi is not installed", {
      hint: "it needs no compiler: npm install koffi",
      cause,
    });
  }
}

/** By path. As with pkcs11js, a library is never unloaded. */
const opened = new Map<string, DirectFunctions>();

let underWay = 0;

async function invoke(
  functions: Functions,
  fn: CalledFunction,
  args: readonly Argument[],
): Promise<void> {
  underWay += 1;
  try {
    await runOnThread(functions, { fn, args, result: () => undefined });
  } finally {
    underWay -= 1;
  }
}

/** Pointer and length. */
function bytes(pin: Buffer | undefined): [Buffer | null, number] {
  return pin === undefined ? [null, 0] : [pin, pin.length];
}
