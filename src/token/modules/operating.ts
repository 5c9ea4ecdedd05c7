/**
 * Chooses between the two forms of a token's slow operations. pkcs11js's promise forms run on
 * threads, so that other work can continue; but each call with a template or a mechanism leaks 0.46
 * kB (docs/tokens.md) and starts a thread. When nothing else is waiting, the synchronous call is
 * the better one.
 */
import type { Cryptoki } from "./binding.js";

/** The functions that `Module.run` passes to its callback. */
export type Operating = Pick<
  Cryptoki,
  | "C_DecryptAsync"
  | "C_DeriveKeyAsync"
  | "C_GenerateKeyPairAsync"
  | "C_SignAsync"
  | "C_SignInit"
  | "C_UnwrapKeyAsync"
>;

/** The limit on threaded calls in one process: they have then leaked some 90 MB. */
const MAX_ON_THREADS = 200_000;

let isWaitedFor = (): boolean => true;
let onThreads = 0;

/**
 * Sets the question whether others are waiting while an operation runs. By default they always are.
 */
export function setSideBySide(waited: () => boolean): void {
  isWaitedFor = waited;
}

/** The form for the next operation. */
export function nextForm(native: Cryptoki): Operating {
  if (onThreads < MAX_ON_THREADS && isWaitedFor()) {
    onThreads += 1;
    return native;
  }
  return plainForm(native);
}

function plainForm(native: Cryptoki): Operating {
  return {
    C_DecryptAsync: async (...args) => Promise.resolve(native.C_Decrypt(...args)),
    C_DeriveKeyAsync: async (...args) => Promise.resolve(native.C_DeriveKey(...args)),
    C_GenerateKeyPairAsync: async (...args) => Promise.resolve(native.C_GenerateKeyPair(...args)),
    C_SignAsync: async (...args) => Promise.resolve(native.C_Sign(...args)),
    C_SignInit: (...args) => {
      native.C_SignInit(...args);
    },
    C_UnwrapKeyAsync: async (...args) => Promise.resolve(native.C_UnwrapKey(...args)),
  };
}
