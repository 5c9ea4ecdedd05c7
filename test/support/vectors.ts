/**
 * Published test data. The folder comes from `P11SEAL_VECTORS`, by default `../shared/vectors`
 * beside the checkout. If it is absent, `describeVectors` skips every suite that needs it, by name.
 * If it is present, a file that yields nothing is a failure.
 */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe } from "@jest/globals";
import { skipped } from "./missing.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const folder = process.env["P11SEAL_VECTORS"] ?? join(root, "../shared/vectors");

/** A suite over published vectors; if they are absent, one skipped test that says so. */
export function describeVectors(name: string, suite: () => void): void {
  if (existsSync(folder)) describe(name, suite);
  else skipped(name, "no vectors, see CONTRIBUTING.md");
}

/** The path of a folder of vector files. */
export function vectorFolder(path: string): string {
  return join(folder, path);
}

/** The bytes of one vector file. */
export function vectorFile(path: string): Buffer {
  return readFileSync(join(folder, path));
}

/** One vector file in JSON, with the type that the caller expects. */
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters
export function vectorJson<T>(path: string): T {
  return JSON.parse(vectorFile(path).toString("utf8")) as T;
}

/** One Wycheproof test with its group. */
export interface Wycheproof<G, T> {
  readonly group: G;
  readonly test: T & {
    readonly tcId: number;
    readonly comment: string;
    readonly result: "valid" | "invalid" | "acceptable";
    readonly flags: readonly string[];
  };
}

/** Every test of a Wycheproof file. Throws if there are none: then the loader is wrong. */
export function wycheproof<G, T>(name: string): Wycheproof<G, T>[] {
  const file = vectorJson<{ testGroups: (G & { tests: Wycheproof<G, T>["test"][] })[] }>(
    `wycheproof/${name}_test.json`,
  );
  const tests = file.testGroups.flatMap((group) => group.tests.map((test) => ({ group, test })));
  if (tests.length === 0) throw new Error(`no tests in wycheproof/${name}_test.json`);
  return tests;
}

/** What vectors of HPKE have in common: the algorithms by number, and the receiver's setup. */
export interface HpkeSetup {
  readonly kem_id: number;
  readonly kdf_id: number;
  readonly aead_id: number;
  readonly info: string;
  readonly skRm: string;
  readonly pkRm: string;
  readonly enc: string;
}
