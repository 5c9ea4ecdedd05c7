/**
 * A ledger over any store. The rules decide (`ledger-rules.ts`). This file looks up the facts they
 * need, and removes files once the decision about them is stored.
 */
import { randomBytes } from "node:crypto";
import { defined } from "../../defined.js";
import { PolicyError } from "../../errors.js";
import { isRunning, thisProcess } from "../../store/owner.js";
import {
  deliveryState,
  describeDelivery,
  removeTemporary,
  requirePaths,
  type Delivery,
} from "./delivery.js";
import type {
  Acceptance,
  Ledger,
  LedgerExport,
  LedgerStatus,
  LedgerWitness,
  OutputPaths,
  Pruned,
  Redelivery,
  Reservation,
  ReserveOptions,
  SignedMessage,
} from "./ledger.js";
import { exportOf, impossibleIn } from "./ledger-contents.js";
import {
  decideAcceptance,
  decideDelivery,
  decidePruning,
  decideRelease,
  decideReservation,
  isUndelivered,
  type Admission,
  type CleanUp,
  type DeliveryState,
  type Facts,
  type OwnerState,
} from "./ledger-rules.js";
import {
  deliveryOf,
  type LedgerStore,
  type MessageRow,
  type StreamKey,
  type Writes,
} from "./ledger-store.js";

/** Processes and files, as the ledger sees them. */
export interface Surroundings {
  /** Names this process, so that another one can see whether it is running. */
  owner(): string;
  ownerState(owner: string): OwnerState;
  /** @throws PolicyError `ERR_OUTPUT_GONE` if the temporary file is missing */
  describe(output: OutputPaths): Delivery;
  deliveryState(delivery: Delivery): DeliveryState;
  /** Never throws: what can't be removed stays. */
  removeTemporary(path: string): void;
}

export class StoredLedger implements Ledger {
  readonly #store: LedgerStore;
  readonly #around: Surroundings;

  constructor(store: LedgerStore, surroundings: Surroundings = SYSTEM) {
    this.#store = store;
    this.#around = surroundings;
  }

