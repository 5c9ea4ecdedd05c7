/**
 * The PIV card application (SP 800-73-4 part 2), as far as OpenSC uses it: SELECT, GET DATA, VERIFY
 * with a retry counter, GENERAL AUTHENTICATE. It counts requests, for the tests.
 */
import { createHash, createPrivateKey } from "node:crypto";
import { Status, STATUS } from "./apdu.mjs";
import { selfSigned } from "./certificate.mjs";
import { operations } from "./private-key.mjs";
import { readTlv, tlv } from "./tlv.mjs";

const INS = { verify: 0x20, authenticate: 0x87, select: 0xa4, data: 0xcb };

const AID = Buffer.from("a000000308", "hex");
const VERSION = Buffer.from("000010000100", "hex");

/** Containers of the keys' certificates (part 1, table 3); the retired keys' follow 5FC10D. */
const CERTIFICATES = new Map([
  [0x9a, 0x5fc105],
  [0x9c, 0x5fc10a],
  [0x9d, 0x5fc10b],
  [0x9e, 0x5fc101],
]);
const RETIRED = { first: 0x82, last: 0x95, container: 0x5fc10d };
const HISTORY = 0x5fc10c;

/** The key that requires the PIN right before each use, and the one that never requires it. */
const SIGNATURE = 0x9c;
const CARD_AUTHENTICATION = 0x9e;

/**
 * @typedef {object} CardKey
 * @property {number} slot key reference: 0x9a, 0x9c, 0x9d, 0x9e, 0x82 to 0x95
 * @property {string} pem private key: RSA-2048, RSA-3072, P-256 or P-384
 * @property {string} name its certificate's common name
 * @property {"exchange" | "sign"} use the use in its certificate
 *
 * @typedef {object} CardSpec
 * @property {readonly CardKey[]} keys
 * @property {string} pin six to eight characters
 * @property {number} pinTries
 * @property {string} name the card's number is derived from it
 */

export class PivApplication {
  /** @param {CardSpec} spec */
  constructor(spec) {
    this.pin = padded(Buffer.from(spec.pin));
    this.pinTries = spec.pinTries;
    this.triesLeft = spec.pinTries;
    /** PINs received, right and wrong. A query of the counter does not count. */
    this.pinsSeen = 0;
    /** Private key operations started. */
    this.operations = 0;
    /** @type {"no" | "just now" | "yes"} */
    this.verified = "no";
    /** @type {Map<number, import("./private-key.mjs").Operations>} */
    this.keys = new Map();
    this.objects = dataObjects(spec.name);
    let retired = 0;
    for (const { slot, pem, name, use } of spec.keys) {
      const key = createPrivateKey(pem);
      const certificate = selfSigned(key, { name, use });
      const isRetired = slot >= RETIRED.first && slot <= RETIRED.last;
      if (isRetired) retired += 1;
      const container = isRetired
        ? RETIRED.container + slot - RETIRED.first
        : CERTIFICATES.get(slot);
      if (container === undefined) throw new Error(`no key slot ${slot.toString(16)}`);
      this.keys.set(slot, operations(key));
      this.objects.set(container, certificateObject(certificate));
    }
    this.objects.set(HISTORY, historyObject(retired));
  }

  /** Power was lost: the PIN must be entered again. */
  reset() {
    this.verified = "no";
  }

  /** No try is left. */
  block() {
    this.triesLeft = 0;
    this.verified = "no";
  }

  /**
   * @param {import("./apdu.mjs").Command} command
   * @returns {Buffer} the response's data
   * @throws Status
   */
  answer(command) {
    switch (command.ins) {
      case INS.select:
        return select(command);
      case INS.data:
        return this.dataObject(command);
      case INS.verify:
        return this.verify(command);
      case INS.authenticate:
        return this.authenticate(command);
      default:
        throw new Status(STATUS.unknownInstruction);
    }
  }

  /** @param {import("./apdu.mjs").Command} command */
  dataObject({ p1, p2, data }) {
    if (p1 !== 0x3f || p2 !== 0xff) throw new Status(STATUS.badParameters);
    const name = fields(data).get(0x5c);
    if (name === undefined || name.length === 0) throw new Status(STATUS.badData);
    const object = this.objects.get(name.readUIntBE(0, name.length));
    if (object === undefined) throw new Status(STATUS.notFound);
    return object;
  }

