/**
 * The ledger's rules over a store in memory: several processes open messages step by step, in any
 * order, die between any two steps, and meet full disks, slow clocks and pruning.
 */
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { FileError } from "../../../src/errors.js";
import type {
  Acceptance,
  Ledger,
  OutputPaths,
  Reservation,
  SignedMessage,
} from "../../../src/records/ledger/ledger.js";
import { decideReservation } from "../../../src/records/ledger/ledger-rules.js";
import type { MessageRow } from "../../../src/records/ledger/ledger-store.js";
import { StoredLedger } from "../../../src/records/ledger/stored-ledger.js";
import { Crash, MemoryStore, MemoryWorld } from "../support/memory-ledger.js";
import { DAY, hex, message, MINUTE, NOW } from "../support/messages.js";

/** A stream of three serials, of each two messages that differ in age; and another sender's. */
const MESSAGES: readonly SignedMessage[] = [
  ...[0, 1, 2].flatMap((serial) => [ofSender("alice", serial, 1), ofSender("alice", serial, 2)]),
  ofSender("bob", 0, 1),
];

function ofSender(name: string, serial: number, copy: number): SignedMessage {
  const messageId = hex(`${name} ${serial} ${copy}`, 32);
  return message(serial, { keyId: hex(name, 64), messageId, createdMs: NOW - serial * DAY });
}

/** Of the far ones nobody can tell whether they are at work. */
const OWNERS = ["near-1", "near-2", "far-1", "far-2"];

type Action =
  /** Somebody begins to open a message, into a file or to a pipe. */
  | ReserveAction
  /**
   * A run goes on: writes its plaintext, accepts, places the file, notes the delivery, releases.
   */
  | { kind: "step"; run: number }
  /** A run finds that the message was forged, or is through: it gives up. */
  | { kind: "release"; run: number }
  | { kind: "crash"; owner: string }
  | { kind: "full disk" }
  | { kind: "prune"; owner: string; days: number; dies: boolean }
  | { kind: "wait"; minutes: number }
  /** Somebody deletes a plaintext: one that waits, or one that was delivered. */
  | { kind: "remove"; file: number };

interface ReserveAction {
  kind: "reserve";
  owner: string;
  message: SignedMessage;
  /** The plaintext goes to a file, not to a pipe. */
  file: boolean;
  inOrder: boolean;
  /** The process dies before it has removed what another crash left. */
  dies: boolean;
}

const owner = fc.constantFrom(...OWNERS);
const index = fc.nat(12);
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("reserve" as const),
      owner,
      message: fc.constantFrom(...MESSAGES),
      file: fc.boolean(),
      inOrder: fc.boolean(),
      dies: fc.boolean(),
    }),
  },
  { weight: 12, arbitrary: fc.record({ kind: fc.constant("step" as const), run: index }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("release" as const), run: index }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("crash" as const), owner }) },
  { weight: 1, arbitrary: fc.constant({ kind: "full disk" as const }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("prune" as const),
      owner,
      days: fc.nat(5),
      dies: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("wait" as const),
      minutes: fc.constantFrom(-60, 15, 15, 15),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("remove" as const), file: index }) },
);

interface Run {
  readonly owner: string;
  readonly message: SignedMessage;
  readonly reservation: Reservation;
  readonly inOrder: boolean;
  output: OutputPaths | undefined;
  acceptance?: Acceptance;
  next: "write" | "accept" | "place" | "note" | "release";
}

/** What happened, as somebody outside would note it, and what must never come of it. */
class History {
  readonly store = new MemoryStore();
  readonly world = new MemoryWorld();
  readonly runs: Run[] = [];
  /** Message ids accepted, in order; delivered ones are never to be opened again. */
  readonly accepted: SignedMessage[] = [];
  readonly delivered = new Set<string>();
  /** Where the plaintext of an accepted message was when it was accepted. */
  readonly #plaintexts = new Map<SignedMessage, OutputPaths & { readonly mark: string }>();
  prunings = 0;
  /** How many delivered messages were pruned. */
  #forgotten = 0;
  nowMs = NOW;
  #born = 0;

  async act(action: Action): Promise<void> {
    switch (action.kind) {
      case "reserve":
        await this.#reserve(action);
        break;
      case "step":
        await this.#withRun(action.run, (run) => this.#step(run));
        break;
      case "release":
        await this.#withRun(action.run, (run) => this.#release(run));
        break;
      case "crash":
        this.crash(action.owner);
        break;
      case "full disk":
        this.store.failNext = true;
        break;
      case "prune":
        this.world.dieNext = action.dies;
        await this.prune(action.owner, action.days);
        break;
      case "wait":
        this.nowMs += action.minutes * MINUTE;
        break;
      case "remove": {
        const files = [...this.world.files.keys()];
        const file = files[action.file % Math.max(files.length, 1)];
        if (file !== undefined) this.world.files.delete(file);
        break;
      }
    }
  }

