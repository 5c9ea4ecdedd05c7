/**
 * Whom a message is for, in words for the person who is asked about a key. Names come from
 * the user's own list of recipients, which is a file of theirs: they inform, and prove nothing.
 */
import { equal } from "../bytes.js";
import type { CoreToSign } from "../envelope/envelope.js";
import { P11SealError } from "../errors.js";
import type { ExchangePublicKey } from "../keys/key.js";
import { readDirectory } from "../records/directory/directory-file.js";
import type { DirectoryEntry } from "../records/directory/directory.js";

/** As in `for 3 recipients: "alice", "bob", 1 without a name here`. */
export async function addresseesOf(core: CoreToSign, home: string): Promise<string> {
  const entries = await entriesOf(home);
  const names = entries
    .filter(({ publicKey }) => core.addresses(publicKey))
    .map(({ name }) => name);
  const { addressees } = core;
  const count = `for ${addressees} ${addressees === 1 ? "recipient" : "recipients"}`;
  return `${count}: ${list(names, addressees)}`;
}

/**
 * As in `adds 2, removes 1 (adds "alice", 1 without a name here; removes "bob")`. The numbers come
 * first: a question has room for so many names only.
 */
export async function changeText(
  add: readonly ExchangePublicKey[],
  remove: readonly ExchangePublicKey[],
  home: string,
): Promise<string> {
  const entries = await entriesOf(home);
  const listed = (keys: readonly ExchangePublicKey[]): string => {
    const names = entries
      .filter(({ publicKey }) => keys.some((key) => equal(key.fingerprint, publicKey.fingerprint)))
      .map(({ name }) => name);
    return list(names, keys.length);
  };
  const parts = [
    { verb: "adds", keys: add },
    { verb: "removes", keys: remove },
  ].filter(({ keys }) => keys.length > 0);
  const counts = parts.map(({ verb, keys }) => `${verb} ${keys.length}`);
  const names = parts.map(({ verb, keys }) => `${verb} ${listed(keys)}`);
  return `${counts.join(", ")} (${names.join("; ")})`;
}

/** A question is read by a person. */
const MAX_NAMES = 5;

/** Some names, how many more there are, and how many of `count` keys have none. */
function list(names: readonly string[], count: number): string {
  const shown = names.slice(0, MAX_NAMES).map((name) => `"${name}"`);
  const more = names.length - shown.length;
  const unnamed = count - names.length;
  const rest = [
    ...(more > 0 ? [`${more} more with names`] : []),
    ...(unnamed > 0 ? [`${unnamed} without a name here`] : []),
  ];
  return [...shown, ...rest].join(", ");
}

/** A list that can't be read has none. */
async function entriesOf(home: string): Promise<readonly DirectoryEntry[]> {
  try {
    return await readDirectory(home, "recipients");
  } catch (error) {
    if (error instanceof P11SealError) return [];
    throw error;
  }
}
