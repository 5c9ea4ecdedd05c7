/**
 * One identity that the command line names, for one purpose: on a token, or in a private key file.
 */
import { stat } from "node:fs/promises";
import { TokenError } from "../../errors.js";
import type { Identity, SigningPublicKey } from "../../keys/key.js";
import { needsPassphrase } from "../../keys/formats/private-file.js";
import type { Purpose, PurposeKeys } from "../../keys/purpose.js";
import { naming } from "../../keys/refusals.js";
import { requireSigner } from "../../keys/signer-strength.js";
import { softwareIdentity } from "../../software/software-identity.js";
import { isPkcs11Uri } from "../../token/uri.js";
import type { Context } from "../command.js";
import { wholeKeyAt } from "./hidden-keys.js";
import { readIdentity } from "./token-named.js";
import type { Tokens } from "./tokens.js";

/**
 * The key that `text` names: a `pkcs11:` URI, or the path of a private key file. Unless the token
 * hides the key, no PIN is asked for before `unlock`.
 *
 * @param checkFile - looks at a file first; throws to refuse it
 */
export async function identityAt<P extends Purpose>(
  text: string,
  purpose: P,
  tokens: Tokens,
  context: Context,
  checkFile?: (bytes: Uint8Array) => void,
): Promise<Identity<PurposeKeys[P]>> {
  if (isPkcs11Uri(text)) {
    const uri = tokens.uri(text);
    const key = await wholeKeyAt(uri, tokens);
    return (await tokens.access()).identity(key, purpose);
  }
  const bytes = await readIdentity(text, context.io);
  try {
    checkFile?.(bytes);
    return await identityInFile(bytes, text, purpose, context);
  } finally {
    bytes.fill(0);
  }
}

/**
 * The key that `text` names, as one to sign with: weak keys are refused, as they are as recipients.
 *
 * @throws as `identityAt` and `requireSigner`
 */
export async function signerAt(
  text: string,
  tokens: Tokens,
  context: Context,
): Promise<Identity<SigningPublicKey>> {
  const identity = await identityAt(text, "sign", tokens, context);
  naming(identity.name, () => requireSigner(identity.publicKey));
  return identity;
}

/**
 * The key in a private key file. Asks for its passphrase, and notes it if others may read the file.
 */
export async function identityInFile<P extends Purpose>(
  bytes: Uint8Array,
  path: string,
  purpose: P,
  context: Context,
): Promise<Identity<PurposeKeys[P]>> {
  const isEncrypted = needsPassphrase(bytes, path);
  await warnIfReadable(path, context);
  const passphrase = isEncrypted ? await keyPassphrase(path, context) : undefined;
  return softwareIdentity(bytes, path, { passphrase, purpose });
}

/** Notes it if others may read the file. */
export async function warnIfReadable(path: string, { report }: Context): Promise<void> {
  if (process.platform === "win32" || path === "-") return;
  const { mode } = await stat(path);
  if ((mode & 0o077) !== 0) report.note(`${path}: other users may read this private key`);
}

/** @throws TokenError `ERR_PASSPHRASE` without a terminal */
async function keyPassphrase(path: string, context: Context): Promise<string> {
  const passphrase = await askPassphrase(path, context);
  if (passphrase !== undefined) return passphrase;
  throw new TokenError("ERR_PASSPHRASE", `${path}: encrypted, and there is no terminal to ask at`, {
    hint: "decrypt it into a pipe: p11seal open -i <(openssl pkey -in KEY) …",
  });
}

/** Asks for the passphrase of a key or a message; undefined: there is no terminal to ask at. */
export async function askPassphrase(
  name: string,
  { io, report }: Context,
): Promise<string | undefined> {
  const terminal = await io.terminal();
  if (terminal === undefined) return undefined;
  try {
    const passphrase = await terminal.ask(`passphrase for ${name}:`, { silent: true });
    report.conceal(passphrase);
    return passphrase;
  } finally {
    terminal.close();
  }
}