  /** The process of that name, until it crashes; then another one has the name. */
  ledger(owner: string): Ledger {
    return new StoredLedger(this.store, this.world.seenBy(this.process(owner)));
  }

  process(owner: string): string {
    return `${owner} ${this.#lives.get(owner) ?? 0}`;
  }

  readonly #lives = new Map<string, number>();

  crash(owner: string): void {
    this.world.ended.add(this.process(owner));
    this.#lives.set(owner, (this.#lives.get(owner) ?? 0) + 1);
  }

  async prune(owner: string, days: number): Promise<void> {
    const before = this.store.counter;
    const delivered = this.#deliveredRows();
    await attempt(this.ledger(owner).prune({ nowMs: this.nowMs, windowMs: days * DAY }));
    this.prunings += this.store.counter - before;
    this.#forgotten += delivered - this.#deliveredRows();
    this.#bury(owner);
  }

  async #reserve({ owner, message, file, inOrder, dies }: ReserveAction): Promise<void> {
    const output = file
      ? { temporary: `/${owner}.${this.#born++}.part`, final: `/${message.messageId}` }
      : undefined;
    const options = { nowMs: this.nowMs, inOrder, ...(output && { output }) };
    const process = this.process(owner);
    this.world.dieNext = dies;
    const before = this.#rowOf(message);
    const reservation = await attempt(this.ledger(owner).reserve(message, options));
    this.#bury(owner);
    if (typeof reservation === "string") {
      if (this.delivered.has(message.messageId)) {
        expect(["ERR_REPLAYED", "ERR_LEDGER_WRITE"]).toContain(reservation);
      }
      return;
    }
    expect(this.delivered).not.toContain(message.messageId);
    expect(reservation.redelivery).toEqual(this.redeliveryOf(message));
    if (before?.owner?.startsWith("far") === true) {
      const leftMs = before.leaseMs - this.nowMs;
      expect(leftMs <= 0 || leftMs > 15 * MINUTE).toBe(true);
    }
    const { leaseMs = 0 } = this.#rowOf(message) ?? {};
    expect(leaseMs).toBe(this.nowMs + 15 * MINUTE);
    const run: Run = { owner: process, message, reservation, inOrder, output, next: "write" };
    // What waits for its name gets it, or is thrown away for a pipe.
    if (reservation.redelivery?.kind === "waiting" && file) {
      Object.assign(run, { output: reservation.redelivery.output, next: "accept" });
    }
    this.runs.push(run);
  }

  /** What is to be done for a message that was accepted before; undefined for any other. */
  redeliveryOf(message: SignedMessage): Reservation["redelivery"] {
    if (!this.accepted.includes(message)) return undefined;
    const plaintext = this.#plaintexts.get(message);
    if (plaintext === undefined) return { kind: "gone" };
    const { temporary, final, mark } = plaintext;
    // Nobody opens what has its name already.
    expect(this.world.files.get(final)).not.toBe(mark);
    if (this.world.files.get(temporary) !== mark) return { kind: "gone" };
    return { kind: "waiting", output: { temporary, final } };
  }

  /** Who died in the middle of a call gets a successor. */
  #bury(owner: string): void {
    this.world.dieNext = false;
    if (this.world.ended.has(this.process(owner))) this.crash(owner);
  }

  async #step(run: Run): Promise<void> {
    const { reservation, message, output } = run;
    const { files } = this.world;
    switch (run.next) {
      case "write":
        if (output !== undefined) this.world.write(output.temporary);
        run.next = "accept";
        break;
      case "accept": {
        const highest = this.#streamOf(message)?.highest;
        const mark = files.get(output?.temporary ?? "");
        const acceptance = await attempt(reservation.commit(output));
        if (typeof acceptance === "string") {
          this.#expectHeld(run, acceptance);
          run.next = "release";
          break;
        }
        if (reservation.redelivery === undefined) {
          this.accepted.push(message);
          if (run.inOrder) expect([undefined, message.serial - 1]).toContain(highest);
        }
        if (output === undefined || mark === undefined) this.#plaintexts.delete(message);
        else this.#plaintexts.set(message, { ...output, mark });
        expect(acceptance.witness.counter).toBe(this.store.counter);
        Object.assign(run, { acceptance, next: "place" });
        break;
      }
      case "place":
        if (output !== undefined) {
          const mark = files.get(output.temporary);
          // Another run may have been quicker: then this one fails here, as `link` does.
          if (mark === undefined || files.has(output.final)) {
            run.next = "release";
            break;
          }
          files.set(output.final, mark);
          files.delete(output.temporary);
        }
        run.next = "note";
        break;
      case "note": {
        const outcome = await attempt(run.acceptance?.delivered() ?? Promise.resolve());
        if (outcome === undefined) {
          this.delivered.add(message.messageId);
          expect(await attempt(reservation.commit())).toBe("ERR_RESERVATION_LOST");
        } else {
          this.#expectHeld(run, outcome);
        }
        run.next = "release";
        break;
      }
      case "release":
        await this.#release(run);
        break;
    }
  }

  /** Nobody takes a message over from a process that can be seen at work. */
  #expectHeld({ owner }: Run, refusal: string): void {
    if (owner.startsWith("near")) expect(refusal).not.toBe("ERR_RESERVATION_LOST");
  }

  async #release(run: Run): Promise<void> {
    const { message, output, reservation } = run;
    this.runs.splice(this.runs.indexOf(run), 1);
    const full = this.store.failNext;
    const mine = this.#rowOf(message)?.owner === run.owner;
    await reservation.release();
    if (run.acceptance === undefined && output !== undefined) {
      if (reservation.redelivery?.kind !== "waiting") this.world.files.delete(output.temporary);
    }
    // What was only reserved has left no trace; what was accepted stays.
    if (mine && !full && this.accepted.every(({ messageId }) => messageId !== message.messageId)) {
      const others = this.runs.some((other) => other.message === message);
      if (!others) expect(this.#rowOf(message)).toBeUndefined();
    }
  }

  #streamOf({ keyId, streamId }: SignedMessage): { highest: number } | undefined {
    return this.store.streams.find((row) => row.sender === keyId && row.streamId === streamId);
  }

  #deliveredRows(): number {
    return this.store.rows.filter(({ state }) => state === "delivered").length;
  }

  #rowOf({ keyId, messageId }: SignedMessage): MessageRow | undefined {
    return this.store.rows.find((row) => row.sender === keyId && row.messageId === messageId);
  }

  async #withRun(index: number, use: (run: Run) => Promise<void>): Promise<void> {
    const alive = this.runs.filter(({ owner }) => !this.world.ended.has(owner));
    const run = alive[index % Math.max(alive.length, 1)];
    if (run !== undefined) await use(run);
  }

  /** What holds at every moment. */
  check(): void {
    const ids = this.accepted.map(({ messageId }) => messageId);
    expect(new Set(ids).size).toBe(ids.length);
    const serials = this.accepted.map(({ keyId, serial }) => `${keyId} ${serial}`);
    expect(new Set(serials).size).toBe(serials.length);
    const deliveries = this.#deliveredRows() + this.#forgotten;
    expect(this.store.counter).toBe(this.accepted.length + deliveries + this.prunings);
  }
}

