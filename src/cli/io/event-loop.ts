/**
 * When to let the event loop have its turn. A file is read and written with less processor time in
 * this thread than through Node's threads, but signals, timers and a token's answers wait until the
 * loop turns. So now and then one call goes by way of a thread.
 */

let turnedAt = 0;

/** True if the loop did not turn for a while; whoever is told so waits for a thread next. */
export function isTurnDue(): boolean {
  const now = performance.now();
  if (now - turnedAt < MOST_MS) return false;
  turnedAt = now;
  return true;
}

/** Too short for a person to notice. */
const MOST_MS = 20;
