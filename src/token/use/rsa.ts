/** RSA decryption by a token, with the steps of the plans for its two paddings. */
import { toHex } from "../../bytes.js";
import type {
  OaepDecryption,
  OaepHash,
  OaepParameters,
  PrivateKey,
  RsaPublicKey,
} from "../../keys/key.js";
import type { Secret } from "../../secret.js";
import type { KeyObjectOnToken } from "./key-object.js";
import { OAEP_HASHES, planFor, reasonsAgainst, type Situation, stepsToTry } from "./plan.js";
import { oaepPadding, PKCS1_PADDING } from "./rsa-padding.js";
import { EVEN_BYTES, RsaSteps } from "./rsa-steps.js";
import { Ways } from "./ways.js";

/** An RSA key on a token that is logged in. */
export class TokenRsaKey {
  /** Absent where the plan knows no way to undo any OAEP. */
  readonly oaep: OaepDecryption | undefined;
  /** Absent where the plan knows no way to undo PKCS#1 v1.5. */
  readonly decryptPkcs1: PrivateKey["decryptPkcs1"] | undefined;
  readonly #key: KeyObjectOnToken<RsaPublicKey>;
  readonly #situation: Situation;
  readonly #steps: RsaSteps;
  /** By OAEP's parameters and the secret's length. */
  readonly #oaepWays = new Map<string, Ways>();

  constructor(key: KeyObjectOnToken<RsaPublicKey>, situation: Situation) {
    this.#key = key;
    this.#situation = situation;
    this.#steps = new RsaSteps(key);
    this.oaep = this.#oaepDecryption();
    this.decryptPkcs1 = this.#pkcs1Decryption();
  }

  /** The hashes that a block of our own comes back with, best first. */
  async provenHashes(): Promise<OaepHash[]> {
    const proven: OaepHash[] = [];
    for (const hash of OAEP_HASHES) {
      if (await this.#waysFor({ hash }, DEFAULT_KEY_BYTES).isPossible()) proven.push(hash);
    }
    return proven;
  }

  #oaepDecryption(): OaepDecryption | undefined {
    const plan = planFor("open", this.#situation);
    if (stepsToTry(plan).length === 0) return undefined;
    const labelled = planFor("open", this.#situation, { hash: "sha256", label: Uint8Array.of(1) });
    return {
      hashes: plan.oaep ?? [],
      labels: stepsToTry(labelled).length > 0 ? "any" : "empty",
      decrypt: (ciphertext, parameters, options = {}) => {
        const { using, keyBytes = DEFAULT_KEY_BYTES, evenly = false } = options;
        const ways = this.#waysFor(parameters, evenly ? EVEN_BYTES : keyBytes);
        return this.#undo(ways, ciphertext, () =>
          evenly ? ways.useEvenly(ciphertext, using) : ways.use(ciphertext, using),
        );
      },
    };
  }

  #pkcs1Decryption(): PrivateKey["decryptPkcs1"] | undefined {
    const plan = planFor("decrypt-pkcs1", this.#situation);
    const steps = stepsToTry(plan);
    if (steps.length === 0) return undefined;
    const { token, trace } = this.#key;
    const tried = steps.map((step) => this.#steps.way(step, PKCS1_PADDING, EVEN_BYTES));
    const ways = new Ways(token, "undo PKCS#1 v1.5", tried, trace);
    return (ciphertext, { using } = {}) =>
      this.#undo(ways, ciphertext, () => ways.useEvenly(ciphertext, using));
  }

  async #undo(
    ways: Ways,
    ciphertext: Uint8Array,
    use: () => Promise<Secret | null>,
  ): Promise<Secret | null> {
    // First of all: it must not depend on the block.
    ways.requireSome();
    // Public facts, checked here so that no return value about them needs to be understood.
    const { modulus } = this.#key.publicKey;
    if (ciphertext.length !== modulus.length) return null;
    if (Buffer.compare(ciphertext, modulus) >= 0) return null;
    return use();
  }

  #waysFor(parameters: OaepParameters, keyBytes: number): Ways {
    const { hash, mgfHash = hash, label = new Uint8Array(0) } = parameters;
    const name = `${hash} ${mgfHash} ${keyBytes} ${toHex(label)}`;
    const known = this.#oaepWays.get(name);
    if (known !== undefined) return known;
    const { token, trace } = this.#key;
    const plan = planFor("open", this.#situation, parameters);
    const padding = oaepPadding(parameters);
    const tried = stepsToTry(plan, hash).map((step) => this.#steps.way(step, padding, keyBytes));
    const what = `undo RSA-OAEP with ${hash}${label.length > 0 ? " and a label" : ""}`;
    const ways = new Ways(token, what, tried, trace, reasonsAgainst(plan));
    if (this.#oaepWays.size >= MAX_KNOWN) this.#oaepWays.clear();
    this.#oaepWays.set(name, ways);
    return ways;
  }
}

/** A file key's (docs/format.md), where the caller doesn't say. */
const DEFAULT_KEY_BYTES = 32;

/** Formats have a handful of labels; somebody may have more. */
const MAX_KNOWN = 64;
