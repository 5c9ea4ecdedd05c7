/**
 * How much work the check of one certificate may take. Whoever sends certificates chooses how many
 * there are, what they are called and what they demand, so every step that can be multiplied is
 * counted.
 */
import { PolicyError } from "../errors.js";

export class Effort {
  #signatures = MAX_SIGNATURES;
  #steps = MAX_STEPS;
  #comparisons = MAX_COMPARISONS;

  /** Call before a signature is verified. @throws PolicyError `ERR_CERTIFICATE_EFFORT`. */
  signature(): void {
    if (this.#signatures-- === 0) throw exhausted(`more than ${MAX_SIGNATURES} signatures`);
  }

  /** Call for every certificate that is tried as an issuer. Throws as `signature`. */
  step(): void {
    if (this.#steps-- === 0) throw exhausted(`more than ${MAX_STEPS} attempts to find issuers`);
  }

  /** Call before names are compared with constraints. Throws as `signature`. */
  comparisons(count: number): void {
    this.#comparisons -= count;
    if (this.#comparisons < 0) throw exhausted("too many names and name constraints");
  }
}

function exhausted(what: string): PolicyError {
  return new PolicyError("ERR_CERTIFICATE_EFFORT", `checking the certificate takes ${what}`, {
    hint: "the certificates that came with it are many, or made to waste time; give only its chain",
  });
}

const MAX_SIGNATURES = 200;
const MAX_STEPS = 5000;
const MAX_COMPARISONS = 2 ** 20;