/** The outcome, or the code of the refusal. */
async function attempt<T>(promise: Promise<T>): Promise<T | string> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof Crash) return "crash";
    const { code } = error as { code?: string };
    if (code === undefined) throw error;
    return code;
  }
}

describe("the ledger's rules", () => {
  it("hold for any processes, crashes, full disks, clocks and prunings", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(action, { maxLength: 80, size: "max" }),
        fc.boolean(),
        async (actions, late) => {
          const history = new History();
          for (const next of actions) {
            await history.act(next);
            history.check();
          }
          // A clock that is set back keeps nothing reserved for ever.
          history.nowMs += late ? 365 * DAY : -365 * DAY;
          await settle(history);
        },
      ),
      { numRuns: 250 },
    );
  });
});

const META = { ledgerId: hex("ledger", 32), counter: 1, createdMs: NOW, sinceMs: 0 };

describe("a ledger that begins in the middle of a second", () => {
  const sinceMs = NOW - (NOW % 1000) + 500;
  const request = { owner: "near-1", token: "token", nowMs: NOW };
  it.each([
    [sinceMs - 1, "refuse"],
    [sinceMs, "admit"],
    [sinceMs - 500, "admit"],
    [sinceMs - 1500, "refuse"],
  ])("takes a time in whole seconds for any in that second: %s, %s", (createdMs, kind) => {
    const meta = { ...META, sinceMs };
    const rows = { meta, stream: undefined, own: undefined, rival: undefined, owners: new Map() };
    expect(decideReservation(rows, { ...message(1), createdMs }, request).kind).toBe(kind);
  });
});

