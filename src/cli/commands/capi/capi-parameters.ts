/** What a `capi` command line says about ciphers and signatures, as values of src/capi. */
import { fromHex } from "../../../bytes.js";
import { defined } from "../../../defined.js";
import type {
  BackupHash,
  CapiHash,
  CipherParameters,
  KeyPadding,
  SessionAlgorithm,
  SignatureForm,
} from "../../../capi/index.js";
import { requireSigning } from "../../../capi/hash-signature.js";
import { UsageError } from "../../../errors.js";
import type { Arguments } from "../../arguments/arguments.js";

/** `--mode --iv --no-salt --salt --effective-bits`. @throws UsageError */
export function cipherParameters(args: Arguments): CipherParameters {
  const mode = args.text("mode") as CipherParameters["mode"];
  const iv = hexOption(args, "iv");
  const salt = hexOption(args, "salt");
  const effectiveBits = wholeNumber(args, "effective-bits");
  if (args.flag("no-salt") && salt !== undefined) {
    throw new UsageError("ERR_USAGE", "--salt and --no-salt contradict each other");
  }
  const usedSalt = args.flag("no-salt") ? ("none" as const) : salt;
  return defined({ mode, iv, salt: usedSalt, effectiveBits });
}

export function keyPadding(args: Arguments): KeyPadding {
  return args.flag("oaep") ? "oaep" : "pkcs1";
}

/** `--algorithm --key-bits`. */
export function sessionKeyOptions(args: Arguments): {
  readonly algorithm: SessionAlgorithm;
  readonly keyBits?: number;
} {
  const algorithm = args.required("algorithm") as SessionAlgorithm;
  const keyBits = wholeNumber(args, "key-bits");
  return { algorithm, ...defined({ keyBits }) };
}

/** `--hash --description --no-hash-oid`. */
export function signatureForm(args: Arguments): SignatureForm {
  const hash = args.required("hash") as CapiHash;
  const description = args.text("description");
  return { hash, ...defined({ description }), noHashOid: args.flag("no-hash-oid") };
}

/**
 * `--hash` of stored keys and backups. No peer needs a weak one there, so they are refused.
 *
 * @throws PolicyError `ERR_WEAK_HASH`
 */
export function storedHash(args: Arguments): BackupHash {
  const hash = args.required("hash") as CapiHash;
  requireSigning({ hash });
  return hash as BackupHash; // It is neither SHA-1 nor MD5.
}

/** @throws UsageError: not hexadecimal */
export function hexOption(args: Arguments, name: string): Uint8Array | undefined {
  const text = args.text(name);
  return text === undefined ? undefined : hexBytes(text, `--${name}`);
}

/** @throws UsageError: not hexadecimal */
export function hexBytes(text: string, where: string): Uint8Array {
  if (!/^(?:[0-9a-fA-F]{2})+$/.test(text)) {
    throw new UsageError("ERR_USAGE", `${where} takes whole bytes in hex, not "${text}"`);
  }
  return fromHex(text);
}

function wholeNumber(args: Arguments, name: string): number | undefined {
  const text = args.text(name);
  if (text === undefined) return undefined;
  if (!/^[0-9]{1,6}$/.test(text)) {
    throw new UsageError("ERR_USAGE", `--${name} takes a whole number, not "${text}"`);
  }
  return Number(text);
}
