/**
 * What each stack is stated to offer: the rows are our promises, and `lacks` says which of them a
 * token does not keep, why, and how the attempt ends. `stated.json` holds the data; the suite, the
 * table in docs/tokens.md and the count of skips are all held against it.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { KeyType } from "../../src/token/values.js";

export const STACK_NAMES = ["softhsm", "nss", "opencryptoki", "tpm2", "opensc", "p11kit"] as const;

export type StackName = (typeof STACK_NAMES)[number];

export interface Lack {
  /** For a reader, as in "no elliptic curves at all". */
  readonly why: string;
  /** The code of the error that the row ends with when it is tried all the same. */
  readonly code: string;
}

export interface StatedStack {
  /** The table's heading. */
  readonly title: string;
  /** Types of keys that it holds and that open messages. */
  readonly holds: readonly KeyType[];
  /** Its keys came with it: it makes none. */
  readonly given: boolean;
  readonly lacks: Readonly<Record<string, Lack>>;
  /** Rows that are kept in one of several ways: which. */
  readonly ways: Readonly<Record<string, string>>;
  /** What a new exchange key is not, for all it was asked to be. */
  readonly notHonoured: readonly string[];
  /** What the audit finds about such a key. */
  readonly findings: readonly string[];
}

export interface Stated {
  /** Promises, by row. */
  readonly rows: Readonly<Record<string, string>>;
  readonly stacks: Readonly<Record<StackName, StatedStack>>;
}

export const stated = JSON.parse(
  readFileSync(join(import.meta.dirname, "stated.json"), "utf8"),
) as Stated;
