/**
 * Public keys that may be the missing half of a private key on a token: those that `--public`
 * names, and those of the user's directory. Which one it is, a use of the private key tells.
 */
import { existsSync } from "node:fs";
import type { PublicKey } from "../../keys/key.js";
import { parsePublicKey } from "../../keys/formats/key-file.js";
import { directoryPath, readDirectory } from "../../records/directory/directory-file.js";
import type { Context } from "../command.js";
import { homeOf } from "../io/home.js";
import { readSmall } from "../io/inputs.js";
import { pathOfHome } from "../../store/home.js";

/** @throws as `readSmall`, `parsePublicKey`, `readDirectory` */
export async function candidateHalves(
  files: readonly string[],
  context: Context,
): Promise<PublicKey[]> {
  const { io } = context;
  const found: PublicKey[] = [];
  for (const path of files) {
    const bytes = await readSmall(path, io);
    found.push(parsePublicKey(bytes, path === "-" ? "stdin" : path).publicKey);
  }
  for (const kind of ["recipients", "senders", "custodians"] as const) {
    if (!existsSync(directoryPath(pathOfHome(io.env), kind))) continue;
    const entries = await readDirectory(homeOf(io), kind);
    found.push(...entries.map(({ publicKey }) => publicKey));
  }
  return found;
}
