/**
 * The newest signed rules seen here, for each folder and signer: `rules-seen.toml` in the data
 * folder. An older version has a signature that is as good, so only memory tells that it was put
 * back. It is on the disk before anything is sealed by the newer one.
 */
import { join } from "node:path";
import { stringify } from "smol-toml";
import { ascii } from "../../bytes.js";
import { FormatError, PolicyError } from "../../errors.js";
import { exactText } from "../../store/exact.js";
import { readWhole, writeWhole } from "../../store/files.js";
import { makeFolder } from "../../store/make-folder.js";
import { syncIfPossible } from "../../store/flush.js";
import { wasGivenBack, withLock } from "../../store/lock.js";
import { quoted } from "../../store/system-error.js";
import { tomlTable } from "../../store/toml.js";
import { count, HEX_32, text, type Check } from "../fields.js";

/** Rules, as they are remembered. */
export interface SeenRules {
  /** The real folder of the rules file. */
  readonly folder: string;
  /** SHA-256 of the signer's SPKI, hexadecimal. */
  readonly signer: string;
  readonly version: number;
  /** SHA-256 of the rules file, hexadecimal. */
  readonly sha256: string;
}

/** The file in the data folder. */
export function rulesSeenPath(home: string): string {
  return join(home, "rules-seen.toml");
}

/**
 * Refuses rules older than those seen before, and others of the same version: whoever could choose
 * between two of one version could put the weaker back. Remembers newer ones.
 *
 * @throws PolicyError `ERR_RULES_VERSION`, `ERR_UNSAFE_FILE`; FormatError `ERR_RULES_SEEN`;
 *   FileError `ERR_READ`, `ERR_WRITE`, `ERR_LOCKED`
 */
export async function requireNotOlder(home: string, rules: SeenRules): Promise<void> {
  const path = rulesSeenPath(home);
  const lockPath = `${path}.lock`;
  if (!isNews(await readSeen(home), rules)) {
    // Whoever wrote that gives the lock back once it is on the disk, or was killed before.
    if (!wasGivenBack(lockPath)) await syncIfPossible(home);
    return;
  }
  await makeFolder(home);
  await withLock(lockPath, async (lock) => {
    const seen = await readSeen(home);
    if (!isNews(seen, rules)) {
      await syncIfPossible(home);
      return;
    }
    const others = seen.filter((one) => !isOfSame(one, rules));
    await lock.confirm();
    await writeWhole(path, ascii(format([...others, rules])));
  });
}

/** As `requireNotOlder`, and remembers nothing. */
export async function refuseOlder(home: string, rules: SeenRules): Promise<void> {
  isNews(await readSeen(home), rules);
}

/** What is remembered; nothing if there is no file. @throws as `requireNotOlder` */
export async function readSeen(home: string): Promise<readonly SeenRules[]> {
  const path = rulesSeenPath(home);
  const bytes = await readWhole(path, MAX_BYTES);
  if (bytes === undefined) return [];
  const {
    version,
    rules = [],
    ...unknown
  } = tomlTable(
    exactText(bytes, (line) => malformed(`${path}:${line}`, "not UTF-8")),
    path,
    malformed,
  );
  if (version !== 1 || !Array.isArray(rules) || Object.keys(unknown).length > 0) {
    throw malformed(path, "not as p11seal writes it");
  }
  return rules.map((one: unknown) => {
    if (!isSeen(one)) throw malformed(path, "not as p11seal writes it");
    return one;
  });
}

// ── Details ──

const MAX_BYTES = 16 * 1024 * 1024;

/** Whether the rules are newer than what is remembered of them. @throws PolicyError */
function isNews(seen: readonly SeenRules[], rules: SeenRules): boolean {
  const before = seen.find((one) => isOfSame(one, rules));
  if (before === undefined || before.version < rules.version) return true;
  if (before.version === rules.version && before.sha256 === rules.sha256) return false;
  const where = quoted(rules.folder);
  const fact =
    before.version > rules.version
      ? `the rules in ${where} have version ${rules.version}, and version ${before.version} was seen`
      : `the rules in ${where} differ from others of version ${rules.version} that were seen`;
  throw new PolicyError("ERR_RULES_VERSION", fact, {
    hint: "somebody put old rules back, or signed a change under the same version; ask who keeps them",
  });
}

function isOfSame(one: SeenRules, { folder, signer }: SeenRules): boolean {
  return one.folder === folder && one.signer === signer;
}

function format(rules: readonly SeenRules[]): string {
  const body = stringify({ version: 1, rules: rules.map((one) => ({ ...one })) });
  return `# Written by p11seal: the newest signed rules seen in each folder\n${body}\n`;
}

function isSeen(value: unknown): value is SeenRules {
  if (typeof value !== "object" || value === null) return false;
  const fields = value as Readonly<Record<string, unknown>>;
  return (
    Object.keys(fields).length === FIELDS.length &&
    FIELDS.every(([name, holds]) => holds(fields[name]))
  );
}

const FIELDS: readonly (readonly [name: keyof SeenRules, holds: Check])[] = [
  ["folder", text(/^[^]+$/)],
  ["signer", HEX_32],
  ["version", count],
  ["sha256", HEX_32],
];

function malformed(where: string, fact: string): FormatError {
  return new FormatError("ERR_RULES_SEEN", `${where}: ${fact}`, {
    hint: "undo what was changed in the file; if it is lost, remove it and check the rules' version",
  });
}
