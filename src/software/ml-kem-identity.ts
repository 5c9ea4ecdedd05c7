/**
 * Identities of ML-KEM private key files: PKCS#8 in PEM with the key's seed (RFC 9935 §6), alone
 * or beside the expanded form. CMS messages are sealed to such keys (RFC 9936).
 */
import { DerReader, TAG } from "../asn1/der.js";
import { equal } from "../bytes.js";
import { oidText } from "../asn1/oid.js";
import { looksLikePem, parsePem } from "../asn1/pem.js";
import { defined } from "../defined.js";
import { FormatError, UnsupportedError } from "../errors.js";
import type { Identity, MlKemPublicKey } from "../keys/key.js";
import {
  ML_KEM_BYTES,
  ML_KEM_OIDS,
  ML_KEM_SEED_BYTES,
  mlKem,
  type MlKemSet,
} from "../keys/ml-kem.js";
import { mlKemPublicKey } from "../keys/ml-kem-key.js";
import { Secret } from "../secret.js";

/** True for a file that `mlKemIdentity` reads, or refuses. */
export function looksLikeMlKem(text: string): boolean {
  return mlKemFile(text) !== undefined;
}

/**
 * @param name - how messages call it; public
 * @throws FormatError `ERR_PRIVATE_KEY`: malformed; UnsupportedError `ERR_KEY_FORMAT`: without the
 *   seed
 */
export async function mlKemIdentity(text: string, name: string): Promise<Identity<MlKemPublicKey>> {
  const file = mlKemFile(text);
  if (file === undefined) throw malformed(name);
  const { set, certificates } = file;
  const { seed, expanded } = partsOf(file.key, name);
  const kem = await mlKem();
  const encapsulationKey = kem.publicKey(set, seed.expose());
  if (expanded !== undefined && !holds(expanded, encapsulationKey)) throw malformed(name);
  const publicKey = mlKemPublicKey(set, encapsulationKey);
  const decapsulate = (ciphertext: Uint8Array): Promise<Secret | null> => {
    const fits = ciphertext.length === ML_KEM_BYTES[set].ciphertext;
    return Promise.resolve(
      fits ? new Secret(kem.decapsulate(set, seed.expose(), ciphertext)) : null,
    );
  };
  return {
    publicKey,
    name,
    ...defined({ certificates: certificates.length > 0 ? certificates : undefined }),
    unlock: () => Promise.resolve({ publicKey, decapsulate }),
  };
}

interface MlKemFile {
  readonly set: MlKemSet;
  /** ML-KEM-PrivateKey, DER. */
  readonly key: Uint8Array;
  readonly certificates: readonly Uint8Array[];
}

function mlKemFile(text: string): MlKemFile | undefined {
  if (!looksLikePem(text)) return undefined;
  try {
    const blocks = parsePem(text);
    const keys = blocks.filter(({ label }) => label === "PRIVATE KEY");
    const [block] = keys;
    if (block === undefined || keys.length > 1) return undefined;
    const outer = new DerReader(block.bytes, "private key").sequence();
    outer.read(TAG.integer); // version
    const oid = oidText(outer.sequence().read(TAG.oid));
    const set = SETS.find((one) => ML_KEM_OIDS[one] === oid);
    if (set === undefined) return undefined;
    const certificates = blocks.filter(({ label }) => label === "CERTIFICATE");
    return {
      set,
      key: outer.read(TAG.octetString),
      certificates: certificates.map(({ bytes }) => bytes),
    };
  } catch (error) {
    // Whoever reads private keys of other kinds says what is wrong.
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

const SETS = Object.keys(ML_KEM_OIDS) as readonly MlKemSet[];

/** ML-KEM-PrivateKey is a CHOICE: the seed, the expanded key, or both in a SEQUENCE. */
function partsOf(
  der: Uint8Array,
  name: string,
): { readonly seed: Secret; readonly expanded: Uint8Array | undefined } {
  const choice = new DerReader(der, "private key");
  const tag = choice.peek();
  if (tag === TAG.octetString) {
    throw new UnsupportedError("ERR_KEY_FORMAT", `${name}: an ML-KEM key without its seed`, {
      hint: "export it with its seed: the expanded form alone can contradict itself",
    });
  }
  const both = choice.optional(TAG.sequence);
  const seed = both === undefined ? choice.read(SEED_TAG) : both.read(TAG.octetString);
  const expanded = both?.read(TAG.octetString);
  both?.end();
  choice.end();
  if (seed.length !== ML_KEM_SEED_BYTES) throw malformed(name);
  return { seed: new Secret(new Uint8Array(seed)), expanded };
}

/**
 * Whether an expanded key is of the same pair (FIPS 203 §7.1): it ends with the encapsulation key,
 * the hash of that, and 32 secret bytes. Nothing else of it is used.
 */
function holds(expanded: Uint8Array, encapsulationKey: Uint8Array): boolean {
  const end = expanded.length - 64;
  return equal(
    expanded.subarray(Math.max(0, end - encapsulationKey.length), Math.max(0, end)),
    encapsulationKey,
  );
}

/** `[0] IMPLICIT OCTET STRING`. */
const SEED_TAG = 0x80;

function malformed(name: string): FormatError {
  return new FormatError("ERR_PRIVATE_KEY", `${name}: damaged ML-KEM private key`);
}
