/**
 * Names for keys: the directory (`p11seal senders add`, `p11seal recipients add`), where a key has
 * limits; and for recipients also the recipients file, a list that people write by hand.
 */
import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { P11SealError, PolicyError, UsageError } from "../../errors.js";
import { defined } from "../../defined.js";
import { type KeyFile, parsePublicKey } from "../../keys/formats/key-file.js";
import type { OaepHash, PublicKey } from "../../keys/key.js";
import { modeHint } from "../../store/file-modes.js";
import { readAuthorities } from "../../records/authorities.js";
import { directoryPath, readDirectory } from "../../records/directory/directory-file.js";
import {
  findEntry,
  requireValidRecipient,
  trustedSender,
  type DirectoryEntry,
  type DirectoryKind,
} from "../../records/directory/directory.js";
import {
  findByName,
  isRecipientName,
  parseRecipientsFile,
  recipientsText,
  type RecipientEntry,
  type RecipientSource,
} from "../../records/directory/recipients-file.js";
import { parseX509 } from "../../x509/certificate.js";
import type { Context } from "../command.js";
import { homeOf } from "../io/home.js";
import { readSmall } from "../io/inputs.js";
import { fileState } from "../../store/files.js";
import { errno, fileError, quoted } from "../../store/system-error.js";
import { pathOfHome } from "../../store/home.js";

/** A recipient in one of the lists, whose key can be read without a token. */
export interface KnownRecipient {
  /** The name, or where it stands if it has none. */
  readonly name: string;
  readonly publicKey: PublicKey;
  /** The key's certificate, DER. */
  readonly certificate?: Uint8Array;
  /** When the key was last valid, milliseconds since 1970-01-01T00:00Z. */
  readonly notAfterMs?: number;
  /** For RSA: the OAEP record (see `Recipient`). */
  readonly oaep?: OaepHash;
}

export interface KnownKey {
  readonly source: RecipientSource;
  /** The path of the list it stands in, which a path in it is relative to. */
  readonly list: string;
}

export class KnownNames {
  readonly #context: Context;
  #written: Promise<RecipientEntry[]> | undefined;

  constructor(context: Context) {
    this.#context = context;
  }

