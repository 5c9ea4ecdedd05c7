/**
 * The rules for an output: found, read, believed, and put together. What is wrong with one rules
 * file is an error, never a reason to go on without it: whoever can damage the file would be rid of
 * it.
 *
 * Rules that nobody signed count for those whom their writer could harm anyway: the file must be
 * the user's or root's, and nobody else may be able to change or replace it. With `rules_signer` in
 * the settings only that key's rules count, wherever they lie and whoever owns the file.
 */
import { dirname, join } from "node:path";
import { concatAll, toHex } from "../../bytes.js";
import { defined } from "../../defined.js";
import { FileError, PolicyError } from "../../errors.js";
import type { SigningPublicKey } from "../../keys/key.js";
import { modeHint, openToOthers } from "../../store/file-modes.js";
import { readRegular, type RegularFile } from "../../store/regular-file.js";
import { quoted } from "../../store/system-error.js";
import { configPath, readConfig } from "../config.js";
import { readDirectory } from "../directory/directory-file.js";
import { findEntry, senderLimit, type DirectoryEntry } from "../directory/directory.js";
import { combined, type Governance, type MatchedRule, type RulesFile } from "./governance.js";
import { RuledKeys } from "./ruled-keys.js";
import { fingerprintOf, MAX_RULES_BYTES, parseRules, type Rule } from "./rules-format.js";
import { namesBelow, placeOf, rulesFilesAbove, type Place } from "./rules-lookup.js";
import { refuseOlder, requireNotOlder } from "./rules-seen.js";
import {
  MAX_SIGNATURE_BYTES,
  rulesHash,
  SIGNATURE_SUFFIX,
  verifyRulesSignature,
} from "./rules-signature.js";

/** For whom, and when. */
export interface RulesContext {
  /** The user's data folder. */
  readonly home: string;
  /** Milliseconds since 1970-01-01T00:00Z. */
  readonly nowMs: number;
  /** False where nothing may be written: newer rules are not remembered. By default true. */
  readonly remembers?: boolean;
}

/** What is known of each rule that might be about an output. */
export interface Explanation {
  readonly path: string;
  /** The outermost first. */
  readonly files: readonly RulesFile[];
  readonly rules: readonly {
    readonly file: RulesFile;
    readonly rule: Rule;
    /** The path in it that matches; absent: none does. */
    readonly pattern?: string;
  }[];
}

/**
 * What the rules say of an output; undefined: there are none for it.
 *
 * @param path - where the output is, or will be
 * @throws as `RuleBook.rulesFor`
 */
export function rulesFor(path: string, context: RulesContext): Promise<Governance | undefined> {
  return new RuleBook(context).rulesFor(path);
}

/** The same for many outputs of one run. Each file is read once, and counts as it was then. */
export class RuleBook {
  readonly #context: RulesContext;
  readonly #chains = new Map<string, Promise<readonly RulesFile[]>>();
  readonly #files = new Map<string, Promise<RulesFile>>();
  #signer: Promise<PinnedSigner | undefined> | undefined;
  #keys: Promise<RuledKeys> | undefined;

  constructor(context: RulesContext) {
    this.#context = context;
  }

  /**
   * @throws PolicyError `ERR_RULES_NO_MATCH`: there are rules, and none is about it;
   *   `ERR_RULES_CONFLICT`; `ERR_RULES_UNSIGNED`, `ERR_RULES_SIGNATURE`, `ERR_RULES_SIGNER`,
   *   `ERR_RULES_VERSION`; `ERR_UNSAFE_FILE`: somebody else could change them; FormatError
   *   `ERR_RULES_FILE`; FileError `ERR_READ`, `ERR_FILE_SIZE`, `ERR_FILE_KIND`; and those of the
   *   data folder's files
   */
  async rulesFor(path: string): Promise<Governance | undefined> {
    const place = placeOf(path);
    const files = await this.#chain(place);
    if (files.length === 0) return undefined;
    const matched = matchesOf(files, place).filter(isMatched);
    if (matched.length === 0) throw noMatch(join(place.folder, place.name), files);
    const hashes = files.map(({ hash }) => hash);
    return {
      path: join(place.folder, place.name),
      files,
      matched,
      ...combined(matched, await this.keys()),
      enforce: files.some(({ enforce }) => enforce),
      hash: hashes[1] === undefined ? (hashes[0] as Uint8Array) : rulesHash(concatAll(hashes)),
      notes: files.flatMap(({ notes }) => notes),
    };
  }

