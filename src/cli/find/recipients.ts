/** Whom to seal to: `-r` and `-R` to public keys. */
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { toHex } from "../../bytes.js";
import { defined } from "../../defined.js";
import { UnsupportedError, UsageError } from "../../errors.js";
import { requireRecipient } from "../../keys/formats/key-file.js";
import type { PublicKey, Recipient } from "../../keys/key.js";
import { directoryPath } from "../../records/directory/directory-file.js";
import { parseRecipientsFile, recipientsText } from "../../records/directory/recipients-file.js";
import type { Arguments } from "../arguments/arguments.js";
import type { Context } from "../command.js";
import { readSmall } from "../io/inputs.js";
import { quoted } from "../../store/system-error.js";
import { naming, signingKeyAsRecipient } from "../../keys/refusals.js";
import { pathOfHome } from "../../store/home.js";
import { recipientJudge, type RecipientJudge } from "./recipient-certificates.js";
import { knownSigner } from "./sender.js";
import { PublicKeys, type FoundKey } from "./public-keys.js";
import { tokenNamed } from "./token-named.js";
import type { Tokens } from "./tokens.js";

/** What is asked of recipients. */
export interface RecipientDemands {
  /** A key that is recorded, or known, as a signing key will do. */
  readonly allowSigning?: boolean;
  readonly judge?: RecipientJudge;
}

/** Each recipient once, in the order given. `texts` are from `-r`, `files` from `-R`. */
export async function resolveRecipients(
  texts: readonly string[],
  files: readonly string[],
  tokens: Tokens,
  context: Context,
  { allowSigning = false, judge }: RecipientDemands = {},
): Promise<Recipient[]> {
  if (texts.length === 0 && files.length === 0) {
    throw new UsageError("ERR_NO_RECIPIENTS", "no recipient was given", {
      hint: "name one with -r, or a file of them with -R",
    });
  }
  const keys = new PublicKeys(tokens, context);
  const recipients = new Recipients(context, allowSigning, judge);
  const names = { unknown: unknownRecipient };
  for (const text of texts) {
    await recipients.add(await keys.find(text, { purpose: "exchange", option: "-r", names }));
  }
  for (const file of files) {
    for (const key of await keysInFile(file, keys, context)) await recipients.add(key);
  }
  return recipients.list();
}

/**
 * Those whom `-r` and `-R` add to a message that has recipients already; perhaps nobody.
 *
 * @throws as `resolveRecipients`
 */
export async function addedRecipients(
  args: Arguments,
  tokens: Tokens,
  context: Context,
): Promise<Recipient[]> {
  const [texts, files] = [args.texts("recipient"), args.texts("recipients-file")];
  if (texts.length + files.length === 0) return [];
  return resolveRecipients(texts, files, tokens, context, {
    allowSigning: args.flag("allow-signing-key"),
    judge: recipientJudge(args, false, context),
  });
}

/**
 * A key that messages are sealed to, and none will be from now on: it need not be valid any more,
 * and no warning is of use.
 *
 * @param option - how messages call a key that is written out, as in `--remove`
 */
export async function retiredRecipient(
  word: string,
  keys: PublicKeys,
  option: string,
): Promise<Recipient> {
  const names = { unknown: unknownRecipient, isRetired: true };
  const key = await keys.find(word, { purpose: "exchange", option, names });
  const publicKey = naming(key.where, () => requireRecipient(key, { allowSigning: true }));
  const certificate = key.certificate?.der;
  return { publicKey, ...defined({ certificate }) };
}

/** The keys of a recipients file; paths in it are relative to its folder. */
async function keysInFile(path: string, keys: PublicKeys, context: Context): Promise<FoundKey[]> {
  const name = path === "-" ? "stdin" : path;
  const bytes = await readSmall(path, context.io);
  const entries = parseRecipientsFile(recipientsText(bytes, name), name);
  if (entries.length === 0) context.report.note(`${name}: holds no recipients`);
  if (entries.length > 0 && entries.every(({ kind }) => kind === "signs")) {
    throw new UnsupportedError("ERR_SIGN_ONLY", `${name}: no key in it can receive, only sign`, {
      hint: "ask the recipient for an RSA, P-256, P-384, P-521 or X25519 key",
    });
  }
  const folder = path === "-" ? "." : dirname(path);
  const found: FoundKey[] = [];
  for (const entry of entries) {
    const where = `${name}:${entry.line}`;
    if (entry.kind === "signs") {
      context.report.note(`${where}: passed over: keys of type ${entry.type} can only sign`);
    } else {
      found.push(await keys.follow(entry, { purpose: "exchange", where, folder, inFile: where }));
    }
  }
  return found;
}

function unknownRecipient(word: string): UsageError {
  return new UsageError(
    "ERR_RECIPIENT_UNKNOWN",
    `${quoted(word)} is neither a file nor a known name`,
    { hint: `see who is known with: p11seal recipients list; ${tokenNamed(word)}` },
  );
}

/**
 * Refuses a key that the directory trusts for signatures: a token rarely lets one key do both, and
 * a reader refuses a message whose sender or custodian is among its recipients.
 *
 * @throws PolicyError `ERR_SIGNING_KEY_AS_RECIPIENT`
 */
export async function requireNoSigner(
  publicKey: PublicKey,
  where: string,
  context: Context,
): Promise<void> {
  for (const kind of ["senders", "custodians"] as const) {
    // `-r alice.pem` needs no data folder, however unsafe the one is that is there.
    if (!existsSync(directoryPath(pathOfHome(context.io.env), kind))) continue;
    const known = await knownSigner({ publicKey }, kind, context);
    if (known === undefined) continue;
    const holder = kind === "senders" ? "sender" : "custodian";
    throw signingKeyAsRecipient(`${where}: the signing key of the ${holder} ${quoted(known.name)}`);
  }
}

/** Recipients by their keys: none is sealed to twice. */
class Recipients {
  readonly #context: Context;
  readonly #found = new Map<string, { readonly recipient: Recipient; readonly where: string }>();

  readonly #allowSigning: boolean;
  readonly #judge: RecipientJudge | undefined;

  constructor(context: Context, allowSigning: boolean, judge: RecipientJudge | undefined) {
    this.#context = context;
    this.#allowSigning = allowSigning;
    this.#judge = judge;
  }

  async add(key: FoundKey): Promise<void> {
    const { report } = this.#context;
    const { where } = key;
    for (const warning of key.warnings) report.note(`${where}: ${warning}`);
    const allowSigning = this.#allowSigning;
    const publicKey = naming(where, () => requireRecipient(key, { allowSigning }));
    if (!allowSigning) await requireNoSigner(publicKey, where, this.#context);
    await this.#judge?.(key);
    const fingerprint = toHex(publicKey.fingerprint);
    const earlier = this.#found.get(fingerprint);
    if (earlier !== undefined) {
      report.note(`${where}: the same key as ${earlier.where}, used once`);
    }
    // A record of what the token can do is worth more than its absence.
    const oaep = earlier?.recipient.oaep ?? key.oaep;
    const certificate = earlier?.recipient.certificate ?? key.certificate?.der;
    const recipient = { publicKey, ...defined({ oaep, certificate }) };
    this.#found.set(fingerprint, { recipient, where: earlier?.where ?? where });
  }

  list(): Recipient[] {
    return [...this.#found.values()].map(({ recipient }) => recipient);
  }
}
