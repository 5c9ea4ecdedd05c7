/**
 * Hybrid keys on the command line: a file with the ML-KEM half, and the half on a curve, which is
 * looked for by its public key: among the keys that are named beside the file, then on the tokens
 * present. The file itself names no token.
 */
import { stat } from "node:fs/promises";
import { equal } from "../../bytes.js";
import type { MessageInfo } from "../../envelope/message-info.js";
import {
  hybridFileIdentity,
  looksLikeHybridFile,
  parseHybridFile,
  type HybridFile,
  type HybridFileIdentity,
} from "../../envelope/hybrid-file.js";
import { matchesRecipient } from "../../envelope/messages.js";
import type { ExchangePublicKey, HybridPublicKey, Identity } from "../../keys/key.js";
import { fingerprintText, HYBRID_PARTS } from "../../keys/public-key.js";
import { isPkcs11Uri } from "../../token/uri.js";
import { readSmall } from "../io/inputs.js";
import type { Io } from "../io/io.js";
import type { ExchangeIdentity, IdentitySource } from "./identity-source.js";
import type { Tokens } from "./tokens.js";

/** The hybrid key in a file's bytes; `undefined` if it is no such file. */
export function hybridIn(bytes: Uint8Array, path: string): HybridFile | undefined {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
  return looksLikeHybridFile(text) ? parseHybridFile(text, path) : undefined;
}

/** The public key of the hybrid key's file that `text` names; `undefined` for anything else. */
export async function hybridAt(text: string, io: Io): Promise<HybridPublicKey | undefined> {
  if (isPkcs11Uri(text)) return undefined;
  const isFile = await stat(text).then(
    (stats) => stats.isFile(),
    () => false,
  );
  return isFile ? hybridIn(await readSmall(text, io), text)?.publicKey : undefined;
}

/** A hybrid key's file, and what is known of its other half. */
export class HybridSource implements IdentitySource {
  readonly #file: HybridFile;
  readonly #path: string;
  readonly #tokens: Tokens;
  #identity: HybridFileIdentity | undefined;
  /** A message was sealed to it, and its half was not found. */
  #isMissed = false;

  constructor(file: HybridFile, path: string, tokens: Tokens) {
    this.#file = file;
    this.#path = path;
    this.#tokens = tokens;
  }

  /** Which tokens its half may be on. */
  readonly uri = {};

  readonly find = (): Promise<readonly ExchangeIdentity[]> => Promise.resolve([]);

  /**
   * The identity, if the message was sealed to it and its half is among `keys`, which are looked
   * through in turn.
   */
  readonly join = async (
    info: MessageInfo,
    ...keys: readonly (() => Promise<readonly ExchangeIdentity[]>)[]
  ): Promise<readonly ExchangeIdentity[]> => {
    if (!matchesRecipient(info, this.#file.publicKey)) return [];
    for (const look of this.#identity === undefined ? keys : []) {
      const half = (await look()).find((key): key is Identity<ExchangePublicKey> =>
        this.#isHalf(key),
      );
      if (half === undefined) continue;
      this.#identity = this.#with(half);
      break;
    }
    this.#isMissed = this.#identity === undefined;
    return this.#identity === undefined ? [] : [this.#identity];
  };

  #isHalf(one: ExchangeIdentity): one is Identity<ExchangePublicKey> {
    const { publicKey } = one;
    return equal(publicKey.fingerprint, this.#file.publicKey.dh.fingerprint);
  }

  #with(half: Identity<ExchangePublicKey>): HybridFileIdentity {
    const identity = hybridFileIdentity(this.#file, half, this.#path);
    this.#tokens.atEnd(() => {
      identity.wipe();
    });
    this.#tokens.standsFor(identity, half);
    return identity;
  }

  /** What would help if the half was not found. */
  readonly advice = (): readonly string[] => {
    if (!this.#isMissed) return [];
    const { kem, dh } = this.#file.publicKey;
    const { curve } = HYBRID_PARTS[kem];
    return [
      `no key that shows is the ${curve} half of ${this.#path}, ${fingerprintText(dh)}: ` +
        "insert its token, or name it with another -i",
    ];
  };
}