  /** @throws as `rulesFor`, but for rules that don't match or contradict each other */
  async explain(path: string): Promise<Explanation> {
    const place = placeOf(path);
    const files = await this.#chain(place);
    return { path: join(place.folder, place.name), files, rules: matchesOf(files, place) };
  }

  /** A rules file by itself. @throws as `rulesFor` */
  file(path: string): Promise<RulesFile> {
    const known = this.#files.get(path);
    if (known !== undefined) return known;
    const file = this.#read(path);
    this.#files.set(path, file);
    return file;
  }

  /** The keys of the user's directory. */
  keys(): Promise<RuledKeys> {
    const { home, nowMs } = this.#context;
    return (this.#keys ??= readDirectory(home, "recipients").then(
      (entries) => new RuledKeys(entries, nowMs),
    ));
  }

  /** The outermost first. */
  #chain(place: Place): Promise<readonly RulesFile[]> {
    const known = this.#chains.get(place.folder);
    if (known !== undefined) return known;
    const chain = this.#readChain(place);
    this.#chains.set(place.folder, chain);
    return chain;
  }

  async #readChain(place: Place): Promise<readonly RulesFile[]> {
    const chain: RulesFile[] = [];
    for (const path of rulesFilesAbove(place)) {
      const file = await this.file(path);
      chain.unshift(file);
      if (file.root) break;
    }
    return chain;
  }

  async #read(path: string): Promise<RulesFile> {
    const file = await readRegular(path, MAX_RULES_BYTES);
    if (file === undefined) {
      throw new FileError("ERR_READ", `cannot read ${quoted(path)}: no such file`);
    }
    const pinned = await (this.#signer ??= this.#pinnedSigner());
    const signature = await readRegular(`${path}${SIGNATURE_SUFFIX}`, MAX_SIGNATURE_BYTES);
    const signed = signature && at(path, () => verifyRulesSignature(signature.bytes, file.bytes));
    if (pinned === undefined) requireOwn(path, file);
    else if (signed === undefined) throw unsigned(path);
    else requireSigner(path, pinned, signed, this.#context.nowMs);
    const text = parseRules(file.bytes, path);
    if (signed !== undefined && signed.version !== text.version) {
      throw new PolicyError(
        "ERR_RULES_SIGNATURE",
        `${quoted(path)}: signed as version ${signed.version}, and it is another`,
      );
    }
    const hash = rulesHash(file.bytes);
    if (pinned === undefined || signed === undefined) {
      if (text.enforce) throw unsignedEnforced(path);
      const lack = signed === undefined ? "not signed" : "signed by a key that you don't name";
      const note = `${path}: ${lack}; whoever can change it chooses the recipients`;
      return { path, ...text, hash, notes: [note] };
    }
    const { home, remembers = true } = this.#context;
    await (remembers ? requireNotOlder : refuseOlder)(home, {
      folder: dirname(path),
      signer: pinned.fingerprint,
      version: signed.version,
      sha256: toHex(hash),
    });
    const { signer: publicKey, signedMs } = signed;
    const signer = { publicKey, signedMs, ...defined({ name: pinned.entry?.name }) };
    return { path, ...text, hash, signer, notes: [] };
  }

  /** Who signs rules, by the settings. */
  async #pinnedSigner(): Promise<PinnedSigner | undefined> {
    const { home } = this.#context;
    const { rulesSigner } = await readConfig(home);
    if (rulesSigner === undefined) return undefined;
    const fingerprint = fingerprintOf(rulesSigner);
    if (fingerprint !== undefined) return { fingerprint };
    const entry = findEntry(await readDirectory(home, "senders"), rulesSigner);
    if (entry === undefined) {
      throw new PolicyError(
        "ERR_RULES_SIGNER",
        `${configPath(home)}: no sender is called "${rulesSigner}", the rules_signer`,
        { hint: "add the key with: p11seal senders add; or write its fingerprint there" },
      );
    }
    return { fingerprint: toHex(entry.publicKey.fingerprint), entry };
  }
}

