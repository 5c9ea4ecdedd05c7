/**
 * RC4, which OpenSSL 3 keeps in a provider that Node doesn't load. Broken (RFC 7465): it is here to
 * read what Microsoft's samples wrote. Tested against RFC 6229.
 */

/**
 * The cipher's state after the key schedule; `update` encrypts and decrypts, the stream goes on.
 */
export class Rc4 {
  readonly #state = Uint8Array.from({ length: 256 }, (_, index) => index);
  #i = 0;
  #j = 0;

  constructor(key: Uint8Array) {
    const s = this.#state;
    for (let i = 0, j = 0; i < 256; i++) {
      const kept = s[i] as number;
      j = (j + kept + (key[i % key.length] as number)) & 0xff;
      s[i] = s[j] as number;
      s[j] = kept;
    }
  }

  update(data: Uint8Array): Uint8Array<ArrayBuffer> {
    const result = new Uint8Array(data.length);
    const s = this.#state;
    let i = this.#i;
    let j = this.#j;
    for (let n = 0; n < data.length; n++) {
      i = (i + 1) & 0xff;
      const a = s[i] as number;
      j = (j + a) & 0xff;
      const b = s[j] as number;
      s[i] = b;
      s[j] = a;
      result[n] = (data[n] as number) ^ (s[(a + b) & 0xff] as number);
    }
    this.#i = i;
    this.#j = j;
    return result;
  }
}
