/**
 * RC2 (RFC 2268), which OpenSSL 3 keeps in a provider that Node doesn't load. A cipher of the
 * nineties with blocks of 64 bits: it is here to read what old peers wrote.
 *
 * "Effective bits" weakens a key on purpose, for export rules long gone, and changes every byte of
 * the result: both ends must agree on it.
 */
import { fromHex } from "../bytes.js";

/** The 64 words of an expanded key, and one block at a time. */
export class Rc2 {
  readonly #words: Uint16Array;

  /**
   * @param key - 1 to 128 bytes.
   * @param effectiveBits - 1 to 1024.
   */
  constructor(key: Uint8Array, effectiveBits: number) {
    this.#words = expandKey(key, effectiveBits);
  }

  /** Encrypts a block of 8 bytes (RFC 2268 §3): five mixing rounds, a mash, six, a mash, five. */
  encrypt(block: Uint8Array): Uint8Array<ArrayBuffer> {
    const k = this.#words;
    let [a, b, c, d] = wordsOf(block);
    for (let round = 0; round < 16; round++) {
      if (round === 5 || round === 11) {
        a = (a + at(k, d & 63)) & 0xffff;
        b = (b + at(k, a & 63)) & 0xffff;
        c = (c + at(k, b & 63)) & 0xffff;
        d = (d + at(k, c & 63)) & 0xffff;
      }
      const j = 4 * round;
      a = rotateLeft(a + at(k, j) + (d & c) + (~d & b), 1);
      b = rotateLeft(b + at(k, j + 1) + (a & d) + (~a & c), 2);
      c = rotateLeft(c + at(k, j + 2) + (b & a) + (~b & d), 3);
      d = rotateLeft(d + at(k, j + 3) + (c & b) + (~c & a), 5);
    }
    return bytesOf(a, b, c, d);
  }

  /** Decrypts a block of 8 bytes (RFC 2268 §4): the same steps backwards. */
  decrypt(block: Uint8Array): Uint8Array<ArrayBuffer> {
    const k = this.#words;
    let [a, b, c, d] = wordsOf(block);
    for (let round = 15; round >= 0; round--) {
      const j = 4 * round;
      d = (rotateLeft(d, 11) - at(k, j + 3) - (c & b) - (~c & a)) & 0xffff;
      c = (rotateLeft(c, 13) - at(k, j + 2) - (b & a) - (~b & d)) & 0xffff;
      b = (rotateLeft(b, 14) - at(k, j + 1) - (a & d) - (~a & c)) & 0xffff;
      a = (rotateLeft(a, 15) - at(k, j) - (d & c) - (~d & b)) & 0xffff;
      if (round === 5 || round === 11) {
        d = (d - at(k, c & 63)) & 0xffff;
        c = (c - at(k, b & 63)) & 0xffff;
        b = (b - at(k, a & 63)) & 0xffff;
        a = (a - at(k, d & 63)) & 0xffff;
      }
    }
    return bytesOf(a, b, c, d);
  }
}

/** RFC 2268 §2: the key is stretched to 128 bytes, then cut down to its effective bits. */
function expandKey(key: Uint8Array, effectiveBits: number): Uint16Array {
  const l = new Uint8Array(128);
  l.set(key);
  for (let i = key.length; i < 128; i++) {
    l[i] = piTable((at8(l, i - 1) + at8(l, i - key.length)) & 0xff);
  }
  const kept = Math.ceil(effectiveBits / 8);
  const mask = 0xff >>> (8 * kept - effectiveBits);
  l[128 - kept] = piTable(at8(l, 128 - kept) & mask);
  for (let i = 127 - kept; i >= 0; i--) l[i] = piTable(at8(l, i + 1) ^ at8(l, i + kept));

  const words = Uint16Array.from(
    { length: 64 },
    (_, i) => at8(l, 2 * i) | (at8(l, 2 * i + 1) << 8),
  );
  l.fill(0);
  return words;
}

/** Rotates the low 16 bits. */
function rotateLeft(value: number, bits: number): number {
  const word = value & 0xffff;
  return ((word << bits) | (word >>> (16 - bits))) & 0xffff;
}

type Words = [a: number, b: number, c: number, d: number];

function wordsOf(block: Uint8Array): Words {
  const word = (i: number) => at8(block, i) | (at8(block, i + 1) << 8);
  return [word(0), word(2), word(4), word(6)];
}

function bytesOf(a: number, b: number, c: number, d: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.of(a, a >>> 8, b, b >>> 8, c, c >>> 8, d, d >>> 8);
}

function at(words: Uint16Array, index: number): number {
  return words[index] as number;
}

function at8(bytes: Uint8Array, index: number): number {
  return bytes[index] as number;
}

function piTable(index: number): number {
  return PI_TABLE[index] as number;
}

/** RFC 2268 §2: a permutation of 0…255 made from the digits of pi. */
const PI_TABLE = fromHex(
  "d978f9c419ddb5ed28e9fd794aa0d89dc67e37832b76538e624c6488448bfba2" +
    "179a59f587b34f1361456d8d09817d32bd8f40eb86b77b0bf09521225c6b4e82" +
    "54d66593ce60b21c7356c014a78cf1dc1275ca1f3bbee4d1423dd430a33cb626" +
    "6fbf0eda4669075727f21d9bbc944303f811c7f690ef3ee706c3d52fc8661ed7" +
    "08e8eade8052eef784aa72ac354d6a2a961ad2715a1549744b9fd05e0418a4ec" +
    "c2e0416e0f51cbcc2491af50a1f47039997c3a8523b8b47afc02365b25559731" +
    "2d5dfa98e38a92ae05df2910676cbac9d300e6cfe19ea82c6316013f58e289a9" +
    "0d38341bab33ffb0bb480c5fb9b1cd2ec5f3db47e5a59c770aa62068fe7fc1ad",
);
