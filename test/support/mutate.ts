/**
 * A small mutation fuzzer: valid inputs, changed in ways that break parsers. The same seed gives
 * the same inputs, so that a failure can be reproduced.
 */
import { P11SealError } from "../../src/errors.js";

/** Pseudo-random numbers (xorshift32), the same on every machine. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0 || 1;
  }

  /** 0 … n - 1. */
  below(n: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state % n;
  }

  of<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }
}

const EDGES = [0, 1, 2, 0x0f, 0x10, 0x18, 0x1f, 0x20, 0x40, 0x7f, 0x80, 0xa0, 0xbf, 0xfe, 0xff];
const COUNTS = [
  0,
  1,
  2,
  255,
  256,
  1024,
  65_535,
  65_536,
  65_537,
  2 ** 22,
  2 ** 22 + 1,
  2 ** 31,
  2 ** 32 - 1,
];

/** One to four changes to one of `seeds`. */
export function mutated(seeds: readonly Uint8Array[], random: Random): Uint8Array {
  let bytes = random.of(seeds);
  for (let changes = 1 + random.below(4); changes > 0; changes--) {
    bytes = changedOnce(bytes, seeds, random);
  }
  return bytes;
}

function changedOnce(bytes: Uint8Array, seeds: readonly Uint8Array[], random: Random): Uint8Array {
  // Structure is mostly at the start: half of all changes go to the first 64 bytes.
  const reach = random.below(2) === 0 ? Math.min(64, bytes.length) : bytes.length;
  const at = random.below(reach + 1);
  const length = 1 + random.below(random.below(4) === 0 ? 64 : 4);
  const before = bytes.subarray(0, at);
  const after = bytes.subarray(at);
  switch (random.below(9)) {
    case 0:
      return joined(
        before,
        Uint8Array.of((after[0] ?? 0) ^ (1 << random.below(8))),
        after.subarray(1),
      );
    case 1:
      return joined(before, Uint8Array.of(random.of(EDGES)), after.subarray(1));
    case 2:
      return joined(
        before,
        Uint8Array.of((after[0] ?? 0) + random.of([1, 255])),
        after.subarray(1),
      );
    case 3: {
      // A false length field.
      const field = new DataView(new ArrayBuffer(4));
      field.setUint32(0, random.of(COUNTS) + random.below(3));
      return joined(before, new Uint8Array(field.buffer), after.subarray(4));
    }
    case 4:
      return joined(before, after.subarray(length));
    case 5:
      return joined(before, random.bytes(length), after);
    case 6:
      return joined(before, after.subarray(0, length), after);
    case 7: {
      const other = random.of(seeds);
      return joined(before, other.subarray(random.below(other.length + 1)));
    }
    default:
      return before;
  }
}

function joined(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** The result of trying many inputs. */
export interface FuzzReport {
  readonly tried: number;
  readonly taken: number;
  /** How often each error code occurred. */
  readonly codes: Map<string, number>;
  /** Inputs that broke a rule, in hexadecimal, with what happened: at most ten. */
  readonly broken: string[];
  /** Processor time, in which waiting for a busy machine does not count. */
  readonly slowestMs: number;
  /** Growth of the process, bytes. */
  readonly grown: number;
}

/**
 * Tries `count` inputs. `act` returns `true` if it accepts the input, the error with which it
 * refuses it, or a sentence if the input breaks a rule. `change` makes an input of the seeds.
 */
export async function fuzz(
  seeds: readonly Uint8Array[],
  count: number,
  seed: number,
  act: (input: Uint8Array) => Promise<true | Error | string> | true | Error | string,
  change: typeof mutated = mutated,
): Promise<FuzzReport> {
  const random = new Random(seed);
  const codes = new Map<string, number>();
  const broken: string[] = [];
  let taken = 0;
  let slowestMs = 0;
  const before = process.memoryUsage().rss;
  for (let i = 0; i < count; i++) {
    const input = change(seeds, random);
    const start = process.cpuUsage();
    const outcome = await act(input);
    const { user, system } = process.cpuUsage(start);
    slowestMs = Math.max(slowestMs, (user + system) / 1000);
    if (outcome === true) taken++;
    else if (typeof outcome === "string") {
      if (broken.length < 10) broken.push(`${outcome}: ${Buffer.from(input).toString("hex")}`);
    } else {
      const { code = outcome.name } = outcome as Error & { code?: string };
      codes.set(code, (codes.get(code) ?? 0) + 1);
    }
  }
  const grown = process.memoryUsage().rss - before;
  return { tried: count, taken, codes, broken, slowestMs, grown };
}

/** What `act` returns of an error: a sentence, unless it is one of ours and can be printed. */
export function refusal(error: unknown): Error | string {
  if (!(error instanceof P11SealError)) return `threw ${String(error)}`;
  return /\p{Cc}/u.test(error.message) ? "says what can't be printed" : error;
}
