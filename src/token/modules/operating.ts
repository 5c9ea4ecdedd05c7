/**
 * The operations of a token that take time, in one of two forms. pkcs11js's promise forms run on threads,
 * so that others need not wait; but they leak 0.46 kB for each call with a template or a mechanism
 * (docs/tokens.md), and cost a thread's start. Where nobody waits, the plain call does as well.
 */
import type { PKCS11 } from "pkcs11js";

/** What `Module.run` hands out. */
export type Operating = Pick<
  PKCS11,
  | "C_DecryptAsync"
  | "C_DeriveKeyAsync"
  | "C_GenerateKeyPairAsync"
  | "C_SignAsync"
  | "C_SignInit"
  | "C_UnwrapKeyAsync"
>;

/** Calls on threads in one process: what leaked by then is some 90 MB. */
const MAX_ON_THREADS = 200_000;

let isWaitedFor = (): boolean => true;
let onThreads = 0;

/** Tells when others wait while an operation runs. Without it, always. */
export function setSideBySide(waited: () => boolean): void {
  isWaitedFor = waited;
}

/** The form for the next operation. */
export function nextForm(native: PKCS11): Operating {
  if (onThreads < MAX_ON_THREADS && isWaitedFor()) {
    onThreads += 1;
    return native;
  }
  return plainForm(native);
}

function plainForm(native: PKCS11): Operating {
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
