/**
 * The file beside a hybrid key whose half on a curve is on a token: the public key, and the ML-KEM
 * seed sealed to that very half, as a message like any other. Tokens of today have no ML-KEM.
 *
 * Text: a block `P11SEAL HYBRID KEY` with the SubjectPublicKeyInfo, then the armoured message. It
 * says neither where the token is nor which module reaches it: a file must not choose code to load.
 */
import { randomBytes } from "node:crypto";
import { concat } from "../bytes.js";
import { FormatError, P11SealError, UnsupportedError } from "../errors.js";
import { formatPem, parsePem } from "../asn1/pem.js";
import type {
  ExchangePublicKey,
  HybridKem,
  HybridPublicKey,
  Identity,
  PrivateKey,
  Recipient,
} from "../keys/key.js";
import { ML_KEM_SEED_BYTES, mlKem } from "../keys/ml-kem.js";
import { HYBRID_PARTS, publicKeyFromHybrid, publicKeyFromSpki } from "../keys/public-key.js";
import { naming } from "../keys/refusals.js";
import { Secret } from "../secret.js";
import { kemOf } from "../wrap/hpke.js";
import { hybridKey } from "../wrap/hybrid-key.js";
import { openMessage, sealMessage } from "./messages.js";
import { native } from "./native/native.js";

/** What such a file holds. */
export interface HybridFile {
  readonly publicKey: HybridPublicKey;
  /** A message in p11seal's own format: the seed `d ‖ z` (FIPS 203), 64 bytes. */
  readonly sealedSeed: Uint8Array;
}

/** True for a text that begins as such a file does. */
export function looksLikeHybridFile(text: string): boolean {
  return text.startsWith(`-----BEGIN ${LABEL}-----`);
}

/**
 * Reads a file, as strictly as it is written; only its lines may end with CRLF.
 *
 * @param name - names the file in messages
 * @throws FormatError `ERR_HYBRID_FILE`, and as `publicKeyFromSpki`
 */
export function parseHybridFile(text: string, name: string): HybridFile {
  if (text.length > MAX_CHARACTERS) throw damaged(name);
  const [key, message] = blocksOf(text, name);
  const publicKey = naming(name, () => publicKeyFromSpki(key));
  if (publicKey.type !== "hybrid") throw damaged(name);
  const file = { publicKey, sealedSeed: message };
  if (formatHybridFile(file) !== text.replaceAll("\r\n", "\n")) throw damaged(name);
  return file;
}

/** The file's text, ASCII. */
export function formatHybridFile({ publicKey, sealedSeed }: HybridFile): string {
  return formatPem(LABEL, publicKey.spki) + formatPem(MESSAGE_LABEL, sealedSeed);
}

/**
 * A new hybrid key around a half that exists already.
 *
 * @param half - the half on the token, which the seed is sealed to
 * @param escrow - who else may open the seed
 * @throws UnsupportedError `ERR_KEY_TYPE`: the half is not on the KEM's curve
 */
export async function newHybridFile(
  kem: HybridKem,
  half: ExchangePublicKey,
  escrow: readonly Recipient[] = [],
): Promise<HybridFile> {
  const { name, set, curve } = HYBRID_PARTS[kem];
  if (half.type === "rsa" || half.type === "hybrid" || kemOf(half) !== curve) {
    throw new UnsupportedError("ERR_KEY_TYPE", `a half of ${name} is a key on ${curve}`);
  }
  const seed = new Secret(new Uint8Array(randomBytes(ML_KEM_SEED_BYTES)));
  try {
    const mlkem = (await mlKem()).publicKey(set, seed.expose());
    const publicKey = publicKeyFromHybrid(kem, concat(mlkem, half.point));
    const recipients = [{ publicKey: half }, ...escrow];
    const sealed = await sealMessage(seed.expose(), { recipients });
    return { publicKey, sealedSeed: await sealed.stream().bytes() };
  } finally {
    seed.wipe();
  }
}

/** The identity of a hybrid key, with the seed in memory from its first use until `wipe`. */
export interface HybridFileIdentity extends Identity<HybridPublicKey> {
  wipe(): void;
}

/**
 * The identity of a file's key.
 *
 * @param half - reaches the private key of `publicKey.dh`; unlocked at each unlock
 * @param name - the file's, for messages; public
 */
export function hybridFileIdentity(
  { publicKey, sealedSeed }: HybridFile,
  half: Identity,
  name: string,
): HybridFileIdentity {
  let seed: Promise<Secret> | undefined;
  const unsealed = (key: PrivateKey): Promise<Secret> => {
    seed ??= unseal(sealedSeed, key, name);
    return seed;
  };
  const forget = (): void => {
    void seed?.then(
      (one) => {
        one.wipe();
      },
      () => undefined,
    );
    seed = undefined;
  };
  return {
    publicKey,
    name,
    unlock: async () => {
      const key = await half.unlock();
      try {
        return await hybridKey(publicKey, key, await unsealed(key));
      } catch (error) {
        // The next message may try again.
        forget();
        throw error instanceof P11SealError && error.code === "ERR_PRIVATE_KEY"
          ? otherSeed(name)
          : error;
      }
    },
    wipe: forget,
  };
}

/** @throws FormatError `ERR_HYBRID_FILE`; as the key's operation does */
async function unseal(sealedSeed: Uint8Array, key: PrivateKey, name: string): Promise<Secret> {
  const { publicKey } = key;
  const unlocked = { publicKey, name, unlock: () => Promise.resolve(key) };
  let plaintext: Uint8Array;
  try {
    const { plaintext: stream } = await openMessage(sealedSeed, { identities: [unlocked] });
    plaintext = await stream.bytes();
  } catch (error) {
    if (error instanceof P11SealError && OF_THE_MESSAGE.has(error.name)) throw otherSeed(name);
    throw error;
  }
  if (plaintext.length === ML_KEM_SEED_BYTES) return new Secret(plaintext);
  plaintext.fill(0);
  throw otherSeed(name);
}

/** Errors that lie in the sealed seed, and not in the token. */
const OF_THE_MESSAGE: ReadonlySet<string> = new Set([
  "AuthenticationError",
  "FormatError",
  "NoMatchError",
  "UnsupportedError",
]);

function blocksOf(text: string, name: string): [key: Uint8Array, message: Uint8Array] {
  try {
    const [key, message, ...more] = parsePem(text);
    if (key?.label === LABEL && message?.label === MESSAGE_LABEL && more.length === 0) {
      if (native.detect(message.bytes)) return [key.bytes, message.bytes];
    }
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
  }
  throw damaged(name);
}

function damaged(name: string): FormatError {
  return new FormatError("ERR_HYBRID_FILE", `${name}: not a hybrid key's file, or damaged`, {
    hint: "take the copy that was made of it; without the file the key is lost",
  });
}

function otherSeed(name: string): FormatError {
  return new FormatError("ERR_HYBRID_FILE", `${name}: the sealed seed is not the hybrid key's`, {
    hint: "the file was damaged or altered; take the copy that was made of it",
  });
}

const LABEL = "P11SEAL HYBRID KEY";
const MESSAGE_LABEL = "P11SEAL MESSAGE";
/** Many more than a file with a few escrow recipients has. */
const MAX_CHARACTERS = 65_536;
