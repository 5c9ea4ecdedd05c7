/**
 * Whom to seal to: `-r` and `-R` to public keys. A recipient is what `-r` says it is, in this order: a
 * `pkcs11:` URI, a key written out (OpenSSH line, JWK), a known name, the path of a key or certificate
 * file. A file in the working folder therefore can't pass for a known name.
 *
 * Names are known from the directory (`p11seal recipients add`), where a key has limits, and from the
 * recipients file, a list that people write by hand.
 */
import { access, stat } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { toHex } from "../../bytes.js";
import { directoryPath, readDirectory } from "../../records/directory/directory-file.js";
import { findEntry, requireValidRecipient } from "../../records/directory/directory.js";
import {
  findByName,
  isRecipientName,
  parseRecipient,
  parseRecipientsFile,
  type RecipientEntry,
  type RecipientSource,
} from "../../records/directory/recipients-file.js";
import { PolicyError, UnsupportedError, UsageError } from "../../errors.js";
import type { Recipient } from "../../keys/key.js";
import { parsePublicKey, requireRecipient, type KeyFile } from "../../keys/formats/key-file.js";
import { homeFolder } from "./home.js";
import { readSmall } from "../io/inputs.js";
import { errno, fileError, quoted } from "../io/system-error.js";
import { recipientOnToken } from "./token-key.js";
import type { Tokens } from "./tokens.js";
import type { Context } from "../command.js";

/** Each recipient once, in the order given. `texts` are from `-r`, `files` from `-R`. */
export async function resolveRecipients(
  texts: readonly string[],
  files: readonly string[],
  tokens: Tokens,
  context: Context,
): Promise<Recipient[]> {
  if (texts.length === 0 && files.length === 0) {
    throw new UsageError("ERR_NO_RECIPIENTS", "no recipient was given", {
      hint: "name one with -r, or a file of them with -R",
    });
  }
  const resolver = new Resolver(tokens, context);
  for (const text of texts) await resolver.addText(text);
  for (const file of files) await resolver.addFile(file);
  return resolver.recipients();
}

class Resolver {
  readonly #tokens: Tokens;
  readonly #context: Context;
  readonly #found = new Map<string, { recipient: Recipient; where: string }>();
  #known: Promise<RecipientEntry[]> | undefined;

  constructor(tokens: Tokens, context: Context) {
    this.#tokens = tokens;
    this.#context = context;
  }

  recipients(): Recipient[] {
    return [...this.#found.values()].map(({ recipient }) => recipient);
  }

  async addText(text: string): Promise<void> {
    const source = parseRecipient(text, "-r");
    if (source.kind !== "path" || !isRecipientName(text)) {
      await this.#add(source, source.kind === "key" ? "-r" : text, ".");
      return;
    }
    const known = await this.#byName(text);
    const file = await isThere(text);
    if (known !== undefined) {
      if (file) {
        this.#context.report.note(`${text}: from ${known.list}; write ./${text} for the file here`);
      }
      await this.#add(known.source, text, dirname(known.list));
    } else if (file) {
      await this.#add(source, text, ".");
    } else {
      throw new UsageError(
        "ERR_RECIPIENT_UNKNOWN",
        `${quoted(text)} is neither a file nor a known name`,
        { hint: "see who is known with: p11seal recipients list" },
      );
    }
  }

  async addFile(path: string): Promise<void> {
    const name = path === "-" ? "stdin" : path;
    const bytes = await readSmall(path, this.#context.io);
    const entries = parseRecipientsFile(utf8(bytes), name);
    if (entries.length === 0) this.#context.report.note(`${name}: holds no recipients`);
    const folder = path === "-" ? "." : dirname(path);
    for (const entry of entries) await this.#add(entry, `${name}:${entry.line}`, folder);
  }

  async #add(source: RecipientSource, where: string, folder: string): Promise<void> {
    const { publicKey, oaep } = await this.#keyOf(source, where, folder);
    const fingerprint = toHex(publicKey.fingerprint);
    const earlier = this.#found.get(fingerprint);
    if (earlier !== undefined) {
      this.#context.report.note(`${where}: the same key as ${earlier.where}, used once`);
    }
    // A record of what the token can do is worth more than its absence.
    const hash = earlier?.recipient.oaep ?? oaep;
    const recipient = { publicKey, ...(hash === undefined ? {} : { oaep: hash }) };
    this.#found.set(fingerprint, { recipient, where: earlier?.where ?? where });
  }

  async #keyOf(source: RecipientSource, where: string, folder: string): Promise<Recipient> {
    switch (source.kind) {
      case "key":
        return this.#exchangeKey(source.key, where);
      case "path": {
        const asWritten = folder === "." || isAbsolute(source.path);
        const path = asWritten ? source.path : join(folder, source.path);
        const bytes = await readSmall(path, this.#context.io);
        return this.#exchangeKey(parsePublicKey(bytes, path), where);
      }
      case "uri":
        return this.#exchangeKey(await recipientOnToken(source.uri, this.#tokens), where);
    }
  }

  #exchangeKey(file: KeyFile, where: string): Recipient {
    for (const warning of file.warnings) this.#context.report.note(`${where}: ${warning}`);
    try {
      const publicKey = requireRecipient(file);
      return { publicKey, ...(file.oaep === undefined ? {} : { oaep: file.oaep }) };
    } catch (error) {
      throw named(error, where);
    }
  }

