/**
 * What each stack is stated to offer. The rows are our promises; `lacks` says which of them a token
 * does not keep, why, and how the attempt ends. The data is in `stated.json`. The suite, the table
 * in docs/tokens.md and the count of skips are checked against it.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { KeyType } from "../../src/token/values.js";

export const STACK_NAMES = ["softhsm", "nss", "opencryptoki", "tpm2", "opensc", "p11kit"] as const;

export type StackName = (typeof STACK_NAMES)[number];

export interface Lack {
  /** For people, such as "no elliptic curves at all". */
  readonly why: string;
  /** The code of the error that the row ends with if it is tried all the same. */
  readonly code: string;
  /** Lacking only where this binding calls the module. */
  readonly binding?: "pkcs11js" | "koffi";
}

export interface StatedStack {
  /** The table's heading. */
  readonly title: string;
  /** The types of keys that it can hold and that open messages. */
  readonly holds: readonly KeyType[];
  /** Its keys are preloaded: it generates none. */
  readonly given: boolean;
  readonly lacks: Readonly<Record<string, Lack>>;
  /** For rows that can be kept in several ways: which one. */
  readonly ways: Readonly<Record<string, string>>;
  /** What was requested of a new exchange key and not honored. */
  readonly notHonoured: readonly string[];
  /** What the audit finds in such a key. */
  readonly findings: readonly string[];
}

export interface Stated {
  /** Promises, by row. */
  readonly rows: Readonly<Record<string, string>>;
  readonly stacks: Readonly<Record<StackName, StatedStack>>;
}

/** For the binding in use. */
export const stated = JSON.parse(
  readFileSync(join(import.meta.dirname, "stated.json"), "utf8"),
  (key, value: unknown) => (key === "lacks" ? ofThisBinding(value as StatedStack["lacks"]) : value),
) as Stated;

function ofThisBinding(lacks: StatedStack["lacks"]): StatedStack["lacks"] {
  const used = process.env["P11SEAL_BINDING"] ?? "pkcs11js";
  return Object.fromEntries(
    Object.entries(lacks).filter(([, { binding = used }]) => binding === used),
  );
}
