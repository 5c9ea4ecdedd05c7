/**
 * The names of what p11seal puts beside messages while it works on them: temporary files
 * (`temporary.ts`), the new header of a file that is overwritten in place (`header-in-place.ts`),
 * and the lock of a tree (`tree-lock.ts`). Whoever looks for messages passes them over.
 */
import { createHash } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { BESIDE_TEMPORARY, cutTo, MAX_NAME_BYTES } from "./temporary.js";

/** True for the name, without its folder, of such a file or folder. */
export function isWorkFile(name: string): boolean {
  return NAMES.some((pattern) => pattern.test(name));
}

/** A temporary file, perhaps with its process; and what may lie beside one. */
export const TEMPORARY_NAME = new RegExp(
  String.raw`^\..+\.p11seal-[0-9a-f]{8}(?:-([0-9a-f-]+))?\.part(${BESIDE_TEMPORARY.join("|")})?$`,
  "s",
);

/**
 * Where the new header of the file at `path` lies while it is overwritten in place. A name that is
 * too long for its addition is cut, and told apart by a hash.
 */
export function sideFileOf(path: string): string {
  const name = basename(path);
  const whole = `.${name}${SIDE_ENDING}`;
  if (Buffer.byteLength(whole) <= MAX_NAME_BYTES) return join(dirname(path), whole);
  const hash = createHash("sha256").update(name).digest("hex").slice(0, 16);
  const end = `-${hash}${SIDE_ENDING}`;
  const kept = cutTo(MAX_NAME_BYTES - ".".length - end.length, name);
  return join(dirname(path), `.${kept}${end}`);
}

/** The name of a tree's lock. Runs on different shards have locks of their own. */
export function lockNameOf(shard: Shard | undefined): string {
  return shard === undefined ? LOCK : `${LOCK}-${shard.part}-of-${shard.of}`;
}

/** The shard in a lock's name: the only one of one if it has none. Undefined for other names. */
export function lockedShard(name: string): Shard | undefined {
  const [match, part = "1", of = "1"] = LOCK_NAME.exec(name) ?? [];
  return match === undefined ? undefined : { part: Number(part), of: Number(of) };
}

interface Shard {
  readonly part: number;
  readonly of: number;
}

const LOCK = ".p11seal-lock";

const LOCK_NAME = /^\.p11seal-lock(?:-([1-9][0-9]*)-of-([1-9][0-9]*))?$/;

const SIDE_ENDING = ".p11seal-header";

/** The side file of any file. */
export const SIDE_NAME = /^\..+\.p11seal-header$/s;

/** With six characters more while it is made, and while it is removed. */
const LOCK_ON_ITS_WAY = /^\.p11seal-lock(?:-[0-9]+-of-[0-9]+)?\.[A-Za-z0-9]{6}$/;

const NAMES = [TEMPORARY_NAME, SIDE_NAME, LOCK_NAME, LOCK_ON_ITS_WAY];
