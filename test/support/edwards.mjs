/**
 * Ed25519 (RFC 8032 §5.1) in whole numbers, written from the rule that docs/format.md gives and
 * shared with nothing in src/: slow, and easy to compare with the text. For tests alone.
 */
import { createHash } from "node:crypto";

/** @typedef {readonly [x: bigint, y: bigint]} Point */

const P = 2n ** 255n - 19n;
/** The order of the base point. */
export const L = 2n ** 252n + 27742317777372353535851937790883648493n;
const D = mod(-121665n * inverse(121666n));
const SQRT_MINUS_1 = power(2n, (P - 1n) / 4n);
/** @type {Point} */
export const NEUTRAL = [0n, 1n];
export const BASE = /** @type {Point} */ (decode(Buffer.from(`58${"66".repeat(31)}`, "hex")));

/**
 * What the rule says of a signature, or the first of its conditions that does not hold.
 * @param {Uint8Array} publicKey @param {Uint8Array} message @param {Uint8Array} signature
 * @returns {"taken" | "A" | "small A" | "R" | "s" | "equation"}
 */
export function judge(publicKey, message, signature) {
  const a = decode(publicKey);
  if (a === null) return "A";
  if (same(times(8n, a), NEUTRAL)) return "small A";
  const r = decode(signature.subarray(0, 32));
  if (r === null) return "R";
  const s = littleEndian(signature.subarray(32));
  if (s >= L) return "s";
  const hash = createHash("sha512")
    .update(signature.subarray(0, 32))
    .update(publicKey)
    .update(message);
  const k = littleEndian(hash.digest()) % L;
  return same(times(s, BASE), add(r, times(k, a))) ? "taken" : "equation";
}

/**
 * The point of 32 bytes in their canonical encoding (RFC 8032 §5.1.3); `null` for any others.
 * @param {Uint8Array} bytes @returns {Point | null}
 */
export function decode(bytes) {
  const encoded = littleEndian(bytes);
  const sign = encoded >> 255n;
  const y = encoded & (2n ** 255n - 1n);
  if (y >= P) return null;
  const xx = mod((y * y - 1n) * inverse(D * y * y + 1n));
  let x = power(xx, (P + 3n) / 8n);
  if (mod(x * x) !== xx) x = mod(x * SQRT_MINUS_1);
  if (mod(x * x) !== xx || (x === 0n && sign === 1n)) return null;
  return [(x & 1n) === sign ? x : mod(-x), y];
}

/** @param {Point} point @returns {Uint8Array} */
export function encode([x, y]) {
  return bytesOf(y | ((x & 1n) << 255n));
}

/** 32 bytes, little-endian. @param {bigint} value @returns {Uint8Array} */
export function bytesOf(value) {
  return Uint8Array.from(Buffer.from(value.toString(16).padStart(64, "0"), "hex").reverse());
}

/** @param {Point} a @param {Point} b */
export function add(a, b) {
  return affine(addProjective([...a, 1n], [...b, 1n]));
}

/** @param {bigint} scalar @param {Point} point */
export function times(scalar, point) {
  /** @type {Projective} */
  let sum = [...NEUTRAL, 1n];
  /** @type {Projective} */
  let doubled = [...point, 1n];
  for (let rest = scalar; rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) sum = addProjective(sum, doubled);
    doubled = addProjective(doubled, doubled);
  }
  return affine(sum);
}

/** @param {Point} a @param {Point} b */
export function same(a, b) {
  return a[0] === b[0] && a[1] === b[1];
}

/**
 * True when 32 bytes are the one encoding of an element of the field, as X25519's u must be.
 * @param {Uint8Array} bytes
 */
export function isCanonical(bytes) {
  return littleEndian(bytes) < P;
}

/** The eight points whose order divides 8. @returns {Point[]} */
export function smallOrderPoints() {
  // L times any point is one of them; some point gives one of order 8, which makes them all.
  for (let y = 2n; ; y++) {
    const point = decode(bytesOf(y));
    if (point === null) continue;
    const torsion = times(L, point);
    if (!same(times(4n, torsion), NEUTRAL)) {
      return Array.from({ length: 8 }, (_, i) => times(BigInt(i), torsion));
    }
  }
}

/** @typedef {readonly [x: bigint, y: bigint, z: bigint]} Projective */

/** @param {Projective} point @returns {Point} */
function affine([x, y, z]) {
  const factor = inverse(z);
  return [mod(x * factor), mod(y * factor)];
}

/**
 * x = (x1·y2 + x2·y1) / (1 + t), y = (y1·y2 + x1·x2) / (1 − t), t = d·x1·x2·y1·y2, over
 * z.
 * @param {Projective} a @param {Projective} b @returns {Projective}
 */
function addProjective([x1, y1, z1], [x2, y2, z2]) {
  const z = mod(z1 * z2);
  const xx = mod(x1 * x2);
  const yy = mod(y1 * y2);
  const t = mod(D * xx * yy);
  const [plus, minus] = [mod(z * z + t), mod(z * z - t)];
  const cross = mod(x1 * y2 + x2 * y1);
  return [mod(z * minus * cross), mod(z * plus * (yy + xx)), mod(plus * minus)];
}

/** @param {Uint8Array} bytes */
export function littleEndian(bytes) {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);
}

/** @param {bigint} value */
function mod(value) {
  const rest = value % P;
  return rest < 0n ? rest + P : rest;
}

/** @param {bigint} value */
function inverse(value) {
  return power(mod(value), P - 2n);
}

/** @param {bigint} base @param {bigint} exponent @param {bigint} modulus */
export function power(base, exponent, modulus = P) {
  let result = 1n;
  let square = base % modulus;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) result = (result * square) % modulus;
    square = (square * square) % modulus;
  }
  return result;
}
