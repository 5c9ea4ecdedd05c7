/**
 * OpenSSH's own private key files (its PROTOCOL.key), without a passphrase. Node can't read them,
 * and ssh-keygen can't convert its Ed25519 keys to anything else.
 *
 * ```text
 * "openssh-key-v1" 0x00
 * string cipher, string kdf, string kdf options   "none", "none", ""
 * uint32 number of keys                           1
 * string public key                               as in `ssh.ts`
 * string uint32 check, twice; string type; the key's numbers; string comment; 1 2 3 … to 8 bytes
 * ```
 *
 * The content is secret: no message quotes any of it.
 */
import { createECDH, createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { ascii, concat, Cursor, equal, fromHex, toBase64Url } from "../../bytes.js";
import { FormatError, UnsupportedError } from "../../errors.js";
import { withoutLeadingZeros } from "../../asn1/der.js";
import { CURVES, EC_CURVES } from "./spki.js";

/** The label of its PEM block. */
export const OPENSSH_LABEL = "OPENSSH PRIVATE KEY";

/**
 * The private key in the block's bytes.
 *
 * @throws FormatError `ERR_PRIVATE_KEY`: damaged, or its halves don't belong together
 * @throws UnsupportedError `ERR_KEY_FORMAT`: encrypted; `ERR_KEY_TYPE`
 */
export function parseOpenSshPrivate(bytes: Uint8Array): KeyObject {
  const cursor = new Cursor(bytes, "OpenSSH private key", damaged);
  if (!equal(cursor.take(MAGIC.length), MAGIC)) throw damaged();
  const [cipher, kdf, options] = [text(cursor), text(cursor), string(cursor)];
  if (cursor.u32() !== 1) throw damaged();
  const publicKey = string(cursor);
  if (cipher !== "none" || kdf !== "none") throw encrypted(publicKey);
  if (options.length > 0) throw damaged();
  const secret = string(cursor);
  cursor.end();
  return privateSection(secret, publicKey);
}

function privateSection(bytes: Uint8Array, publicKey: Uint8Array): KeyObject {
  const cursor = new Cursor(bytes, "OpenSSH private key", damaged);
  if (bytes.length % BLOCK_BYTES !== 0 || cursor.u32() !== cursor.u32()) throw damaged();
  const type = text(cursor);
  const key = numbersOf(type, cursor, new Cursor(publicKey, "OpenSSH private key", damaged));
  string(cursor); // The comment.
  for (let pad = 1; cursor.left > 0; pad++) {
    if (cursor.u8() !== pad || pad >= BLOCK_BYTES) throw damaged();
  }
  return key;
}

/** Reads the key's numbers. `open` is the public key, which has to have the same ones. */
function numbersOf(type: string, secret: Cursor, open: Cursor): KeyObject {
  if (text(open) !== type) throw damaged();
  const curve = EC_CURVES.find((name) => type === `ecdsa-sha2-${CURVES[name].ssh}`);
  if (curve !== undefined) {
    const { ssh } = CURVES[curve];
    if (text(secret) !== ssh || text(open) !== ssh) throw damaged();
    const point = same(string(secret), string(open));
    const scalar = number(secret);
    open.end();
    return ecKey(curve, scalar, point);
  }
  if (type === "ssh-ed25519") {
    const point = same(string(secret), string(open));
    const seedAndPoint = string(secret);
    open.end();
    return ed25519Key(seedAndPoint, point);
  }
  if (type === "ssh-rsa") {
    const modulus = number(secret);
    const exponent = number(secret);
    same(exponent, number(open));
    same(modulus, number(open));
    open.end();
    const [d, , p, q] = [number(secret), number(secret), number(secret), number(secret)];
    return rsaKey(modulus, exponent, d, p, q);
  }
  throw new UnsupportedError("ERR_KEY_TYPE", `an OpenSSH key of type ${known(type)}`, {
    hint: "use an RSA, ECDSA or Ed25519 key that is not on a FIDO token",
  });
}

function ecKey(curve: (typeof EC_CURVES)[number], scalar: Uint8Array, point: Uint8Array) {
  const { openssl, fieldBytes: length } = CURVES[curve];
  const d = leftPadded(scalar, length);
  const ecdh = createECDH(openssl);
  attempt(() => {
    ecdh.setPrivateKey(d);
  });
  same(ecdh.getPublicKey(), point);
  const [x, y] = [point.subarray(1, 1 + length), point.subarray(1 + length)];
  return fromJwk({ kty: "EC", crv: curve, ...base64Url({ x, y, d }) });
}

function ed25519Key(seedAndPoint: Uint8Array, point: Uint8Array): KeyObject {
  if (seedAndPoint.length !== 64) throw damaged();
  same(seedAndPoint.subarray(32), point);
  const pkcs8 = concat(ED25519_PKCS8, seedAndPoint.subarray(0, 32));
  try {
    const key = createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" });
    const spki = createPublicKey(key).export({ format: "der", type: "spki" });
    same(new Uint8Array(spki).subarray(-32), point);
    return key;
  } finally {
    pkcs8.fill(0);
  }
}

function rsaKey(
  modulus: Uint8Array,
  exponent: Uint8Array,
  d: Uint8Array,
  p: Uint8Array,
  q: Uint8Array,
): KeyObject {
  // OpenSSL takes numbers that don't belong together, and then computes nonsense.
  const [n, e, D, P, Q] = [modulus, exponent, d, p, q].map(toNumber) as Numbers;
  const isWhole = P > 1n && Q > 1n && P * Q === n;
  if (!isWhole || (e * D) % (P - 1n) !== 1n || (e * D) % (Q - 1n) !== 1n) throw damaged();
  const [dp, dq, qi] = [D % (P - 1n), D % (Q - 1n), inverse(Q % P, P)].map(fromNumber);
  const numbers = { n: modulus, e: exponent, d, p, q, dp, dq, qi };
  return fromJwk({ kty: "RSA", ...base64Url(numbers) });
}

type Numbers = [bigint, bigint, bigint, bigint, bigint];

// ── Numbers and strings (RFC 4251 §5) ──

function string(cursor: Cursor): Uint8Array {
  return cursor.take(cursor.u32());
}

function text(cursor: Cursor): string {
  return Buffer.from(string(cursor)).toString("latin1");
}

/** A positive mpint, without its leading zeros. */
function number(cursor: Cursor): Uint8Array {
  const bytes = string(cursor);
  const [first = 0, second = 0] = bytes;
  if (bytes.length === 0 || (first & 0x80) !== 0) throw damaged();
  if (first === 0 && (second & 0x80) === 0) throw damaged();
  if (bytes.length > MAX_NUMBER_BYTES) throw damaged();
  return withoutLeadingZeros(bytes);
}

function toNumber(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
}

function fromNumber(value: bigint): Uint8Array {
  const hex = value.toString(16);
  return fromHex(hex.length % 2 === 0 ? hex : `0${hex}`);
}

/** By the extended Euclidean algorithm. @throws FormatError where there is none */
function inverse(value: bigint, modulus: bigint): bigint {
  let [r, next] = [modulus, value];
  let [t, nextT] = [0n, 1n];
  while (next !== 0n) {
    const quotient = r / next;
    [r, next] = [next, r - quotient * next];
    [t, nextT] = [nextT, t - quotient * nextT];
  }
  if (r !== 1n) throw damaged();
  return t < 0n ? t + modulus : t;
}

function leftPadded(bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.length > length) throw damaged();
  return concat(new Uint8Array(length - bytes.length), bytes);
}

