/**
 * Whose public key a word on the command line means. A word is, in this order: a `pkcs11:` URI, a
 * key written out (OpenSSH line, JWK), a known name, the path of a key or certificate file ("-" is
 * stdin). A file in the working folder therefore can't pass for a known name.
 */
import { existsSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import { P11SealError, type UsageError } from "../../errors.js";
import { parsePublicKey, type KeyFile } from "../../keys/formats/key-file.js";
import {
  isRecipientName,
  parseRecipient,
  type RecipientSource,
} from "../../records/directory/recipients-file.js";
import type { Context } from "../command.js";
import { readSmall } from "../io/inputs.js";
import { KnownNames } from "./known-names.js";
import { signerOnToken, recipientOnToken } from "./token-key.js";
import type { Tokens } from "./tokens.js";

/** Where a key came from. */
export type KeyOrigin =
  | { readonly kind: "command line" }
  /** A file, or "stdin". */
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "token"; readonly uri: string }
  /** Known by name; `list` is the path of the directory or recipients file. */
  | { readonly kind: "name"; readonly list: string };

export interface FoundKey extends KeyFile {
  readonly origin: KeyOrigin;
  /** How messages call the key. */
  readonly where: string;
}

/** What a key is for: to seal to, or to check signatures with. Names are looked up accordingly. */
export type KeyPurpose = "exchange" | "signature";

export interface KeyRequest {
  readonly purpose: KeyPurpose;
  /** How messages call a key that is written out, as in "--to". */
  readonly option: string;
  /**
   * Where a word can be a name: the error for one that is neither known nor a file, if not
   * ERR_READ.
   */
  readonly names?: {
    readonly unknown?: (word: string) => UsageError;
    /** A recipient's key need not be valid any more. */
    readonly isRetired?: boolean;
  };
}

/** What is known of a source besides itself. */
interface Place {
  readonly purpose: KeyPurpose;
  readonly where: string;
  /** What a path is relative to. */
  readonly folder: string;
  /** The file that names it, and where in it; absent for a word of the command line. */
  readonly inFile?: string;
}

/** Finds keys for one run. No PIN is asked for. */
export class PublicKeys {
  readonly #tokens: Tokens;
  readonly #context: Context;
  readonly #names: KnownNames;

  constructor(tokens: Tokens, context: Context) {
    this.#tokens = tokens;
    this.#context = context;
    this.#names = new KnownNames(context);
  }

  /**
   * The key that `word` means. Whether it can serve is for the caller to say, and so are its
   * warnings.
   *
   * @throws as `parseRecipient`, `parsePublicKey`, `readSmall`, `KnownNames.find`,
   *   `recipientOnToken`
   */
  async find(word: string, { purpose, option, names }: KeyRequest): Promise<FoundKey> {
    const source = parseRecipient(word, option);
    const where = source.kind === "key" ? option : word;
    if (names === undefined || source.kind !== "path" || !isRecipientName(word)) {
      return this.follow(source, { purpose, where, folder: "." });
    }
    const known = await this.#names.find(word, purpose, names.isRetired);
    const isFile = existsSync(word);
    if (known !== undefined) {
      const { list } = known;
      if (isFile) {
        this.#context.report.note(`${word}: from ${list}; write ./${word} for the file here`);
      }
      const folder = dirname(list);
      const at = { purpose, where: word, folder, inFile: `${list}: ${word}` };
      const key = await this.follow(known.source, at);
      return { ...key, origin: { kind: "name", list } };
    }
    if (!isFile && names.unknown !== undefined) throw names.unknown(word);
    return this.follow(source, { purpose, where, folder: "." });
  }

  /**
   * Gets a key from where it is. Errors about an entry of a file name the file, and where in it.
   *
   * @throws as `find`; PolicyError `ERR_URI_IN_FILE`
   */
  async follow(source: RecipientSource, at: Place): Promise<FoundKey> {
    const { inFile } = at;
    const found = await this.#get(source, at).catch((error: unknown) => {
      const isUnplaced =
        error instanceof P11SealError &&
        inFile !== undefined &&
        !error.message.startsWith(`${inFile}: `);
      throw isUnplaced ? error.at(inFile) : error;
    });
    if (at.purpose === "exchange") return found;
    // That a key is for signatures is no reason to warn of it here.
    const warnings = found.warnings.filter((text) =>
      /^certificate (?:expired|is not valid)/.test(text),
    );
    return { ...found, warnings: [...warnings, ...exchangeWarning(found)] };
  }

  async #get(source: RecipientSource, at: Place): Promise<FoundKey> {
    const { purpose, where, folder, inFile } = at;
    switch (source.kind) {
      case "key":
        return { ...source.key, where, origin: { kind: "command line" } };
      case "path": {
        const asWritten = folder === "." || isAbsolute(source.path);
        const path = asWritten ? source.path : join(folder, source.path);
        const bytes = await readSmall(path, this.#context.io);
        const name = path === "-" ? "stdin" : path;
        const file = parsePublicKey(bytes, name);
        return { ...file, where, origin: { kind: "file", path: name } };
      }
      case "uri": {
        const file =
          purpose === "exchange"
            ? await recipientOnToken(source.uri, this.#tokens, inFile)
            : await signerOnToken(source.uri, this.#tokens, inFile);
        return { ...file, where, origin: { kind: "token", uri: source.uri } };
      }
    }
  }
}

/** Somebody gave a key of theirs, and perhaps not the one that they sign with. */
function exchangeWarning({ use, isBlob, signOnly, publicKey }: KeyFile): string[] {
  const isExchange = use === "exchange" || (isBlob === true && signOnly !== true);
  if (!isExchange || publicKey.type === "ed25519") return [];
  return ["the key is recorded for exchange; its owner most likely signs with another"];
}
