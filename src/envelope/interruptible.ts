import { AbortedError } from "../errors.js";
import type { OpenOptions } from "./open-options.js";
import { requireRunning, unlessAborted } from "./watched.js";

/**
 * Work with a key that the signal interrupts anywhere but in `authenticate`: what that did, such as
 * a reservation, the caller can then undo.
 */
export async function interruptible<T>(
  options: OpenOptions,
  begin: (options: OpenOptions) => Promise<T>,
): Promise<T> {
  const { signal, identities, bodyKey } = options;
  if (signal === undefined) return begin(options);
  requireRunning(signal);
  let deciding = Promise.resolve();
  const begun = begin({
    ...options,
    authenticate(sender) {
      requireRunning(signal);
      deciding = options.authenticate?.(sender) ?? Promise.resolve();
      return deciding;
    },
    async passphrase() {
      requireRunning(signal);
      return options.passphrase?.();
    },
    ...(bodyKey !== undefined && {
      bodyKey: async (header) => {
        requireRunning(signal);
        const found = await bodyKey(header);
        requireRunning(signal);
        return found;
      },
    }),
    async identities(info) {
      requireRunning(signal);
      const found = typeof identities === "function" ? await identities(info) : identities;
      // No PIN is asked for on behalf of a caller who has gone.
      requireRunning(signal);
      return found;
    },
  });
  try {
    return await unlessAborted(begun, signal);
  } catch (error) {
    if (error instanceof AbortedError) await deciding.catch(() => undefined);
    throw error;
  }
}
