/** A public key somebody gives on the command line: a file, `-`, an OpenSSH line or a JWK. */
import { basename } from "node:path";
import { parseRecipient } from "../../directory/recipients-file.js";
import { UsageError } from "../../errors.js";
import { parsePublicKey, type KeyFile } from "../../keys/key-file.js";
import type { PublicKey } from "../../keys/key.js";
import { readSmall } from "../inputs.js";
import type { Io } from "../io.js";

export interface GivenKey {
  readonly file: KeyFile;
  /** Where it came from, for people: the file's name without its folder. One line. */
  readonly source: string;
}

/** @throws UsageError for a `pkcs11:` URI; else as `parsePublicKey` and `readSmall` */
export async function readGivenKey(text: string, io: Io): Promise<GivenKey> {
  const given = parseRecipient(text, "the key");
  switch (given.kind) {
    case "key":
      return { file: given.key, source: "command line" };
    case "path": {
      const name = given.path === "-" ? "stdin" : given.path;
      const file = parsePublicKey(await readSmall(given.path, io), name);
      return { file, source: oneLine(basename(name)) };
    }
    case "uri":
      throw new UsageError("ERR_USAGE", "a public key file belongs here, not a pkcs11: URI", {
        hint: "write the key to a file first: p11seal keys export URI -o alice.pem",
      });
  }
}

/** Text for the directory, which shows one line a field. */
export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, "?");
}

/** As in `keys list`: "RSA-3072", "P-256", "Ed25519". */
export function keyKind(key: PublicKey): string {
  switch (key.type) {
    case "rsa":
      return `RSA-${key.bits}`;
    case "ec":
      return key.curve;
    case "x25519":
      return "X25519";
    case "ed25519":
      return "Ed25519";
  }
}
