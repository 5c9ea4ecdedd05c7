/**
 * Identities on tokens: what a `pkcs11:` URI names, or every exchange key on every token present.
 * No PIN is asked for before a key is known to match, unless a token that a URI names shows none.
 */
import type { MessageInfo } from "../../envelope/message-info.js";
import { matchesRecipient } from "../../envelope/messages.js";
import { TokenError } from "../../errors.js";
import type { ExchangePublicKey, MlKemPublicKey } from "../../keys/key.js";
import { mayHideKeys } from "../../token/hiding.js";
import { keyName } from "../../token/objects/halves.js";
import type { TokenService } from "../../token/service.js";
import type { KeyInfo, TokenInfo } from "../../token/values.js";
import { parseUri, type Pkcs11Uri } from "../../token/uri.js";
import { advised, isKeyAbsent, withHalf } from "./hidden-keys.js";
import type { ExchangeIdentity, IdentitySource } from "./identity-source.js";
import type { Tokens } from "./tokens.js";

/**
 * A URI that names an object must match exactly one key, which may be on several tokens. Any other
 * stands for all keys of the tokens that match.
 */
export class TokenSource implements IdentitySource {
  readonly uri: Pkcs11Uri;
  readonly #tokens: Tokens;
  readonly #advice = new Set<string>();
  /** Private keys with the public half that was found for them, by URI. */
  readonly #whole = new Map<string, KeyInfo>();
  #shown: Promise<readonly KeyInfo[]> | undefined;
  #afterLogin: Promise<readonly KeyInfo[]> | undefined;
  #unseen: TokenInfo | undefined;

  constructor(uri: Pkcs11Uri, tokens: Tokens) {
    this.uri = uri;
    this.#tokens = tokens;
  }

  readonly find = async (): Promise<readonly ExchangeIdentity[]> => {
    const shown = await (this.#shown ??= this.#look());
    return this.#identities(shown.filter(({ publicKey }) => publicKey !== undefined));
  };

  readonly findMore: Required<IdentitySource>["findMore"] = async (info, beforeLogin) => {
    const shown = (await this.#shown) ?? [];
    if (this.#namesKey() && shown.some(({ publicKey }) => publicKey !== undefined)) return [];
    // A token that shows its keys is not asked for a PIN in vain.
    if (!this.#namesKey() && shown.some(canOpen)) {
      if (shown.some(({ token }) => mayHideKeys(token))) this.#advice.add(NAME_HIDDEN_KEY);
      return [];
    }
    const depth = await this.#tokens.depth(this.uri);
    if (depth.kind === "would") {
      this.#unseen = depth.token;
      return [];
    }
    if (depth.kind === "none") {
      if (depth.reason !== undefined) this.#advice.add(depth.reason);
      return this.#identities(this.#namesKey() ? shown : []);
    }
    await beforeLogin?.();
    this.#afterLogin ??= this.#logIn();
    return this.#identities(await this.#completed(await this.#afterLogin, info));
  };

  readonly unseen = (): TokenInfo | undefined => this.#unseen;

  readonly advice = (): readonly string[] => [...this.#advice];

  #namesKey(): boolean {
    return this.uri.object !== undefined || this.uri.id !== undefined;
  }

  #look(): Promise<readonly KeyInfo[]> {
    return this.#tokens.find(this.uri, async (access) => {
      if (!this.#namesKey()) {
        const keys = await access.keys(this.uri);
        // Throws the reason why no token matches. Several may.
        if (keys.length === 0) await requireToken(this.uri, access);
        return keys;
      }
      try {
        return await access.findCopies(this.uri);
      } catch (error) {
        if (!isKeyAbsent(error)) throw error;
        const depth = await this.#tokens.depth(this.uri);
        if (depth.kind === "none") throw advised(error, depth.reason);
        // Where keys show, a name that none has is most likely wrong.
        if (depth.kind === "would" && (await access.keys(parseUri(depth.token.uri))).length > 0) {
          const { label } = depth.token;
          throw advised(error, `open would log in to token "${label}" to look for it`);
        }
        return [];
      }
    });
  }

