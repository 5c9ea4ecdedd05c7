/** A public key somebody gives on the command line: a file, `-`, a `pkcs11:` URI, an OpenSSH line or a JWK. */
import { basename } from "node:path";
import type { DirectoryKind } from "../../../records/directory/directory.js";
import { parseRecipient } from "../../../records/directory/recipients-file.js";
import { parsePublicKey, type KeyFile } from "../../../keys/formats/key-file.js";
import type { PublicKey } from "../../../keys/key.js";
import type { Arguments } from "../../arguments/arguments.js";
import { readSmall } from "../../io/inputs.js";
import { publicKeyOnToken, recipientOnToken } from "../../find/token-key.js";
import { withTokens } from "../../find/tokens.js";
import type { Context } from "../../command.js";

export interface GivenKey {
  readonly file: KeyFile;
  /** Where it came from, for people: the file's name without its folder. One line. */
  readonly source: string;
}

/** @throws as `parsePublicKey`, `readSmall` and `publicKeyOnToken` */
export async function readGivenKey(
  text: string,
  kind: DirectoryKind,
  args: Arguments,
  context: Context,
): Promise<GivenKey> {
  const given = parseRecipient(text, "the key");
  switch (given.kind) {
    case "key":
      return { file: given.key, source: "command line" };
    case "path": {
      const name = given.path === "-" ? "stdin" : given.path;
      const file = parsePublicKey(await readSmall(given.path, context.io), name);
      return { file, source: oneLine(basename(name)) };
    }
    case "uri": {
      const file = await withTokens(args, context, async (tokens) =>
        kind === "recipients"
          ? recipientOnToken(given.uri, tokens)
          : { publicKey: await publicKeyOnToken(given.uri, tokens), warnings: [] },
      );
      return { file, source: oneLine(withoutQuery(given.uri)) };
    }
  }
}

/** What a URI's query says is about this machine: where a PIN is, and the module. */
function withoutQuery(uri: string): string {
  const [path = ""] = uri.split("?");
  return path;
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
