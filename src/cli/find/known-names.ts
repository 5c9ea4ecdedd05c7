/**
 * Names for keys: the directory (`p11seal senders add`, `p11seal recipients add`), where a key has
 * limits; and for recipients also the recipients file, a list that people write by hand.
 */
import { access, stat } from "node:fs/promises";
import { join } from "node:path";
import { PolicyError, UsageError } from "../../errors.js";
import { defined } from "../../defined.js";
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
import { readSmall } from "../io/inputs.js";
import { fileState } from "../../store/files.js";
import { errno, fileError, quoted } from "../../store/system-error.js";
import { homeFolder, pathOfHome } from "../../store/home.js";

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
    if (!(await Promise.all(lists.map(isThere))).includes(true)) return undefined;
    const home = homeFolder(this.#context.io.env);
    const directory = directoryPath(home, kind);
    const entries = (await isThere(directory)) ? await readDirectory(home, kind) : [];
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
      home = homeFolder(this.#context.io.env);
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

  #recipientsFile(path: string): Promise<RecipientEntry[]> {
    return (this.#written ??= readRecipientsFile(path, this.#context));
  }
}

export function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
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
