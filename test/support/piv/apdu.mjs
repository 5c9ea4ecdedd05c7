/**
 * Commands and responses (ISO 7816-4 §5): short APDUs, command chaining in, response chaining out.
 * A response has at most 255 bytes with its status word, see reader.mjs.
 */

/**
 * @typedef {object} Command
 * @property {number} ins
 * @property {number} p1
 * @property {number} p2
 * @property {Buffer} data chained parts joined
 */

/** A status word other than success. */
export class Status extends Error {
  /** @param {number} word as in 0x6a82 */
  constructor(word) {
    super(`status ${word.toString(16)}`);
    this.word = word;
  }
}

export const STATUS = {
  wrongLength: 0x6700,
  notAllowed: 0x6982,
  blocked: 0x6983,
  badData: 0x6a80,
  notFound: 0x6a82,
  badParameters: 0x6a86,
  unknownReference: 0x6a88,
  unknownInstruction: 0x6d00,
  fault: 0x6f00,
};

const CHAINED = 0x10;
const GET_RESPONSE = 0xc0;
const AT_ONCE = 253;

export class ApduChannel {
  /** @param {(command: Command) => Promise<Buffer>} handle the card; throws a `Status` to refuse */
  constructor(handle) {
    this.handle = handle;
    /** @type {Buffer[]} */
    this.parts = [];
    /** @type {Buffer} */
    this.left = Buffer.alloc(0);
  }

  /** Forgets an unfinished exchange: the card was reset. */
  reset() {
    this.parts = [];
    this.left = Buffer.alloc(0);
  }

  /**
   * @param {Buffer} apdu
   * @returns {Promise<Buffer>} response with its status word
   */
  async transmit(apdu) {
    const [cla = 0, ins = 0, p1 = 0, p2 = 0, lc] = apdu;
    if (apdu.length < 4) return word(STATUS.wrongLength);
    if (ins === GET_RESPONSE) return this.next();
    const data = lc === undefined || apdu.length === 5 ? Buffer.alloc(0) : apdu.subarray(5, 5 + lc);
    if (data.length > 0 && data.length !== lc) return word(STATUS.wrongLength);
    this.parts.push(data);
    if ((cla & CHAINED) !== 0) return word(0x9000);
    const whole = Buffer.concat(this.parts);
    this.reset();
    try {
      this.left = await this.handle({ ins, p1, p2, data: whole });
      return this.next();
    } catch (error) {
      return word(error instanceof Status ? error.word : STATUS.fault);
    }
  }

  next() {
    const now = this.left.subarray(0, AT_ONCE);
    this.left = this.left.subarray(now.length);
    const more = Math.min(this.left.length, AT_ONCE);
    return Buffer.concat([now, word(more === 0 ? 0x9000 : 0x6100 | more)]);
  }
}

/** @param {number} value */
function word(value) {
  return Buffer.of(value >> 8, value & 0xff);
}