function same(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (!equal(a, b)) throw damaged();
  return a;
}

function base64Url(members: Readonly<Record<string, Uint8Array | undefined>>) {
  return Object.fromEntries(
    Object.entries(members).map(([name, bytes = new Uint8Array()]) => [name, toBase64Url(bytes)]),
  );
}

function fromJwk(key: Record<string, string>): KeyObject {
  return attempt(() => createPrivateKey({ key, format: "jwk" }));
}

/** OpenSSL's errors may quote what they are about. */
function attempt<T>(work: () => T): T {
  try {
    return work();
  } catch {
    throw damaged();
  }
}

// ── Errors ──

function damaged(): FormatError {
  return new FormatError("ERR_PRIVATE_KEY", "damaged OpenSSH private key");
}

function encrypted(publicKey: Uint8Array): UnsupportedError {
  const type = attempt(() => text(new Cursor(publicKey, "OpenSSH private key", damaged)));
  // ssh-keygen leaves an Ed25519 key in its own format, whatever it is asked for.
  const command =
    type === "ssh-ed25519" ? "ssh-keygen -p -N '' -f COPY" : "ssh-keygen -p -m PKCS8 -f COPY";
  return new UnsupportedError("ERR_KEY_FORMAT", "a private key that OpenSSH encrypted", {
    hint: `make a copy, in a folder that only you can read, and convert it: ${command}`,
  });
}

function known(type: string): string {
  return /^[a-z0-9@.-]{1,64}$/.test(type) ? type : "nobody knows";
}

const MAGIC = concat(ascii("openssh-key-v1"), Uint8Array.of(0));

/** That of the cipher `none`. */
const BLOCK_BYTES = 8;

/** RSA with 16,384 bits. */
const MAX_NUMBER_BYTES = 2049;

/** PKCS#8 of an Ed25519 key, up to its 32 bytes (RFC 8410 §7). */
const ED25519_PKCS8 = fromHex("302e020100300506032b657004220420");