  /** What is known under that name, and in which list it stands. */
  async #byName(name: string): Promise<{ source: RecipientSource; list: string } | undefined> {
    const home = homeFolder(this.#context.io.env);
    const directory = directoryPath(home, "recipients");
    // Where there is none, it doesn't matter who could write it: `-r alice.pem` needs no data folder.
    const entries = (await isThere(directory)) ? await readDirectory(home, "recipients") : [];
    const entry = findEntry(entries, name);
    const written = findByName(await this.#knownRecipients(), name);
    const list = this.#knownFile();
    if (entry === undefined) return written && { source: written, list };
    if (written !== undefined) {
      // Which one is meant can't be known, and one of them may be somebody else's key.
      throw new UsageError(
        "ERR_RECIPIENT_AMBIGUOUS",
        `${quoted(name)} stands in ${directory} and in ${list}`,
        { hint: "remove one of them" },
      );
    }
    requireValidRecipient(entry, Date.now());
    const { publicKey, oaep } = entry;
    const key = { publicKey, warnings: [], ...(oaep === undefined ? {} : { oaep }) };
    return { source: { kind: "key", key }, list: directory };
  }

  #knownFile(): string {
    return join(homeFolder(this.#context.io.env), "recipients");
  }

  #knownRecipients(): Promise<RecipientEntry[]> {
    this.#known ??= this.#readKnown();
    return this.#known;
  }

  async #readKnown(): Promise<RecipientEntry[]> {
    const path = this.#knownFile();
    const stats = await stat(path).catch((error: unknown) => {
      if (errno(error) === "ENOENT") return undefined;
      throw fileError("ERR_READ", path, error);
    });
    if (stats === undefined) return [];
    // Whoever may write to it chooses whom "alice" is. Windows reports no such bits.
    if (process.platform !== "win32" && (stats.mode & 0o022) !== 0) {
      throw new PolicyError(
        "ERR_RECIPIENTS_FILE_MODE",
        `${quoted(path)} can be changed by others`,
        {
          hint: `take that away with: chmod go-w '${path}'`,
        },
      );
    }
    return parseRecipientsFile(utf8(await readSmall(path, this.#context.io)), path);
  }
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** The same refusal, saying which of several recipients it is about. */
function named(error: unknown, where: string): unknown {
  for (const kind of [PolicyError, UnsupportedError]) {
    if (error instanceof kind) {
      const { code, message, hint } = error;
      return new kind(code, `${where}: ${message}`, hint === undefined ? {} : { hint });
    }
  }
  return error;
}

function utf8(bytes: Uint8Array): string {
  return new TextDecoder("utf-8").decode(bytes);
}
