/**
 * What to open with: the identities that `-i` names, or without it every exchange key on every
 * token present. No PIN is asked for before one of them is known to match, unless a token that `-i`
 * names shows none.
 */
import type { MessageInfo, RecipientInfo } from "../../envelope/message-info.js";
import { matchesRecipient } from "../../envelope/messages.js";
import { FormatError, NoMatchError, P11SealError, TokenError } from "../../errors.js";
import { looksLikeAgeIdentities } from "../../keys/formats/age-keys.js";
import { foreignPrivate } from "../../keys/formats/foreign-private.js";
import type { ExchangePublicKey, Identity, MlKemPublicKey } from "../../keys/key.js";
import { mayHideKeys } from "../../token/hiding.js";
import { looksLikeMlKem, mlKemIdentity } from "../../software/ml-kem-identity.js";
import { ageIdentities } from "../../software/age-identities.js";
import { naming } from "../../keys/refusals.js";
import { keyName } from "../../token/objects/halves.js";
import type { TokenService } from "../../token/service.js";
import type { KeyInfo, TokenInfo } from "../../token/values.js";
import { formatUri, isPkcs11Uri, parseUri, type Pkcs11Uri } from "../../token/uri.js";
import { exactText } from "../../store/exact.js";
import { advised, isKeyAbsent, withHalf } from "./hidden-keys.js";
import { hybridIn, HybridSource } from "./hybrid-keys.js";
import { identityInFile, warnIfReadable } from "./identity-at.js";
import { readIdentity } from "./token-named.js";
import type { Tokens } from "./tokens.js";
import { decisive, overlookedText, silentTokens, troubleError, troubleText } from "./troubles.js";
import type { Context } from "../command.js";

export type ExchangeIdentity = Identity<ExchangePublicKey | MlKemPublicKey>;

export interface Identities {
  /**
   * Looks for the keys, also on tokens. Called once a message was read. If no key that shows
   * matches the message, tokens that the command line names and that show none are logged in to.
   *
   * @param beforeLogin - called before each login
   */
  readonly find: (
    info: MessageInfo,
    beforeLogin?: () => Promise<void>,
  ) => Promise<readonly ExchangeIdentity[]>;
  /** Those that show without a PIN; of tokens that can't be looked at, none. */
  readonly shown: (info: MessageInfo) => Promise<readonly ExchangeIdentity[]>;
  /**
   * Why none of them matches a message, as far as can be told: a module, slot or token that can't
   * be read, or else `error` with the tokens that may have the key.
   */
  readonly whyNone: (error: NoMatchError) => Promise<P11SealError>;
  /**
   * What names keys on tokens, if nothing names a file with a key: none stands for every key. Keys
   * in files are no agent's business.
   */
  readonly onTokens: readonly Pkcs11Uri[] | undefined;
  /** For a command that takes no PIN: the tokens that `open` would log in to, to look. */
  readonly unseen: () => readonly TokenInfo[];
}

/** A part of what `-i` names. */
interface Source {
  /** What can be seen without a PIN. */
  readonly find: (info?: MessageInfo) => Promise<readonly ExchangeIdentity[]>;
  /** What can be put together from keys that were found. */
  readonly join?: (
    info: MessageInfo,
    ...keys: readonly (() => Promise<readonly ExchangeIdentity[]>)[]
  ) => Promise<readonly ExchangeIdentity[]>;
  /** What else there is after login. */
  readonly findMore?: (
    info: MessageInfo,
    beforeLogin: (() => Promise<void>) | undefined,
  ) => Promise<readonly ExchangeIdentity[]>;
  /** Which tokens it looks at. */
  readonly uri?: Pkcs11Uri;
  readonly unseen?: () => TokenInfo | undefined;
  /** What would help if no key matches. */
  readonly advice?: () => readonly string[];
}

/**
 * Reads what `-i` names, so that a fault in it is reported once, and before any message is read.
 * Tokens are looked at only when `find` is called, and once.
 *
 * @param words - the values of `-i`.
 */
export async function prepareIdentities(
  words: readonly string[],
  tokens: Tokens,
  context: Context,
): Promise<Identities> {
  const sources: Source[] = [];
  for (const text of words) {
    if (isPkcs11Uri(text)) sources.push(new TokenSource(tokens.uri(text), tokens));
    else sources.push(...(await fromFile(text, tokens, context)));
  }
  const every = everyKeyPresent(tokens);
  if (words.length === 0) sources.push(every);
  const hasSeedFile = sources.some(({ join }) => join !== undefined);
  let lacksSeedFile = false;
  return {
    find: async (info, beforeLogin) => {
      lacksSeedFile = !hasSeedFile && info.recipients.some(isHybrid);
      const found: ExchangeIdentity[] = [];
      for (const one of sources) found.push(...(await one.find(info)));
      const present = (): Promise<readonly ExchangeIdentity[]> => every.find();
      for (const one of sources) {
        found.push(...((await one.join?.(info, () => Promise.resolve(found), present)) ?? []));
      }
      const matching = found.filter(({ publicKey }) => matchesRecipient(info, publicKey));
      if (matching.length > 0) return doubtfulLast(found, matching, tokens);
      const more: ExchangeIdentity[] = [];
      for (const one of sources) more.push(...((await one.findMore?.(info, beforeLogin)) ?? []));
      for (const one of sources) {
        more.push(...((await one.join?.(info, () => Promise.resolve(more))) ?? []));
      }
      return [...found, ...more];
    },
    shown: async (info) => {
      const found: ExchangeIdentity[] = [];
      for (const one of sources) found.push(...(await one.find(info).catch(noneOfToken)));
      return found;
    },
    whyNone: (error) => whyNone(error, sources, tokens, lacksSeedFile ? [NAME_SEED_FILE] : []),
    onTokens: sources.every((one) => one.uri !== undefined)
      ? sources.flatMap(({ uri }) => (uri === undefined || isAny(uri) ? [] : [uri]))
      : undefined,
    unseen: () => sources.flatMap((source) => source.unseen?.() ?? []),
  };
}

