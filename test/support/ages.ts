/** Programs that speak the age format and are not ours. scripts/lib/age.mjs finds them. */
export interface AgeProgram {
  /** With its version, as in `age 1.1.1`. */
  readonly name: string;
  readonly command: readonly [program: string, ...args: string[]];
}

export type AgePeer = AgeProgram | { readonly reason: string };

/** From the environment of the tests. */
export const AGE_PEERS = JSON.parse(process.env["P11SEAL_TEST_AGES"] ?? "[]") as AgePeer[];
