/** A file key under a passphrase: scrypt (RFC 7914; C2SP, "age", §"The scrypt recipient type"). */
import { scrypt } from "node:crypto";
import { ascii, concat } from "../../bytes.js";
import { AuthenticationError, NoMatchError, PolicyError } from "../../errors.js";
import { Secret } from "../../secret.js";
import type { Receiver } from "../receiver.js";
import { openUnder } from "./age-wrap.js";
import type { Stanza } from "./stanzas.js";

export type PassphraseStanza = Extract<Stanza, { type: "scrypt" }>;

/** The stanza, if the file is sealed with a passphrase: then it is the only one. */
export function passphraseStanza(stanzas: readonly Stanza[]): PassphraseStanza | undefined {
  const [only] = stanzas;
  return only?.type === "scrypt" ? only : undefined;
}

/**
 * The file key. Asks for the passphrase, once, and only if deriving a key from it costs no more
 * than a writer would make it cost.
 *
 * @throws PolicyError `ERR_WORK_FACTOR`; NoMatchError `ERR_NO_MATCH`: no passphrase is to be had;
 *   AuthenticationError `ERR_PASSPHRASE`: it is not the one
 */
export async function openByPassphrase(
  { salt, logN, body }: PassphraseStanza,
  receiver: Receiver,
): Promise<Secret> {
  if (logN > MAX_LOG_N) {
    throw new PolicyError("ERR_WORK_FACTOR", `scrypt's work factor is 2^${logN}`, {
      hint: `p11seal spends at most 2^${MAX_LOG_N}, as age does when it seals`,
    });
  }
  const passphrase = await receiver.passphrase?.();
  if (passphrase === undefined) {
    throw new NoMatchError("ERR_NO_MATCH", "the file is sealed with a passphrase, not to a key");
  }
  let wrapKey: Uint8Array;
  try {
    wrapKey = await derived(passphrase, concat(ascii(SCRYPT_LABEL), salt), 2 ** logN);
  } finally {
    passphrase.wipe();
  }
  const fileKey = openUnder(wrapKey, body);
  if (fileKey !== null) return new Secret(fileKey);
  throw new AuthenticationError("ERR_PASSPHRASE", "the file doesn't open with this passphrase", {
    hint: "the passphrase is wrong, or the file was altered",
  });
}

/** What age itself seals with: a second of work, and 256 MiB. */
const MAX_LOG_N = 18;
const SCRYPT_LABEL = "age-encryption.org/v1/scrypt";
const BLOCK_SIZE = 8;

function derived(passphrase: Secret, salt: Uint8Array, cost: number): Promise<Uint8Array> {
  // RFC 7914 §6: 128 · N · r bytes for the blocks, and little besides.
  const options = { N: cost, r: BLOCK_SIZE, p: 1, maxmem: 128 * BLOCK_SIZE * (cost + 1024) };
  return new Promise((resolve, reject) => {
    scrypt(passphrase.expose(), salt, 32, options, (error, key) => {
      if (error === null) resolve(new Uint8Array(key));
      else reject(error);
    });
  });
}
