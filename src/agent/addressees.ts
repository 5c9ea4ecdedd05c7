/**
 * Whom a message is for, in words for the person who is asked whether to sign it. Names come from
 * the user's own list of recipients, which is a file of theirs: they inform, and prove nothing.
 */
import type { CoreToSign } from "../envelope/envelope.js";
import { P11SealError } from "../errors.js";
import { readDirectory } from "../records/directory/directory-file.js";

/** As in `for 3 recipients: "alice", "bob", 1 without a name here`. */
export async function addresseesOf(core: CoreToSign, home: string): Promise<string> {
  const names = await namesOf(core, home);
  const { addressees } = core;
  const count = `for ${addressees} ${addressees === 1 ? "recipient" : "recipients"}`;
  const shown = names.slice(0, MAX_NAMES).map((name) => `"${name}"`);
  const more = names.length - shown.length;
  const rest = [
    ...(more > 0 ? [`${more} more with names`] : []),
    ...(addressees > names.length ? [`${addressees - names.length} without a name here`] : []),
  ];
  return `${count}: ${[...shown, ...rest].join(", ")}`;
}

/** A question is read by a person. */
const MAX_NAMES = 5;

/** One for each key that is in the list; a list that can't be read has none. */
async function namesOf(core: CoreToSign, home: string): Promise<readonly string[]> {
  try {
    const entries = await readDirectory(home, "recipients");
    return entries.filter(({ publicKey }) => core.addresses(publicKey)).map(({ name }) => name);
  } catch (error) {
    if (error instanceof P11SealError) return [];
    throw error;
  }
}
