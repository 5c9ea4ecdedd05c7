/** RSA decryption on a token, with the steps of the plans for the two paddings. */
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
  /** Absent when no plan can undo OAEP. */
  readonly oaep: OaepDecryption | undefined;
  /** Absent when no plan can undo PKCS#1 v1.5. */
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

  /** The hashes with which the token decrypts a block of our own, best first. */
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
    // Comes first, because it must not depend on the block.
    ways.requireSome();
    // Public facts, checked here so that no return value of the token's about them must be
    // interpreted.
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

/** Bytes of a file key (docs/format.md); used when the caller gives no length. */
const DEFAULT_KEY_BYTES = 32;

/** A limit: formats have a handful of labels, but callers may pass any number. */
const MAX_KNOWN = 64;