  reserve(message: SignedMessage, options: ReserveOptions): Promise<Reservation> {
    return reserveIn(this.#store, message, options, this.#around);
  }

  async isUndelivered(message: SignedMessage): Promise<boolean> {
    const { undelivered } = await this.#store.transact(message, (rows) => ({
      undelivered: isUndelivered(rows, message),
      changes: [],
    }));
    return undelivered;
  }

  async witness(): Promise<LedgerWitness> {
    const { ledgerId, counter } = await this.#store.meta();
    return { ledgerId, counter };
  }

  status(): Promise<LedgerStatus> {
    return this.#store.status();
  }

  async verify(): Promise<string[]> {
    const problems = await this.#store.check();
    return problems.length > 0 ? problems : impossibleIn(this.#store);
  }

  async prune({ nowMs, windowMs }: { nowMs: number; windowMs: number }): Promise<Pruned> {
    const horizonMs = nowMs - windowMs;
    const claimant = { owner: this.#around.owner(), token: newToken(), nowMs };
    let removed = 0;
    let from: StreamKey | undefined;
    do {
      const step = { horizonMs, from };
      const decision = await cleanedUp(this.#around, () =>
        this.#store.prune(step, (rows) => {
          const facts = factsAbout(rows.reserved, this.#around);
          return decidePruning({ ...rows, ...facts }, horizonMs, claimant);
        }),
      );
      removed += decision.removed;
      from = decision.last;
    } while (from !== undefined);
    const left = await this.#store.status();
    const kept = left.reserved + left.accepted + left.delivered;
    const isCompact = removed === 0 || (await this.#store.compact());
    return { removed, kept, ...(!isCompact && { spaceKept: true }) };
  }

  async export(): Promise<LedgerExport> {
    return exportOf(this.#store);
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}

/** What a reservation needs of a store: all that one message's rows take. */
export type MessageStore = Pick<LedgerStore, "transact">;

/** `Ledger.reserve` over any store. */
export async function reserveIn(
  store: MessageStore,
  message: SignedMessage,
  options: ReserveOptions,
  around: Surroundings = SYSTEM,
): Promise<Reservation> {
  if (options.output !== undefined) requirePaths(options.output);
  const token = newToken();
  const request = { ...options, token, owner: around.owner() };
  const decision = await cleanedUp(around, () =>
    store.transact(message, (rows) => {
      const facts = factsAbout([rows.own, rows.rival], around);
      const delivery = deliveryFact(rows.own, around);
      return decideReservation({ ...rows, ...facts, ...defined({ delivery }) }, message, request);
    }),
  );
  if (decision.kind === "refuse") throw decision.error;
  return new StoredReservation(store, around, message, { ...options, token }, decision);
}

/** What the holder of a reservation may still do with the message, and when. */
class StoredReservation implements Reservation {
  readonly place: Reservation["place"];
  readonly gap: number;
  readonly redelivery?: Redelivery;
  readonly #store: MessageStore;
  readonly #around: Surroundings;
  readonly #message: SignedMessage;
  readonly #options: ReserveOptions & { readonly token: string };

  constructor(
    store: MessageStore,
    surroundings: Surroundings,
    message: SignedMessage,
    options: ReserveOptions & { readonly token: string },
    { place, gap, redelivery }: Admission,
  ) {
    this.#store = store;
    this.#around = surroundings;
    this.#message = message;
    this.#options = options;
    this.place = place;
    this.gap = gap;
    if (redelivery !== undefined) this.redelivery = redelivery;
  }

  async commit(output?: OutputPaths): Promise<Acceptance> {
    const { token, nowMs, inOrder } = this.#options;
    const delivery = output === undefined ? undefined : this.#around.describe(output);
    const request = { token, nowMs, ...defined({ inOrder, delivery }) };
    const decision = await this.#store.transact(this.#message, (rows) =>
      decideAcceptance(rows, this.#message, request),
    );
    if (decision.kind === "refuse") throw decision.error;
    // A plaintext that waited, and that nobody will rename now.
    const earlier = this.redelivery?.kind === "waiting" ? this.redelivery.output : undefined;
    if (earlier !== undefined && earlier.temporary !== output?.temporary) {
      this.#around.removeTemporary(earlier.temporary);
    }
    return { witness: decision.witness, delivered: () => this.#delivered() };
  }

  async release(): Promise<void> {
    try {
      await this.#store.transact(this.#message, (rows) => decideRelease(rows, this.#options.token));
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      // The row is taken over once this process has ended.
    }
  }

  async #delivered(): Promise<void> {
    const decision = await this.#store.transact(this.#message, (rows) =>
      decideDelivery(rows, this.#options.token),
    );
    if (decision.kind === "refuse") throw decision.error;
  }
}

// ── Details ──

/** This machine's processes and files. */
const SYSTEM: Surroundings = {
  owner: thisProcess,
  ownerState(owner) {
    const running = isRunning(owner);
    return running === undefined ? "unknown" : running ? "running" : "ended";
  },
  describe: describeDelivery,
  deliveryState,
  removeTemporary,
};

function factsAbout(rows: readonly (MessageRow | undefined)[], around: Surroundings): Facts {
  const owners = rows.flatMap((row) => row?.owner ?? []);
  return { owners: new Map(owners.map((owner) => [owner, around.ownerState(owner)] as const)) };
}

function deliveryFact(
  own: MessageRow | undefined,
  around: Surroundings,
): DeliveryState | undefined {
  const delivery = own?.state === "accepted" ? deliveryOf(own) : undefined;
  return delivery && around.deliveryState(delivery);
}

/** Removes the files that a decision names and asks again, until it names none. */
async function cleanedUp<D extends Writes>(
  around: Surroundings,
  decide: () => Promise<CleanUp | D>,
): Promise<D> {
  for (;;) {
    const decision = await decide();
    if (!isCleanUp(decision)) return decision;
    for (const file of decision.files) around.removeTemporary(file);
  }
}

function isCleanUp(decision: Writes): decision is CleanUp {
  return "kind" in decision && decision.kind === "clean-up";
}

function newToken(): string {
  return randomBytes(16).toString("hex");
}
