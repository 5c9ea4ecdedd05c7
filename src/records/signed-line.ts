/**
 * A signed statement of one line: JSON with its fields in a fixed order, so that it has one
 * encoding and people can read it. The signature covers a label and the line without its last
 * field.
 */
import { ascii, concat, equal, fromBase64, toBase64 } from "../bytes.js";
import { defined } from "../defined.js";
import { P11SealError, TokenError } from "../errors.js";
import type { PrivateKey, SigningPublicKey } from "../keys/key.js";
import { publicKeyFromSpki } from "../keys/public-key.js";
import { requireCapability } from "../keys/purpose.js";
import { signatureAlgorithm, verifySignature } from "../keys/signing.js";
import { text, type Check } from "./fields.js";

/** One kind of statement. */
export interface LineForm<T extends object> {
  /** The first field's value, as in `p11seal receipt v1`. */
  readonly type: string;
  /** Separates its signatures from all others, as in `p11seal/v1 receipt`. */
  readonly label: string;
  /**
   * What the fields hold, in the order of writing. One that may be absent has a check that takes
   * `undefined`.
   */
  readonly fields: readonly (readonly [name: keyof T & string, holds: Check])[];
  /** The name of the field with the signer's key. */
  readonly signer: string;
  /** The longest line, bytes: with room for the largest RSA key and signature. */
  readonly maxBytes: number;
  /** Makes the error for what is not such a line. */
  malformed(fact: string): Error;
  /** Makes the error for an invalid signature. */
  forged(): Error;
}

export interface SignedStatement<T> {
  readonly statement: T;
  /** Whose signature holds. Anyone can sign: whether it is the right one is the caller's matter. */
  readonly signer: SigningPublicKey;
  readonly algorithm: string;
}

/**
 * @throws TokenError `ERR_BAD_SIGNATURE`, and those of the signing key; UnsupportedError
 *   `ERR_SIGNING_KEY`; TypeError for a field of the wrong form
 */
export async function signedLine<T extends object>(
  form: LineForm<T>,
  statement: T,
  signer: SigningPublicKey,
  key: PrivateKey,
): Promise<Uint8Array> {
  const unsigned = ordered(form, {
    ...statement,
    type: form.type,
    [form.signer]: toBase64(signer.spki),
    algorithm: signatureAlgorithm(signer).name,
  });
  if (unsigned === undefined) throw new TypeError("a field of the statement has the wrong form");
  const message = signedBytes(form, unsigned);
  const signature = await requireCapability(key, "sign")(message);
  if (!verifySignature(signer, message, signature)) {
    throw new TokenError("ERR_BAD_SIGNATURE", "the signing key made an invalid signature", {
      hint: "the private key does not belong to the public key found with it",
    });
  }
  return ascii(`${JSON.stringify({ ...unsigned, signature: toBase64(signature) })}\n`);
}

/** @throws `form.malformed`: not as `signedLine` writes it; `form.forged` */
export function readSignedLine<T extends object>(
  form: LineForm<T>,
  bytes: Uint8Array,
): SignedStatement<T> {
  const { unsigned, signature } = parse(form, bytes);
  const signer = signerOf(form, unsigned);
  const algorithm = signatureAlgorithm(signer).name;
  if (algorithm !== unsigned["algorithm"]) {
    throw form.malformed(`the algorithm is not that of the ${form.signer}'s key`);
  }
  if (!verifySignature(signer, signedBytes(form, unsigned), signature)) throw form.forged();
  const statement = present(form.fields, unsigned) as T;
  return { statement, signer, algorithm };
}

// ── Details ──

type Fields = Readonly<Record<string, unknown>>;

const BASE64 = text(/^[A-Za-z0-9+/]+={0,2}$/);
const ALGORITHM = text(/^[A-Za-z0-9 -]{1,32}$/);

/** Those that are there, in their order; undefined if one of them has the wrong form. */
function ordered<T extends object>(form: LineForm<T>, values: Fields): Fields | undefined {
  const all: readonly (readonly [string, Check])[] = [
    ["type", (value) => value === form.type],
    ...form.fields,
    [form.signer, BASE64],
    ["algorithm", ALGORITHM],
  ];
  if (!all.every(([name, holds]) => holds(values[name]))) return undefined;
  return present(all, values);
}

function present(fields: readonly (readonly [string, Check])[], values: Fields): Fields {
  return defined(Object.fromEntries(fields.map(([name]) => [name, values[name]])));
}

function signedBytes<T extends object>({ label }: LineForm<T>, unsigned: Fields): Uint8Array {
  return concat(ascii(`${label}\0`), ascii(JSON.stringify(unsigned)));
}

function parse<T extends object>(
  form: LineForm<T>,
  bytes: Uint8Array,
): { unsigned: Fields; signature: Uint8Array } {
  if (bytes.length > form.maxBytes) throw form.malformed(`more than ${form.maxBytes} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    throw form.malformed("not JSON");
  }
  if (typeof value !== "object" || value === null) throw form.malformed("not an object");
  const { signature } = value as Fields;
  const unsigned = ordered(form, value as Fields);
  if (typeof signature !== "string" || unsigned === undefined) {
    throw form.malformed("a field is missing or has the wrong form");
  }
  // Another order, blanks, escapes, unknown or repeated fields: none of them survives our own
  // writing.
  const again = `${JSON.stringify({ ...unsigned, signature })}\n`;
  if (!equal(ascii(again), bytes)) throw form.malformed("not encoded as p11seal writes it");
  return { unsigned, signature: base64(form, signature) };
}

function signerOf<T extends object>(form: LineForm<T>, unsigned: Fields): SigningPublicKey {
  const cantSign = (): Error => form.malformed(`the ${form.signer}'s key can't sign`);
  try {
    const key = publicKeyFromSpki(base64(form, unsigned[form.signer] as string));
    if (key.type === "x25519" || key.type === "hybrid") throw cantSign();
    signatureAlgorithm(key);
    return key;
  } catch (error) {
    if (error instanceof P11SealError) throw cantSign();
    throw error;
  }
}

function base64<T extends object>(form: LineForm<T>, text: string): Uint8Array {
  try {
    return fromBase64(text);
  } catch {
    throw form.malformed("not canonical base64");
  }
}