/** @throws what is no fault of a token's */
function noneOfToken(error: unknown): readonly ExchangeIdentity[] {
  if (error instanceof P11SealError) return [];
  throw error;
}

/** Of several keys that match, those that may not work come last: no PIN is asked for in vain. */
async function doubtfulLast(
  found: readonly ExchangeIdentity[],
  matching: readonly ExchangeIdentity[],
  tokens: Tokens,
): Promise<readonly ExchangeIdentity[]> {
  if (matching.length === 1) return found;
  const doubtful = new Set<ExchangeIdentity>();
  for (const one of matching) if (await tokens.isDoubtful(one)) doubtful.add(one);
  return [...found.filter((one) => !doubtful.has(one)), ...doubtful];
}

async function whyNone(
  error: NoMatchError,
  sources: readonly Source[],
  tokens: Tokens,
  ofTheMessage: readonly string[],
): Promise<P11SealError> {
  const uris = sources.flatMap(({ uri }) => uri ?? []);
  if (uris.length === 0) return error;
  const access = await tokens.access();
  const troubles = (await Promise.all(uris.map((uri) => access.troubles(uri)))).flat();
  const trouble = decisive(troubles);
  if (trouble !== undefined) return troubleError(trouble);
  const advice = new Set([
    ...(error.hint === undefined ? [] : [error.hint]),
    ...sources.flatMap((source) => source.advice?.() ?? []),
    ...ofTheMessage,
    ...(isEvery(uris) ? await silentTokens(access, (uri) => `add -i '${uri}'`) : []),
    ...overlookedText(troubles),
    ...troubles.filter(({ at }) => at !== "configuration").map(troubleText),
  ]);
  const hint = [...advice].slice(0, MAX_HINTS).join("; ");
  return new NoMatchError(error.code, error.message, { hint });
}

/** A hint is read by a person: a few facts will do. */
const MAX_HINTS = 5;

function isEvery(uris: readonly Pkcs11Uri[]): boolean {
  return uris.some(isAny);
}

function isAny(uri: Pkcs11Uri): boolean {
  return Object.keys(uri).length === 0;
}

function everyKeyPresent(tokens: Tokens): Source {
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

/** True for one that names its key: others are of keys in memory, which have no seed file. */
function isHybrid({ tag, type }: RecipientInfo): boolean {
  return tag !== undefined && type.includes("mlkem");
}

const NAME_SEED_FILE = "for a post-quantum key, name its seed file with -i";

/**
 * A URI that names an object must match exactly one key, which may be on several tokens. Any other
 * stands for all keys of the tokens that match.
 */
class TokenSource implements Source {
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

  readonly findMore: Required<Source>["findMore"] = async (info, beforeLogin) => {
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

async function fromFile(path: string, tokens: Tokens, context: Context): Promise<Source[]> {
  const bytes = await readIdentity(path, context.io);
  const text = new TextDecoder("utf-8").decode(bytes);
  const hybrid = hybridIn(bytes, path);
  if (hybrid !== undefined) {
    await warnIfReadable(path, context);
    return [new HybridSource(hybrid, path, tokens)];
  }
  if (looksLikeMlKem(text)) {
    const identity = await mlKemIdentity(text, path);
    await warnIfReadable(path, context);
    bytes.fill(0);
    return [{ find: () => Promise.resolve([identity]) }];
  }
  if (text.includes("-----BEGIN ")) {
    const identity = await identityInFile(bytes, path, "open", context);
    bytes.fill(0);
    return [{ find: () => Promise.resolve([identity]) }];
  }
  const lines = text
    .split(/\r?\n/)
    .map((line, at) => ({ uri: line.trim(), where: `${path}:${at + 1}` }))
    .filter(({ uri }) => uri !== "" && !uri.startsWith("#"));
  if (lines.length > 0 && lines.every(({ uri }) => uri.startsWith("AGE-PLUGIN-P11-1"))) {
    const { parsePluginIdentity } = await import("../../plugin/plugin-identity.js");
    return lines.map(({ uri: identity, where }) => {
      const { uri = {} } = naming(where, () => parsePluginIdentity(identity));
      return new TokenSource(tokens.uri(formatUri(uri), where), tokens);
    });
  }
  if (looksLikeAgeIdentities(text)) {
    bytes.fill(0);
    const identities = await ageIdentities(text, path);
    await warnIfReadable(path, context);
    return [{ find: () => Promise.resolve(identities) }];
  }
  // The file may be a secret: nothing of it is quoted.
  if (lines.length === 0 || !lines.every(({ uri }) => isPkcs11Uri(uri))) {
    const foreign = foreignPrivate(bytes, path);
    if (foreign !== undefined) throw foreign;
    throw new FormatError("ERR_IDENTITY_FILE", `"${path}" holds neither a key nor pkcs11: URIs`, {
      hint: "an identity file has one pkcs11: URI a line and # comments, or is a private key in PEM or age's",
    });
  }
  // A comment too: an editor that saved it so has saved the URIs so.
  exactText(
    bytes,
    (line) =>
      new FormatError("ERR_IDENTITY_FILE", `${path}:${line}: not UTF-8`, {
        hint: "save the file as UTF-8, or write such bytes of a URI as %XX",
      }),
  );
  return lines.map(({ uri, where }) => new TokenSource(tokens.uri(uri, where), tokens));
}
