/**
 * What this project uses of koffi, a foreign function interface, in types of its own: the package
 * is optional, and published declarations have to compile without it. koffi calls C functions
 * without checking that they are what it was told they are, so only this folder uses it.
 */

/** What a C function may be given: a CK_ULONG or CK_BYTE, or a pointer to these bytes, or NULL. */
export type Argument = number | bigint | Buffer | null;

/** A C function that returns a number. */
export interface ForeignFunction {
  (...args: readonly Argument[]): number | bigint;
  /** On a thread of libuv's pool. The callback is the last argument. */
  async(...args: readonly (Argument | Settle)[]): void;
}

type Settle = (error: Error | null, rv: number | bigint) => void;

/** A C type, as koffi describes it. */
export interface ForeignType {
  readonly size: number;
}

type TypeSpec = string | ForeignType;

export interface Koffi {
  readonly version: string;
  config(): { readonly async_stack_size: number };
  config(settings: { readonly sync_stack_size: number; readonly async_stack_size: number }): void;
  /** `null`: what is in the process already. */
  load(path: string | null): {
    func(name: string, result: TypeSpec, args: readonly TypeSpec[]): ForeignFunction;
  };
  struct(members: Readonly<Record<string, TypeSpec>>): ForeignType;
  /** A structure without padding. */
  pack(members: Readonly<Record<string, TypeSpec>>): ForeignType;
  array(of: TypeSpec, length: number, as: "Buffer"): ForeignType;
  proto(result: TypeSpec, args: readonly TypeSpec[]): ForeignType;
  sizeof(type: TypeSpec): number;
  offsetof(type: TypeSpec, member: string): number;
  address(memory: Buffer): bigint;
  decode(at: Buffer | bigint, type: TypeSpec): unknown;
  encode(at: Buffer, type: TypeSpec, value: unknown): void;
}

/** Loads koffi. Rejects when it is not installed, or not for this system. */
export async function loadKoffi(): Promise<Koffi> {
  const { default: koffi } = (await import("koffi")) as unknown as { default: Koffi };
  if (koffi.config().async_stack_size !== STACK_BYTES) {
    try {
      koffi.config({ sync_stack_size: STACK_BYTES, async_stack_size: STACK_BYTES });
    } catch {
      // Another user of koffi in this process came first, whose settings hold.
    }
  }
  return koffi;
}

/**
 * koffi runs C code on stacks of its own. By default those of threads have 128 KiB, where modules
 * expect what Linux gives a thread. Memory is taken only for the part that is used.
 */
const STACK_BYTES = 8 * 1024 * 1024;