  async #logIn(): Promise<readonly KeyInfo[]> {
    try {
      const access = await this.#tokens.access();
      await access.logIn(this.uri);
      return this.#namesKey() ? await access.findCopies(this.uri) : await access.keys(this.uri);
    } catch (error) {
      // The next message may try again. A token that refused its PIN gets no second one.
      this.#afterLogin = undefined;
      throw error;
    }
  }

  /** Keys without a public half get the one of this message's recipient that is theirs. */
  async #completed(keys: readonly KeyInfo[], info: MessageInfo): Promise<readonly KeyInfo[]> {
    const completed: KeyInfo[] = [];
    for (const key of keys) {
      if (key.publicKey !== undefined || key.seenAs !== "private key") completed.push(key);
      else completed.push(await this.#complete(key, info));
    }
    return completed;
  }

  async #complete(key: KeyInfo, info: MessageInfo): Promise<KeyInfo> {
    const known = this.#whole.get(key.uri);
    if (known !== undefined) return known;
    const candidates = (await this.#tokens.candidateHalves()).filter(
      (one) => one.type !== "ed25519" && matchesRecipient(info, one),
    );
    const whole = await withHalf(key, candidates, await this.#tokens.access());
    if (whole !== undefined) this.#whole.set(key.uri, whole);
    else this.#advice.add(`${keyName(key)} shows no public half: give it with --public FILE`);
    return whole ?? key;
  }

  /** A key that the URI names is refused if it can't open; others are passed over. */
  async #identities(keys: readonly KeyInfo[]): Promise<readonly ExchangeIdentity[]> {
    const access = await this.#tokens.access();
    const usable = this.#namesKey() ? keys : keys.filter(canOpen);
    return usable.map((key) => this.#tokens.identity(access, key));
  }
}

const NAME_HIDDEN_KEY = "a key that its token hides until login is found if -i has object= or id=";

/** @throws TokenError why no token matches; several may */
async function requireToken(uri: Pkcs11Uri, access: TokenService): Promise<void> {
  try {
    await access.findToken(uri);
  } catch (error) {
    if (!(error instanceof TokenError) || error.code !== "ERR_TOKEN_NOT_UNIQUE") throw error;
  }
}

/** Without its public half a key can't be matched to a message; Ed25519 can only sign. */
function canOpen(key: KeyInfo): boolean {
  return key.publicKey !== undefined && key.publicKey.type !== "ed25519";
}

/** What stands for `-i` where it is not given. */
export function everyKeyPresent(tokens: Tokens): IdentitySource {
  let shown: Promise<readonly ExchangeIdentity[]> | undefined;
  const look = (): Promise<readonly ExchangeIdentity[]> =>
    tokens.find({}, async (access) => {
      const keys = await access.keys();
      // Throws the reason why there is no token.
      if (keys.length === 0 && (await access.tokens()).length === 0) await access.findToken({});
      return keys.filter(canOpen).map((key) => tokens.identity(access, key));
    });
  let isUnnamed = false;
  return {
    find: async (info) => {
      const found = await (shown ??= look());
      if (info === undefined) return found;
      isUnnamed = info.recipients.some(({ tag, type }) => tag === undefined && type !== "unknown");
      return found.filter(({ publicKey }) => mayTry(publicKey, info));
    },
    uri: {},
    advice: () => (isUnnamed ? [NAME_KEY_TO_TRY] : []),
  };
}

/**
 * False for a key that a message doesn't name, and may be sealed to all the same: whether it was,
 * only an operation with the private key would tell. Nobody asked for a PIN to be spent on that.
 */
function mayTry(
  publicKey: ExchangePublicKey | MlKemPublicKey,
  { recipients }: MessageInfo,
): boolean {
  const matching = recipients.filter((recipient) => recipient.matches(publicKey));
  return matching.length === 0 || matching.some(({ tag }) => tag !== undefined);
}

const NAME_KEY_TO_TRY = "the message does not say whose it is: name the key to try with -i";