describe("a reservation that was claimed, so that its file could be removed", () => {
  const meta = META;
  const { keyId: sender, messageId, streamId, serial, createdMs } = message(1);
  const own: MessageRow = {
    ...{ sender, messageId, streamId, serial, createdMs, state: "reserved" },
    ...{ owner: "near-1", token: "token", leaseMs: NOW, temporary: "/1.part", final: "/1" },
    ...{ acceptedMs: undefined, mark: undefined },
  };
  const owners = new Map([["near-1", "running" as const]]);
  // Meanwhile another message of the stream was accepted.
  const stream = { sender, streamId, highest: 7, floor: -1 };
  const request = { owner: "near-1", token: "token", nowMs: NOW, inOrder: true };

  it.each([
    ["of the message", { own, rival: undefined }],
    ["of another message with its serial", { own: undefined, rival: { ...own, messageId: "2" } }],
  ])("%s, is given up when the message is refused after all", (_, { own, rival }) => {
    const state = { meta, stream, own, rival, owners };
    expect(decideReservation(state, message(1), request)).toMatchObject({
      kind: "refuse",
      error: { code: "ERR_OUT_OF_ORDER" },
      changes: [{ kind: "delete", message: own ?? rival }],
    });
  });

  it("is an acceptance: it stays, for whoever comes next", () => {
    const accepted: MessageRow = { ...own, state: "accepted", acceptedMs: NOW, mark: "mark" };
    const failed = new FileError("ERR_READ", "cannot look");
    const state = { meta, stream, own: accepted, rival: undefined, owners, delivery: failed };
    expect(decideReservation(state, message(1), request)).toEqual({
      kind: "refuse",
      error: failed,
      changes: [{ kind: "update", message: { ...accepted, owner: undefined, token: undefined } }],
    });
  });
});

describe("a ledger's contradictions", () => {
  it("are found: a message that its stream, or the counter, does not know of", async () => {
    const store = new MemoryStore();
    const ledger = new StoredLedger(store, new MemoryWorld().seenBy("near-1"));
    for (const serial of [1, 2]) {
      const reservation = await ledger.reserve(message(serial), { nowMs: NOW });
      await (await reservation.commit()).delivered();
    }
    expect(await ledger.verify()).toEqual([]);
    store.meta = () => Promise.resolve({ ...META, counter: 1 });
    store.messagesAfter = async (after) => {
      const page = await MemoryStore.prototype.messagesAfter.call(store, after);
      return page.map((row) => ({ ...row, highest: 1 }));
    };
    expect(await ledger.verify()).toEqual([
      `message ${message(2).messageId} was accepted, but its stream says otherwise`,
      "2 messages were accepted, but the counter is at 1",
    ]);
  });
});

/** Everybody is dead, and somebody opens everything that can still be opened. */
async function settle(history: History): Promise<void> {
  const { store, world, accepted, delivered } = history;
  store.failNext = false;
  for (const owner of OWNERS) history.crash(owner);
  history.runs.length = 0;
  const ledger = history.ledger("near-3");
  const now = { nowMs: history.nowMs };

  for (const message of accepted) {
    const again = await attempt(ledger.reserve(message, now));
    if (delivered.has(message.messageId)) {
      expect(again).toBe("ERR_REPLAYED");
    } else if (again === "ERR_REPLAYED") {
      // It was found delivered, in its place or with that noted.
      const row = store.rows.find(({ messageId }) => messageId === message.messageId);
      expect(row?.state ?? "delivered").toBe("delivered");
    } else {
      const { redelivery } = again as Reservation;
      expect(redelivery).toEqual(history.redeliveryOf(message));
      await (await (again as Reservation).commit()).delivered();
    }
    await expect(ledger.reserve(message, now)).rejects.toMatchObject({ code: "ERR_REPLAYED" });
  }
  await history.prune("near-3", (history.nowMs - NOW) / DAY - 1);
  expect(store.rows).toEqual([]);
  // A process that was wrongly believed dead may write on: what it leaves, nobody knows of.
  const left = [...world.files.keys()].filter((path) => path.endsWith(".part"));
  expect(left.filter((path) => !path.startsWith("/far"))).toEqual([]);
  for (const message of accepted) {
    await expect(ledger.reserve(message, now)).rejects.toMatchObject({ code: "ERR_REPLAYED" });
  }
  history.check();
}