  /** @param {import("./apdu.mjs").Command} command */
  verify({ p1, p2, data }) {
    if (p2 !== 0x80) throw new Status(STATUS.unknownReference);
    if (p1 === 0xff) this.verified = "no";
    if (data.length === 0) {
      if (p1 === 0xff || this.verified !== "no") return Buffer.alloc(0);
      throw new Status(this.triesLeft === 0 ? STATUS.blocked : 0x63c0 | this.triesLeft);
    }
    this.pinsSeen += 1;
    if (this.triesLeft === 0) throw new Status(STATUS.blocked);
    if (data.length !== 8) throw new Status(STATUS.badData);
    if (!data.equals(this.pin)) {
      this.verified = "no";
      this.triesLeft -= 1;
      throw new Status(this.triesLeft === 0 ? STATUS.blocked : 0x63c0 | this.triesLeft);
    }
    this.triesLeft = this.pinTries;
    this.verified = "just now";
    return Buffer.alloc(0);
  }

  /** @param {import("./apdu.mjs").Command} command */
  authenticate({ p1, p2, data }) {
    const key = this.keys.get(p2);
    if (key === undefined) throw new Status(STATUS.unknownReference);
    if (key.algorithm !== p1) throw new Status(STATUS.badParameters);
    const isAllowed =
      p2 === CARD_AUTHENTICATION ||
      (p2 === SIGNATURE ? this.verified === "just now" : this.verified !== "no");
    if (!isAllowed) throw new Status(STATUS.notAllowed);
    if (this.verified === "just now") this.verified = "yes";
    this.operations += 1;
    const template = fields(fields(data).get(0x7c) ?? Buffer.alloc(0));
    const challenge = template.get(0x81);
    const point = template.get(0x85);
    try {
      if (point !== undefined) return response(key.agree(point));
      if (challenge !== undefined) return response(key.transform(challenge));
    } catch {
      throw new Status(STATUS.badData);
    }
    throw new Status(STATUS.badData);
  }
}

/** @param {import("./apdu.mjs").Command} command */
function select({ p1, data }) {
  const whole = Buffer.concat([AID, VERSION]);
  const isOurs = data.length >= AID.length && whole.subarray(0, data.length).equals(data);
  if (p1 !== 0x04 || !isOurs) throw new Status(STATUS.notFound);
  return tlv(0x61, tlv(0x4f, VERSION), tlv(0x79, tlv(0x4f, AID)));
}

/** @param {Buffer} result */
function response(result) {
  return tlv(0x7c, tlv(0x82, result));
}

/**
 * @param {Buffer} data
 * @throws Status
 */
function fields(data) {
  try {
    return readTlv(data);
  } catch {
    throw new Status(STATUS.badData);
  }
}

/**
 * Card holder's identifier, capabilities and discovery object (part 1, §3.1 and §3.3.2).
 * @param {string} name
 * @returns {Map<number, Buffer>}
 */
function dataObjects(name) {
  const number = createHash("sha256").update(name).digest().subarray(0, 16);
  // Agency 9999: the card's number is the GUID.
  const fascn = Buffer.from("d4e739da739ced39ce739d836858210842108421c84210c3eb", "hex");
  const end = Buffer.from("fe00", "hex");
  const identifier = Buffer.concat([
    tlv(0x30, fascn),
    tlv(0x34, number),
    tlv(0x35, Buffer.from("20491231")),
    Buffer.from("3e00", "hex"),
    end,
  ]);
  const capabilities = Buffer.concat([
    tlv(0xf0, Buffer.from("a000000116ff02", "hex"), number.subarray(0, 14)),
    ...[0xf1, 0xf2].map((tag) => tlv(tag, Buffer.of(0x21))),
    Buffer.from("f300f40100f50110f600f700fa00fb00fc00fd00", "hex"),
    end,
  ]);
  const discovery = tlv(
    0x7e,
    tlv(0x4f, AID, VERSION),
    // Only the PIV card application PIN.
    tlv(0x5f2f, Buffer.from("4000", "hex")),
  );
  return new Map([
    [0x5fc102, tlv(0x53, identifier)],
    [0x5fc107, tlv(0x53, capabilities)],
    [0x7e, discovery],
  ]);
}

/** @param {Buffer} certificate DER */
function certificateObject(certificate) {
  return tlv(0x53, tlv(0x70, certificate), Buffer.from("710100fe00", "hex"));
}

/**
 * The number of retired keys with a certificate on the card (part 1, §3.3.3).
 * @param {number} count
 */
function historyObject(count) {
  return tlv(0x53, tlv(0xc1, Buffer.of(count)), Buffer.from("c20100f300fe00", "hex"));
}

/** @param {Buffer} pin */
function padded(pin) {
  return Buffer.concat([pin, Buffer.alloc(8 - pin.length, 0xff)]);
}
