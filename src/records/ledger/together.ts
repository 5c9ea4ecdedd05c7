/**
 * A message with several signatures, of which anybody can take some away: each of them is accepted
 * with the message, so that none lets it in a second time.
 */
import { PolicyError } from "../../errors.js";
import type { Ledger, Reservation, SignedMessage } from "./ledger.js";

/**
 * The reservation, and with it one for each of the other signatures. Where one of them is refused,
 * so is the message, and nothing stays reserved. A signature without a time lets no message in, so
 * it needs none.
 *
 * @param state - `isAccepted`: the reservation was committed before
 * @throws as `Ledger.reserve`
 */
export async function together(
  reservation: Reservation,
  others: readonly (Omit<SignedMessage, "createdMs"> & { readonly createdMs?: number })[],
  ledger: Ledger,
  { nowMs, isAccepted = false }: { readonly nowMs: number; readonly isAccepted?: boolean },
): Promise<Reservation> {
  const beside: Reservation[] = [];
  const release = async (): Promise<void> => {
    for (const one of [reservation, ...beside]) await one.release();
  };
  try {
    for (const { createdMs, ...other } of others) {
      if (createdMs === undefined) continue;
      try {
        beside.push(await ledger.reserve({ ...other, createdMs }, { nowMs }));
      } catch (error) {
        if (!isHarmless(error, reservation)) throw error;
      }
    }
  } catch (error) {
    await release();
    throw error;
  }
  if (beside.length === 0) return reservation;
  const acceptAll = async (): Promise<void> => {
    for (const one of beside) await (await one.commit()).delivered();
  };
  if (isAccepted) await acceptAll();
  const { place, gap, redelivery } = reservation;
  return {
    ...{ place, gap, release },
    ...(redelivery !== undefined && { redelivery }),
    async commit(output) {
      const acceptance = await reservation.commit(output);
      await acceptAll();
      return acceptance;
    },
  };
}

/**
 * A signature older than the ledger is refused by itself, too. One that was accepted before is the
 * message's own where a crash came before its delivery.
 */
function isHarmless(error: unknown, { redelivery }: Reservation): boolean {
  if (!(error instanceof PolicyError)) return false;
  return error.code === "ERR_STALE" || (error.code === "ERR_REPLAYED" && redelivery !== undefined);
}
