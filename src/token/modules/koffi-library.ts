/**
 * The functions of a module that pkcs11js cannot call as needed, called through koffi: logins
 * without a PIN, for a reader that asks for it, on a thread, because a person takes their time; and
 * PINs as bytes, which can be wiped. koffi opens the same path as pkcs11js, so the system's loader
 * gives both the same instance of the library.
 *
 * koffi is loaded with the first such call, which takes 6 ms, and never at start-up.
 */
import { endianness } from "node:os";
import { TokenError } from "../../errors.js";

/** PINs are the bytes of UTF-8, or undefined for PINs that the reader asks for. */
export interface DirectFunctions {
  /** @param user - `CKU` */
  C_Login(session: Buffer, user: number, pin: Buffer | undefined): Promise<void>;
  /** Sets the user PIN in a session that the SO has logged in to. */
  C_InitPIN(session: Buffer, pin: Buffer | undefined): Promise<void>;
  C_SetPIN(session: Buffer, old: Buffer | undefined, fresh: Buffer | undefined): Promise<void>;
}

/**
 * The functions of the library at `path`, which pkcs11js has loaded and initialized. Use them only
 * inside `Module.runDirect`, which keeps the PINs in place and names what they reject with.
 *
 * @throws TokenError `ERR_KOFFI_MISSING`
 */
export async function directFunctions(path: string): Promise<DirectFunctions> {
  const koffi = await loadKoffi();
  // No await from here on, so two callers cannot both open the library.
  const known = opened.get(path);
  if (known !== undefined) return known;
  const table = functionTable(koffi, path);
  const functions: DirectFunctions = {
    C_Login: (session, user, pin) =>
      invoke(koffi, table, "C_Login", [handleOf(session), user, ...bytes(pin)]),
    C_InitPIN: (session, pin) =>
      invoke(koffi, table, "C_InitPIN", [handleOf(session), ...bytes(pin)]),
    C_SetPIN: (session, old, fresh) =>
      invoke(koffi, table, "C_SetPIN", [handleOf(session), ...bytes(old), ...bytes(fresh)]),
  };
  opened.set(path, functions);
  return functions;
}

/**
 * True while a call runs. Node joins its threads when it exits, so a process that exits now waits
 * for whoever is at the reader.
 */
export function isCalling(): boolean {
  return underWay > 0;
}

/** What is used of koffi, in our own types: published declarations have to compile without it. */
interface Koffi {
  load(path: string): {
    func(name: string, result: string, args: readonly string[]): (...args: unknown[]) => number;
  };
  proto(result: string, args: readonly string[]): unknown;
  decode(address: bigint, offset: number, type: "void *"): bigint | null;
  decode(address: bigint, prototype: unknown): NativeFunction;
}

interface NativeFunction {
  async: (...args: unknown[]) => void;
}

async function loadKoffi(): Promise<Koffi> {
  try {
    const loaded = (await import("koffi")) as unknown as { default: Koffi };
    return loaded.default;
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

/** Where each function stands in CK_FUNCTION_LIST (PKCS#11 v2.40 §5.4), and its parameters. */
const FUNCTIONS = {
  C_InitPIN: { index: 10, parameters: ["ulong", "void *", "ulong"] },
  C_SetPIN: { index: 11, parameters: ["ulong", "void *", "ulong", "void *", "ulong"] },
  C_Login: { index: 18, parameters: ["ulong", "ulong", "void *", "ulong"] },
} as const;

/**
 * The address of the library's CK_FUNCTION_LIST. C_GetFunctionList is the only symbol that a module
 * must export (PKCS#11 v2.40 §2).
 */
function functionTable(koffi: Koffi, path: string): bigint {
  const get = koffi.load(path).func("C_GetFunctionList", "ulong", ["void *"]);
  const result = Buffer.alloc(POINTER_BYTES);
  const code = get(result);
  if (code !== 0) throw failed(code);
  return handleOf(result);
}

function invoke(
  koffi: Koffi,
  table: bigint,
  name: keyof typeof FUNCTIONS,
  args: readonly unknown[],
): Promise<void> {
  const { index, parameters } = FUNCTIONS[name];
  const address = koffi.decode(table, VERSION_BYTES + index * POINTER_BYTES, "void *");
  if (address === null) return Promise.reject(failed(FUNCTION_NOT_SUPPORTED));
  const native = koffi.decode(address, koffi.proto("ulong", parameters));
  underWay += 1;
  return new Promise<void>((resolve, reject) => {
    native.async(...args, (error: Error | null, code: number) => {
      underWay -= 1;
      if (error !== null) reject(error);
      else if (code === 0) resolve();
      else reject(failed(code));
    });
  });
}

const POINTER_BYTES = /64|s390x/.test(process.arch) ? 8 : 4;

/** CK_VERSION before the first pointer: structures are packed on Windows alone (PKCS#11 §2.1). */
const VERSION_BYTES = process.platform === "win32" ? 2 : POINTER_BYTES;

const FUNCTION_NOT_SUPPORTED = 0x54;

/** A handle or an address: four or eight bytes in the machine's order. */
function handleOf(bytes: Buffer): bigint {
  const isLittle = endianness() === "LE";
  if (bytes.length === 8) return isLittle ? bytes.readBigUInt64LE() : bytes.readBigUInt64BE();
  return BigInt(isLittle ? bytes.readUInt32LE() : bytes.readUInt32BE());
}

/** Pointer and length. */
function bytes(pin: Buffer | undefined): [Buffer | null, number] {
  return pin === undefined ? [null, 0] : [pin, pin.length];
}

/** As pkcs11js reports it; `callAsync` names it. */
function failed(code: number): Error & { code: number } {
  return Object.assign(new Error("a module's function failed"), { code });
}