// ── Details ──

interface PinnedSigner {
  /** SHA-256 of the SPKI, hexadecimal. */
  readonly fingerprint: string;
  /** Absent: the settings have the fingerprint. */
  readonly entry?: DirectoryEntry;
}

type Judged = Explanation["rules"][number];

function matchesOf(files: readonly RulesFile[], place: Place): Judged[] {
  return files.flatMap((file) => {
    const names = namesBelow(dirname(file.path), place);
    return file.rules.map((rule) => {
      const pattern = rule.paths.find((path) => path.matches(names))?.text;
      return { file, rule, ...defined({ pattern }) };
    });
  });
}

function isMatched(one: Judged): one is MatchedRule {
  return one.pattern !== undefined;
}

function noMatch(path: string, files: readonly RulesFile[]): PolicyError {
  const where = files.map((file) => quoted(file.path)).join(" and ");
  return new PolicyError("ERR_RULES_NO_MATCH", `no rule in ${where} is about ${quoted(path)}`, {
    hint: "add its path to a rule, or seal it to a place that has one; p11seal rules explain PATH",
  });
}

function requireOwn(path: string, { stats }: RegularFile): void {
  const fact = openToOthers(path, stats);
  if (fact === undefined) return;
  throw new PolicyError("ERR_UNSAFE_FILE", `${quoted(path)} ${fact}`, {
    hint: modeHint(
      path,
      "whoever can change it chooses the recipients: make it yours alone (chmod go-w), or have it " +
        "signed by a key that config.toml names as rules_signer",
      "have it signed by a key that config.toml names as rules_signer",
    ),
  });
}

function unsigned(path: string): PolicyError {
  return new PolicyError("ERR_RULES_UNSIGNED", `${quoted(path)} is not signed`, {
    hint: "config.toml has a rules_signer, who signs with: p11seal rules sign",
  });
}

function unsignedEnforced(path: string): PolicyError {
  return new PolicyError(
    "ERR_RULES_UNSIGNED",
    `${quoted(path)} has enforce = true, and no signature that counts`,
    { hint: "name the key that signs it as rules_signer in config.toml" },
  );
}

/** @throws PolicyError `ERR_RULES_SIGNER` */
function requireSigner(
  path: string,
  { fingerprint, entry }: PinnedSigner,
  signed: { readonly signer: SigningPublicKey; readonly signedMs: number },
  nowMs: number,
): void {
  const found = toHex(signed.signer.fingerprint);
  if (found !== fingerprint) {
    throw new PolicyError("ERR_RULES_SIGNER", `${quoted(path)} is signed by SHA256:${found}`, {
      hint: `config.toml wants the rules signed by ${entry?.name ?? `SHA256:${fingerprint}`}`,
    });
  }
  const limit = entry && senderLimit(entry, signed.signedMs, nowMs);
  if (limit !== undefined) {
    throw new PolicyError("ERR_RULES_SIGNER", `${quoted(path)}: ${limit.fact}`, {
      hint: "have the rules signed by a key that is valid, and add it to the senders",
    });
  }
}

/** Adds the file to errors about its signature. */
function at<T>(path: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw error instanceof PolicyError ? error.at(quoted(path)) : error;
  }
}
