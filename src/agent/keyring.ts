/**
 * The keys that an agent serves: those that tokens show without a PIN, found again when a message
 * matches none of them.
 */
import { equal } from "../bytes.js";
import type { MessageInfo } from "../envelope/message-info.js";
import { matchesRecipient } from "../envelope/messages.js";
import type { SigningPublicKey } from "../keys/key.js";
import type { TokenService } from "../token/service.js";
import { matchesKey, matchesModuleName, matchesToken } from "../token/uri-match.js";
import type { Pkcs11Uri } from "../token/uri.js";
import { isForSigning } from "../token/use/situation.js";
import type { KeyInfo } from "../token/values.js";
import type { LoginOptions } from "./login.js";

export interface KeyringOptions extends Pick<LoginOptions, "connect" | "nowMs"> {
  /** Only keys that one of these matches; by default all that are found. */
  readonly uris: readonly Pkcs11Uri[];
  /** Also keys that can only sign, and these for nothing but that. By default, none signs. */
  readonly signs?: boolean | undefined;
}

/** A key that can only sign. */
export type SigningKey = KeyInfo & { readonly publicKey: SigningPublicKey };

export class Keyring {
  readonly #options: KeyringOptions;
  /** All that tokens show, served or not. */
  #shown: readonly KeyInfo[] = [];
  #keys: readonly KeyInfo[] = [];
  #lookedAtMs = -Infinity;
  #looking: Promise<void> | undefined;

  constructor(options: KeyringOptions) {
    this.#options = options;
  }

  /** Looks for keys, in a process that gets no PIN and ends then. */
  async look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    await this.#looking;
  }

  /** The keys that were found. */
  get keys(): readonly KeyInfo[] {
    return this.#keys;
  }

  /**
   * Those that can open the message; what names none of its recipients only by way of a URI that
   * the client gave.
   *
   * @param only - no key that none of these matches
   */
  async keysFor(
    info: MessageInfo,
    uris: readonly Pkcs11Uri[] | undefined,
    only: readonly Pkcs11Uri[] | undefined,
  ): Promise<readonly KeyInfo[]> {
    const find = (): readonly KeyInfo[] =>
      this.#keys.filter(
        (key) =>
          !this.#isSigner(key) &&
          fits(key, info, uris) &&
          (only === undefined || isNamed(key, only)),
      );
    const found = find();
    if (found.length > 0 || !this.#mayLookAgain()) return found;
    await this.look();
    return find();
  }

  /**
   * The one signing key that a URI names among all keys that tokens show: its copies that are
   * served, more than one where several tokens have it.
   */
  async signersFor(uri: Pkcs11Uri): Promise<readonly SigningKey[]> {
    if (this.#options.signs !== true) return [];
    const find = (): readonly SigningKey[] => {
      const named = this.#shown.filter((key) => isNamed(key, [uri]));
      const [first, ...others] = named.map(({ publicKey }) => publicKey?.fingerprint);
      if (first === undefined || others.some((one) => one === undefined || !equal(one, first))) {
        return [];
      }
      return named.filter((key) => this.#keys.includes(key)).filter(isSigningKey);
    };
    const found = find();
    if (found.length > 0 || !this.#mayLookAgain()) return found;
    await this.look();
    return find();
  }

  async #look(): Promise<void> {
    const { connect, uris, nowMs } = this.#options;
    const none = (): Promise<never> => Promise.reject(new TypeError("a PIN was asked for"));
    const service: TokenService = connect(none, none);
    try {
      this.#shown = await service.keys();
      const all = this.#shown.filter((key) => canOpen(key) || this.#isSigner(key));
      this.#keys = uris.length === 0 ? all : all.filter((key) => isNamed(key, uris));
    } finally {
      this.#lookedAtMs = nowMs();
      await service.close();
    }
  }

  /** No request makes tokens be looked at again sooner. */
  #mayLookAgain(): boolean {
    return this.#options.nowMs() - this.#lookedAtMs >= LOOK_AGAIN_MS;
  }

  #isSigner(key: KeyInfo): boolean {
    return this.#options.signs === true && isSigningKey(key);
  }
}

const LOOK_AGAIN_MS = 2000;

function canOpen({ publicKey }: KeyInfo): boolean {
  return publicKey !== undefined && publicKey.type !== "ed25519";
}

function isSigningKey(key: KeyInfo): key is SigningKey {
  const type = key.publicKey?.type;
  return (type === "rsa" || type === "ec" || type === "ed25519") && isForSigning(key);
}

function fits(key: KeyInfo, info: MessageInfo, uris: readonly Pkcs11Uri[] | undefined): boolean {
  const { publicKey } = key;
  if (publicKey === undefined || publicKey.type === "ed25519") return false;
  if (!matchesRecipient(info, publicKey)) return false;
  if (uris !== undefined) return isNamed(key, uris);
  const { recipients } = info;
  return recipients.some((one) => one.tag !== undefined && one.matches(publicKey));
}

/** By attributes alone. A URI with one that can't be compared here matches no key. */
function isNamed(key: KeyInfo, uris: readonly Pkcs11Uri[]): boolean {
  return uris.some(
    (uri) =>
      NOT_COMPARED.every((name) => uri[name] === undefined) &&
      matchesToken(uri, key.token) &&
      matchesKey(uri, key) &&
      matchesModuleName(uri, key.token.module) &&
      (uri.modulePath === undefined || uri.modulePath === key.token.module),
  );
}

const NOT_COMPARED = [
  ...(["libraryManufacturer", "libraryDescription", "libraryVersion"] as const),
  ...(["slotManufacturer", "slotDescription", "otherPath"] as const),
] as const;
