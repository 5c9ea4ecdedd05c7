/**
 * Which 32 bytes are a public key on Curve25519: for X25519 (RFC 7748 §5) a u-coordinate, for
 * Ed25519 (RFC 8032 §5.1.3) a point. OpenSSL takes any 32 bytes for either and leaves the rest to
 * its caller.
 *
 * Both must be in their one canonical encoding, since a key's SHA-256 is its name here: two
 * encodings of one key would be two names. An Ed25519 point must be on the curve and not of small
 * order: for such a "key" anybody can make signatures that verify. Public values only, so time does
 * not matter.
 */
import { fromHex } from "../bytes.js";
import { FormatError, PolicyError } from "../errors.js";

/**
 * @param u - little-endian.
 * @throws FormatError `ERR_POINT`: not 32 bytes, or the number is not below 2^255 − 19.
 */
export function requireX25519(u: Uint8Array): void {
  requireLength("X25519", u);
  if (littleEndian(u) < P) return;
  throw new FormatError("ERR_POINT", "X25519 key is not in its canonical encoding");
}

/**
 * @param point - y, little-endian, and the sign of x in the highest bit.
 * @throws FormatError `ERR_POINT`: not 32 bytes, y is not below 2^255 − 19, or no point of the
 *   curve has it.
 * @throws PolicyError `ERR_WEAK_KEY`: one of the eight points of small order.
 */
export function requireEd25519(point: Uint8Array): void {
  requireLength("Ed25519", point);
  const y = littleEndian(point) & ~SIGN;
  if (y >= P) {
    throw new FormatError("ERR_POINT", "Ed25519 key is not in its canonical encoding");
  }
  // This takes both points with x = 0 as well, so "−0" (RFC 8032 §5.1.3 step 4) is refused.
  if (SMALL_ORDER_Y.has(y)) {
    throw new PolicyError("ERR_WEAK_KEY", "Ed25519 key has small order: anybody can sign for it", {
      hint: "no sound program makes such a key; ask its owner, and whoever gave it to you",
    });
  }
  if (!isSquare((y * y - 1n) * (D * y * y + 1n))) {
    throw new FormatError("ERR_POINT", "point is not on the curve of Ed25519");
  }
}

/**
 * True for x² = (y² − 1) / (d·y² + 1), given the product of the two, which is a square alike.
 *
 * For a prime p that is its Jacobi symbol, which takes a Euclidean descent instead of the 255
 * squarings of Euler's criterion: a ninth of the time, and every signed message has such a key.
 */
function isSquare(value: bigint): boolean {
  let [top, bottom] = [value % P, P];
  if (top === 0n) return true;
  let isResidue = true;
  // `bottom` is odd throughout; when nothing is left of `top`, it is their common divisor, 1.
  while (top !== 0n) {
    const twos = trailingZeros(top);
    top >>= BigInt(twos);
    // (2 / n) is −1 for n ≡ ±3 modulo 8; two odd numbers ≡ 3 modulo 4 swap with a minus.
    if (twos % 2 === 1 && [3n, 5n].includes(bottom & 7n)) isResidue = !isResidue;
    if ((bottom & 3n) === 3n && (top & 3n) === 3n) isResidue = !isResidue;
    [top, bottom] = [bottom % top, top];
  }
  return isResidue;
}

/** Of a number above 0: how often it can be halved. */
function trailingZeros(value: bigint): number {
  let zeros = 0;
  let low = lowWord(value);
  for (; low === 0; low = lowWord(value >> BigInt(zeros))) zeros += 32;
  return zeros + 31 - Math.clz32(low & -low);
}

function lowWord(value: bigint): number {
  return Number(BigInt.asUintN(32, value));
}

function requireLength(name: string, point: Uint8Array): void {
  if (point.length === 32) return;
  throw new FormatError("ERR_POINT", `${name} key has ${point.length} bytes instead of 32`);
}

function littleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);
}

const P = 2n ** 255n - 19n;
const SIGN = 2n ** 255n;
/** −121665/121666 (RFC 8032 §5.1). */
const D = 0x52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3n;

/**
 * y of a point of order 8; the others are −y, 0 (order 4), −1 (order 2) and 1 (neutral).
 */
const ORDER_8_Y = littleEndian(
  fromHex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
);
const SMALL_ORDER_Y: ReadonlySet<bigint> = new Set([0n, 1n, P - 1n, ORDER_8_Y, P - ORDER_8_Y]);
