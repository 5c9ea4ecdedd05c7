/**
 * What stands beside a public key in its file, besides the key: a comment for people, and two
 * records of its holder's p11seal. The *OAEP record* says which hash the holder's token can really
 * unwrap with; the other one, what the key is for.
 *
 * In PEM each record is a line of text before the block (`p11seal-oaep: sha1`,
 * `p11seal-use: sign`), which other tools ignore; in an OpenSSH line, a word of the comment
 * (`p11seal-oaep=sha1`).
 */
import { defined } from "../../defined.js";
import { FormatError, UsageError } from "../../errors.js";
import { printable } from "../../printable.js";
import type { OaepHash, PublicKey } from "../key.js";

export const OAEP_HASHES = [
  "sha1",
  "sha256",
  "sha384",
  "sha512",
] as const satisfies readonly OaepHash[];

/** What a key is for, as it is recorded. */
export type KeyUse = "exchange" | "sign";

/** What is written beside a key. */
export interface BesideKey {
  readonly comment: string;
  readonly oaep: OaepHash | undefined;
  readonly use: KeyUse | undefined;
}

/** The texts of the records found, whatever they say. */
export interface FoundRecords {
  readonly oaep: readonly string[];
  readonly use: readonly string[];
}

// ── Writing ──

/** The lines before a PEM block. */
export function linesBefore({ comment, oaep, use }: BesideKey): string[] {
  return [
    ...(comment === "" ? [] : [`# ${comment}`]),
    ...(oaep === undefined ? [] : [`${OAEP}: ${oaep}`]),
    ...(use === undefined ? [] : [`${USE}: ${use}`]),
  ];
}

/** The comment of an OpenSSH line. */
export function lineComment({ comment, oaep, use }: BesideKey): string {
  const words = [
    comment,
    oaep === undefined ? "" : `${OAEP}=${oaep}`,
    use === undefined ? "" : `${USE}=${use}`,
  ];
  return words.filter((word) => word !== "").join(" ");
}

/** @throws UsageError `ERR_COMMENT` */
export function checkedComment(comment: string): string {
  // A line break, or what looks like a record, would end the comment and start something else.
  // Others of these characters would move the cursor or reorder the line of whoever looks at it.
  if (printable(comment) !== comment || [OAEP, USE].some((record) => comment.includes(record))) {
    throw new UsageError(
      "ERR_COMMENT",
      "the comment contains a character that can't be shown, or looks like a record of ours",
    );
  }
  return comment.trim();
}

// ── Reading ──

export function recordsInLines(lines: readonly string[]): FoundRecords {
  return {
    oaep: lines.flatMap((line) => /^\s*p11seal-oaep\s*:\s*(.*?)\s*$/.exec(line)?.[1] ?? []),
    use: lines.flatMap((line) => /^\s*p11seal-use\s*:\s*(.*?)\s*$/.exec(line)?.[1] ?? []),
  };
}

export function recordsInComment(comment: string): FoundRecords {
  const words = comment.split(/\s+/);
  return {
    oaep: words.flatMap((word) => /^p11seal-oaep=(.*)$/.exec(word)?.[1] ?? []),
    use: words.flatMap((word) => /^p11seal-use=(.*)$/.exec(word)?.[1] ?? []),
  };
}

/**
 * What the records say of this key.
 *
 * @throws FormatError `ERR_OAEP_RECORD`, `ERR_USE_RECORD`: nothing sensible, or several things
 */
export function recorded(
  publicKey: PublicKey,
  found: FoundRecords,
): { readonly oaep?: OaepHash; readonly use?: KeyUse } {
  return defined({ oaep: oaepRecord(publicKey, found.oaep), use: useRecord(found.use) });
}

function oaepRecord(publicKey: PublicKey, records: readonly string[]): OaepHash | undefined {
  const [record] = records;
  if (record === undefined) return undefined;
  const oaep = OAEP_HASHES.find((hash) => hash === record);
  if (oaep === undefined) {
    throw new FormatError(
      "ERR_OAEP_RECORD",
      `the OAEP record is not one of ${OAEP_HASHES.join(", ")}`,
    );
  }
  if (records.length > 1) throw new FormatError("ERR_OAEP_RECORD", "more than one OAEP record");
  if (publicKey.type !== "rsa") {
    throw new FormatError("ERR_OAEP_RECORD", "an OAEP record beside a key that is not RSA");
  }
  return oaep;
}

function useRecord(records: readonly string[]): KeyUse | undefined {
  const [use] = records;
  if (use === undefined) return undefined;
  if (records.length > 1 || (use !== "sign" && use !== "exchange")) {
    throw new FormatError("ERR_USE_RECORD", "the record of the key's use is not exchange or sign");
  }
  return use;
}

const OAEP = "p11seal-oaep";
const USE = "p11seal-use";
