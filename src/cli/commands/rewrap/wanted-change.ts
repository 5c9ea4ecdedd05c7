/** What a run of `rewrap` changes, from the words of its command line. No PIN is asked for. */
import { UsageError } from "../../../errors.js";
import type { OaepHash, Recipient } from "../../../keys/key.js";
import type { Certificate } from "../../../x509/certificate.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import type { PossibleRecipient } from "../../find/explained.js";
import { isOf } from "../../find/own-certificate.js";
import { PublicKeys } from "../../find/public-keys.js";
import { addedRecipients, retiredRecipient } from "../../find/recipients.js";
import type { Tokens } from "../../find/tokens.js";

/** A key that the user names, as a message may name it. */
export interface NamedKey extends PossibleRecipient {
  /** What the user wrote. */
  readonly word: string;
  readonly publicKey: Recipient["publicKey"];
  readonly certificates: readonly Uint8Array[];
}

export interface WantedChange {
  readonly add: readonly Recipient[];
  readonly remove: readonly NamedKey[];
  /** Only messages that are sealed to one of these keys; empty: all. */
  readonly from: readonly NamedKey[];
  readonly oaep: OaepHash | undefined;
}

/**
 * @param given - certificates of any keys
 * @throws UsageError; as `addedRecipients`
 */
export async function wantedChange(
  args: Arguments,
  given: readonly Certificate[],
  tokens: Tokens,
  context: Context,
): Promise<WantedChange> {
  const add = await addedRecipients(args, tokens, context);
  const keys = new PublicKeys(tokens, context);
  const named = async (option: string): Promise<NamedKey[]> => {
    const found: NamedKey[] = [];
    for (const word of args.texts(option)) {
      const recipient = await retiredRecipient(word, keys, `--${option}`);
      found.push({ word, publicKey: recipient.publicKey, certificates: known(recipient, given) });
    }
    return found;
  };
  const remove = await named("remove");
  if (add.length + remove.length === 0 && !args.flag("rules")) {
    throw new UsageError("ERR_USAGE", "nothing is to change", {
      hint: "add a recipient with -r, remove one with --remove, or do what the rules say with --rules; for a new key and the same recipients: p11seal reseal",
    });
  }
  const oaep = args.text("oaep") as OaepHash | undefined;
  return { add, remove, from: await named("from-key"), oaep };
}

/** The key's certificates: the one that it came with, and those given that are of it. */
function known({ publicKey, certificate }: Recipient, given: readonly Certificate[]): Uint8Array[] {
  const own = given.filter((one) => isOf(one, publicKey)).map(({ der }) => der);
  return certificate === undefined ? own : [certificate, ...own];
}
