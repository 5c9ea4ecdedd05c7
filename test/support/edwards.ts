/**
 * Ed25519 (RFC 8032 §5.1) in whole numbers, written from the rule that docs/format.md gives and
 * shared with nothing in src/: slow, and easy to compare with the text. For tests alone.
 */
import { createHash } from "node:crypto";

export type Point = readonly [x: bigint, y: bigint];

const P = 2n ** 255n - 19n;
/** The order of the base point. */
export const L = 2n ** 252n + 27742317777372353535851937790883648493n;
const D = mod(-121665n * inverse(121666n));
const SQRT_MINUS_1 = power(2n, (P - 1n) / 4n);
export const NEUTRAL: Point = [0n, 1n];
export const BASE = decode(Buffer.from(`58${"66".repeat(31)}`, "hex")) as Point;

/** What the rule says of a signature, or the first of its conditions that does not hold. */
export function judge(
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): "taken" | "A" | "small A" | "R" | "s" | "equation" {
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

/** The point of 32 bytes in their canonical encoding (RFC 8032 §5.1.3); `null` for any others. */
export function decode(bytes: Uint8Array): Point | null {
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

export function encode([x, y]: Point): Uint8Array {
  return bytesOf(y | ((x & 1n) << 255n));
}

/** 32 bytes, little-endian. */
export function bytesOf(value: bigint): Uint8Array {
  return Uint8Array.from(Buffer.from(value.toString(16).padStart(64, "0"), "hex").reverse());
}

export function add(a: Point, b: Point): Point {
  return affine(addProjective([...a, 1n], [...b, 1n]));
}

export function times(scalar: bigint, point: Point): Point {
  let sum: Projective = [...NEUTRAL, 1n];
  let doubled: Projective = [...point, 1n];
  for (let rest = scalar; rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) sum = addProjective(sum, doubled);
    doubled = addProjective(doubled, doubled);
  }
  return affine(sum);
}

export function same(a: Point, b: Point): boolean {
  return a[0] === b[0] && a[1] === b[1];
}

/** True when 32 bytes are the one encoding of an element of the field, as X25519's u must be. */
export function isCanonical(bytes: Uint8Array): boolean {
  return littleEndian(bytes) < P;
}

/** The eight points whose order divides 8. */
export function smallOrderPoints(): Point[] {
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

type Projective = readonly [x: bigint, y: bigint, z: bigint];

function affine([x, y, z]: Projective): Point {
  const factor = inverse(z);
  return [mod(x * factor), mod(y * factor)];
}

/** x = (x1·y2 + x2·y1) / (1 + t), y = (y1·y2 + x1·x2) / (1 − t), t = d·x1·x2·y1·y2, over z. */
function addProjective([x1, y1, z1]: Projective, [x2, y2, z2]: Projective): Projective {
  const z = mod(z1 * z2);
  const xx = mod(x1 * x2);
  const yy = mod(y1 * y2);
  const t = mod(D * xx * yy);
  const [plus, minus] = [mod(z * z + t), mod(z * z - t)];
  const cross = mod(x1 * y2 + x2 * y1);
  return [mod(z * minus * cross), mod(z * plus * (yy + xx)), mod(plus * minus)];
}

function littleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);
}

function mod(value: bigint): bigint {
  const rest = value % P;
  return rest < 0n ? rest + P : rest;
}

function inverse(value: bigint): bigint {
  return power(mod(value), P - 2n);
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  let square = base % P;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) result = (result * square) % P;
    square = (square * square) % P;
  }
  return result;
}