  /**
   * What is known under that name; letters match in either case.
   *
   * @param isRetired - a recipient's key need not be valid any more: nothing is sealed to it
   * @throws UsageError `ERR_RECIPIENT_AMBIGUOUS`: it stands in both lists, and one of them may have
   *   somebody else's key; PolicyError `ERR_RECIPIENTS_FILE_MODE`; as `readDirectory`,
   *   `requireValidRecipient`, `trustedSender`
   */
  async find(
    name: string,
    purpose: "exchange" | "signature",
    isRetired = false,
  ): Promise<KnownKey | undefined> {
    const kind = purpose === "exchange" ? "recipients" : "senders";
    const unchecked = pathOfHome(this.#context.io.env);
    const lists = [directoryPath(unchecked, kind), join(unchecked, "recipients")];
    // Without a list it doesn't matter who could write one: `-r alice.pem` needs no data folder.
    if (!lists.some((path) => existsSync(path))) return undefined;
    const home = homeOf(this.#context.io);
    const directory = directoryPath(home, kind);
    const entries = existsSync(directory) ? await readDirectory(home, kind) : [];
    const entry = findEntry(entries, name);
    const known = entry && { source: sourceOf(entry), list: directory };
    if (purpose === "signature") {
      if (entry !== undefined) requireTrusted(entries, entry);
      return known;
    }
    const list = join(home, "recipients");
    const written = findByName(await this.#recipientsFile(list), name);
    if (entry === undefined) return written && { source: written, list };
    if (written !== undefined) {
      throw new UsageError(
        "ERR_RECIPIENT_AMBIGUOUS",
        `${quoted(name)} stands in ${directory} and in ${list}`,
        { hint: "remove one of them" },
      );
    }
    if (!isRetired) requireValidRecipient(entry, Date.now());
    return known;
  }

  /**
   * Every name, to be proposed to a person: of senders, of authorities, or of recipients in both
   * lists. A list that is refused or damaged has none; the command that uses it says why.
   */
  async list(kind: DirectoryKind | "authorities"): Promise<readonly string[]> {
    let home: string;
    try {
      home = homeOf(this.#context.io);
    } catch {
      return [];
    }
    const known = async () =>
      (await (kind === "authorities" ? readAuthorities(home) : readDirectory(home, kind))).map(
        ({ name }) => name,
      );
    const written = async () =>
      (await this.#recipientsFile(join(home, "recipients"))).flatMap((entry) =>
        entry.kind === "signs" ? [] : (entry.name ?? []),
      );
    const lists = await Promise.all(
      (kind === "recipients" ? [known, written] : [known]).map((names) => names().catch(() => [])),
    );
    // A shell gets them, so whatever a parser lets through: only what is safe in a script.
    return [...new Set(lists.flat().filter(isRecipientName))];
  }

  /**
   * All recipients, of both lists, also those whose key is not valid any more. A key file that
   * can't be read is noted and passed over, and so is a key on a token.
   *
   * @throws as `readDirectory`; PolicyError `ERR_RECIPIENTS_FILE_MODE`; FormatError
   */
  async recipients(): Promise<KnownRecipient[]> {
    const unchecked = pathOfHome(this.#context.io.env);
    const lists = [directoryPath(unchecked, "recipients"), join(unchecked, "recipients")];
    if (!lists.some((path) => existsSync(path))) return [];
    const home = homeOf(this.#context.io);
    const entries = await readDirectory(home, "recipients");
    const found: KnownRecipient[] = entries.map(
      ({ name, publicKey, certificates, notAfterMs, oaep }) => ({
        ...{ name, publicKey },
        ...defined({ certificate: certificates?.[0], notAfterMs, oaep }),
      }),
    );
    const list = join(home, "recipients");
    for (const entry of await this.#recipientsFile(list)) {
      if (entry.kind === "signs") continue;
      const name = entry.name ?? `${list}:${entry.line}`;
      const key = await this.#keyOf(entry, name, list);
      if (key !== undefined) found.push(knownRecipient(name, key));
    }
    return found;
  }

  /** The key of an entry of the recipients file. */
  async #keyOf(entry: RecipientSource, name: string, list: string): Promise<KeyFile | undefined> {
    if (entry.kind === "key") return entry.key;
    const { io, report } = this.#context;
    if (entry.kind === "uri") {
      report.note(`${name}: passed over: its key is on a token`);
      return undefined;
    }
    const path = isAbsolute(entry.path) ? entry.path : join(dirname(list), entry.path);
    try {
      return parsePublicKey(await readSmall(path, io), path);
    } catch (error) {
      if (!(error instanceof P11SealError)) throw error;
      report.note(`${name}: passed over: ${error.message}`);
      return undefined;
    }
  }

  #recipientsFile(path: string): Promise<RecipientEntry[]> {
    return (this.#written ??= readRecipientsFile(path, this.#context));
  }
}

function knownRecipient(name: string, { publicKey, certificate, oaep }: KeyFile): KnownRecipient {
  const { der, notAfterMs } = certificate ?? {};
  return { name, publicKey, ...defined({ certificate: der, notAfterMs, oaep }) };
}

function requireTrusted(entries: readonly DirectoryEntry[], { name, publicKey }: DirectoryEntry) {
  const nowMs = Date.now();
  trustedSender(entries, { publicKey, createdMs: nowMs }, { from: [name], nowMs });
}

function sourceOf({ publicKey, oaep, certificates = [] }: DirectoryEntry): RecipientSource {
  const [certificate, ...chain] = certificates.map((der) => parseX509(der));
  const key = { publicKey, warnings: [], ...defined({ oaep, certificate }) };
  return { kind: "key", key: chain.length === 0 ? key : { ...key, chain } };
}

async function readRecipientsFile(path: string, { io }: Context): Promise<RecipientEntry[]> {
  const stats = await stat(path).catch((error: unknown) => {
    if (errno(error) === "ENOENT") return undefined;
    throw fileError("ERR_READ", path, error);
  });
  if (stats === undefined) return [];
  // Whoever may write to it chooses whom "alice" is. Windows reports no such bits.
  if (process.platform !== "win32" && (stats.mode & 0o022) !== 0) {
    throw new PolicyError("ERR_RECIPIENTS_FILE_MODE", `${quoted(path)} can be changed by others`, {
      hint: modeHint(
        path,
        `take that away with: chmod go-w '${path}'`,
        "set P11SEAL_HOME to a folder on another file system",
      ),
    });
  }
  // And what holds for each file of the data folder: ours, regular, in a folder of ours.
  await fileState(path);
  return parseRecipientsFile(recipientsText(await readSmall(path, io), path), path);
}
