/**
 * What to open with: the identities that `-i` names, or without it every exchange key on every
 * token present. No PIN is asked for before one of them is known to match, unless a token that `-i`
 * names shows none.
 */
import type { MessageInfo, RecipientInfo } from "../../envelope/message-info.js";
import { matchesRecipient } from "../../envelope/messages.js";
import { NoMatchError, P11SealError } from "../../errors.js";
import type { TokenInfo } from "../../token/values.js";
import { isPkcs11Uri, type Pkcs11Uri } from "../../token/uri.js";
import type { Context } from "../command.js";
import type { ExchangeIdentity, IdentitySource } from "./identity-source.js";
import { everyKeyPresent, TokenSource } from "./token-source.js";
import type { Tokens } from "./tokens.js";
import { decisive, overlookedText, silentTokens, troubleError, troubleText } from "./troubles.js";

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
  const sources: IdentitySource[] = [];
  for (const text of words) {
    if (isPkcs11Uri(text)) sources.push(new TokenSource(tokens.uri(text), tokens));
    else {
      // Loaded here: most messages are opened with keys on tokens.
      const { sourcesInFile } = await import("./identity-file.js");
      sources.push(...(await sourcesInFile(text, tokens, context)));
    }
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
  sources: readonly IdentitySource[],
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

/** True for one that names its key: others are of keys in memory, which have no seed file. */
function isHybrid({ tag, type }: RecipientInfo): boolean {
  return tag !== undefined && type.includes("mlkem");
}

const NAME_SEED_FILE = "for a post-quantum key, name its seed file with -i";
