/** A word that is no file: perhaps it was meant as a token's name. */
import { P11SealError } from "../../errors.js";
import { errno, fileError } from "../../store/system-error.js";
import { formatUri } from "../../token/uri.js";
import { readSmall } from "../io/inputs.js";
import type { Io } from "../io/io.js";

/** How a token of that name is given where a key is expected. */
export function tokenNamed(word: string): string {
  return `the keys of a token "${word}" are '${formatUri({ token: word })}'`;
}

/** As `readSmall`, for a private key: the hint on a missing file says how tokens are named. */
export async function readIdentity(path: string, io: Io): Promise<Uint8Array> {
  return readSmall(path, io).catch((error: unknown) => {
    const cause = error instanceof P11SealError ? error.cause : undefined;
    const isWord = /^[^/\\.]+$/.test(path);
    if (errno(cause) !== "ENOENT" || !isWord) throw error;
    throw fileError("ERR_READ", path, cause, tokenNamed(path));
  });
}
