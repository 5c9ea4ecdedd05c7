/**
 * A reader of messages, written from docs/format.md alone. Numbers in brackets are its sections. It
 * shares nothing with src/, holds everything in memory, and throws for everything that the page
 * refuses.
 */
import { createPublicKey, privateDecrypt, verify, constants } from "node:crypto";
import { isCanonical, judge } from "../support/edwards.mjs";
import * as f from "./formulas.mjs";

/** A message's content, and every intermediate value of opening it, under the page's names. */
export interface PageMessage {
  readonly plaintext: Buffer;
  readonly values: ReadonlyMap<string, Buffer>;
}

export interface PageOptions {
  /** The one custodian whom the reader takes: SHA-256 of the SPKI. By default nobody. */
  readonly custodian?: Uint8Array;
  /** Reads as 0.1.0 did: EXT has no type that it knows [15]. */
  readonly knowsNoExtension?: boolean;
}

/** Opens a whole message with a private key in PEM, taking the checks in the order of [13]. */
export function readMessage(
  message: Uint8Array,
  pem: string,
  options: PageOptions = {},
): PageMessage {
  const values = new Map<string, Buffer>();
  const note = (name: string, bytes: Uint8Array) => {
    values.set(name, Buffer.from(bytes));
    return values.get(name) as Buffer;
  };
  const input = new Bytes(message);

  // [3]
  require(input.take(8).toString("hex") === "8b5031310d0a1a0a", "magic");
  require(input.uint(1) === 1 && input.uint(1) === 1, "version, suite");
  const segLog2 = input.uint(1);
  const flags = input.uint(1);
  require(segLog2 >= 12 && segLog2 <= 22 && flags <= 1, "segLog2, flags");
  const signed = flags === 1;
  const coreBytes = input.block(65_536);
  const signedBytes = input.read;
  const sigBlock = signed ? input.block(16_384) : undefined;
  const immutable = input.read;
  const extBlock = input.block(65_536);
  const recips = input.read.length;
  const stanzas = readStanzas(input.block(4_194_304));
  const transcript = input.read;
  const mac = input.take(32);

  const core = readCore(coreBytes, signed);
  const messageId = note("message id", core.get(1) as Buffer);
  const extensions = readExtensions(extBlock);
  const signers = sigBlock === undefined ? [] : [verifySig(sigBlock, signedBytes, core)];
  const recipsHash = f.hash("sha256", transcript.subarray(recips));
  const record = options.knowsNoExtension ? undefined : heldRecord(extensions);
  const isPassedOn = signed && !recipsHash.equals(core.get(9) as Buffer);
  require(!isPassedOn || record !== undefined, "RECIPS");
  if (record !== undefined) signers.push(record.signer);
  for (const signer of signers) {
    const signerTag = f.stanzaTag(messageId, signer);
    const tags = [...addresseesOf(core, 7), ...addresseesOf(record?.fields, 5)];
    const named = stanzas.some(({ tag }) => tag.equals(signerTag)) || isAmong(tags, signer);
    require(!named, "one key to sign and to receive");
  }
  require(signers.length < 2 || !signers[0]?.equals(signers[1] as Buffer), "one key for two");
  if (isPassedOn && record !== undefined) {
    const taken = options.custodian && f.hash("sha256", record.signer).equals(options.custodian);
    require(taken === true, "the custodian");
  }
  const addressees = isPassedOn ? addresseesOf(record?.fields, 5) : addresseesOf(core, 7);

  // [7.2], [13] step 9
  const spki = note("SPKI", f.spkiOf(pem));
  const spkiHash = note("SHA-256(SPKI)", f.hash("sha256", spki));
  const tag = note("tag", f.stanzaTag(messageId, spki));
  const stanza = stanzas.find((s) => s.tag.equals(tag));
  require(stanza !== undefined, "no stanza for this key");
  require(!signed || isAmong(addressees, spki), "not addressed to this reader");

  // [7.3], [7.4]; [8], [9]
  const fileKey = note("file key", unwrap(stanza));
  require(fileKey.length === 32, "a file key of another length");
  const macKey = note("MAC key", f.fromFileKey(fileKey, "p11seal/v1 header mac"));
  require(note("MAC", f.hmac("sha256", macKey, transcript)).equals(mac), "MAC");

  // [10]
  const floeKey = note("FLOE key", f.fromFileKey(fileKey, "p11seal/v1 floe"));
  const aad = note("body aad", f.hash("sha384", immutable));
  const start = input.take(42);
  require(start.subarray(0, 10).equals(f.floeParameters(segLog2)), "FLOE parameters");
  const { headerTag, messageKey } = f.floeStart(floeKey, start, aad);
  require(note("FLOE header tag", headerTag).equals(input.take(32)), "FLOE header tag");
  note("FLOE message key", messageKey);
  const parts: Buffer[] = [];
  const leaves: Buffer[] = [];
  for (let i = 0, final = false; !final; i++) {
    const length = input.peek(4).readUInt32BE();
    final = length !== 0xffff_ffff;
    require(!final || (length >= 32 && length <= 2 ** segLog2), "a segment's length");
    const segment = input.take(final ? length : 2 ** segLog2);
    const key = note("segment key", f.segmentKey(messageKey, start, aad, i));
    const segmentAad = note("segment aad", f.segmentAad(i, final));
    parts.push(f.gcmOpen(key, segment.subarray(4, 16), segmentAad, segment.subarray(16)));
    leaves.push(segment);
    require(!final || i === 0 || length > 32, "an empty last segment");
  }
  const plaintext = note("plaintext", Buffer.concat(parts));

  // [11]
  if (signed) {
    const summary = [f.hash("sha384", immutable), start, headerTag, f.treeHash(leaves)];
    const counts = [f.uint(8, plaintext.length), f.uint(8, leaves.length)];
    const text = f.join(f.ascii("p11seal/v1 body\0"), ...summary, ...counts);
    require(judge(core.get(8) as Buffer, text, input.take(64)) === "taken", "TRAILER");
  }
  require(input.left === 0, "data after the end");
  return { plaintext, values };

  function addresseesOf(map: ReadonlyMap<number, Value> | undefined, key: number): Buffer[] {
    return (map?.get(key) ?? []) as Buffer[];
  }

  function isAmong(tags: readonly Buffer[], key: Uint8Array): boolean {
    const name = f.join(f.ascii("p11seal/v1 addr"), messageId);
    const tag = f.hmac("sha256", name, f.hash("sha256", key));
    return tags.some((one) => one.equals(tag));
  }

  /** [6.1] */
  function heldRecord(all: readonly Extension[]) {
    const records = all.filter(({ type }) => type === 0x8001);
    require(records.length <= 1, "two records");
    const [block] = records;
    if (block === undefined) return undefined;
    const parts = new Bytes(block.body);
    const encoded = parts.block(65_536);
    const sig = parts.block(65_536);
    require(parts.left === 0, "data after the record");
    const fields = readMap(encoded, RECORD_FIELDS, signed ? [1, 2, 3, 4, 5, 6] : [1, 2, 3, 4, 6]);
    require(signed || !fields.has(5), "addressees that nobody addressed");
    require((fields.get(3) as number) >= 1, "a generation");
    const text = f.join(
      f.ascii("p11seal/v1 rewrap\0"),
      f.hash("sha384", f.join(immutable, encoded)),
    );
    const signer = verifyKeySignature(sig, text, fields.get(2) as Buffer);
    require(recipsHash.equals(fields.get(6) as Buffer), "the record's RECIPS");
    return { signer, fields };
  }

  /** [6], [6.2] */
  function readExtensions(block: Buffer): Extension[] {
    const blocks = new Bytes(block);
    const found: Extension[] = [];
    while (blocks.left > 0) {
      const type = blocks.uint(2);
      require(type >= 0x8000, "an extension that must be understood");
      found.push({ type, body: blocks.block(65_536) });
    }
    if (options.knowsNoExtension) return found;
    const padding = found.findIndex(({ type }) => type === 0x8002);
    require(padding === -1 || padding === found.length - 1, "padding that is not last");
    require(!found[padding]?.body.some((byte) => byte !== 0), "padding that is not zero");
    return found;
  }

  function unwrap({ type, body }: Stanza): Buffer {
    if (type === 1) {
      const oaepHash = ["sha1", "sha256", "sha384", "sha512"][(body[0] ?? 0) - 1] as string;
      const padding = constants.RSA_PKCS1_OAEP_PADDING;
      return privateDecrypt({ key: pem, padding, oaepHash }, body.subarray(2));
    }
    const kem = type as keyof typeof f.KEMS;
    const { encBytes } = f.KEMS[kem];
    const enc = body.subarray(0, encBytes);
    const hybrid = f.hybridOf(pem);
    if (hybrid !== undefined) {
      require(type === hybrid.type, "a stanza for another kind of key");
      const { key, nonce } = f.scheduleFrom(kem, f.decapsulate(hybrid, enc), messageId);
      return f.gcmOpen(key, nonce, spkiHash, body.subarray(encBytes));
    }
    require(type !== 5 || isCanonical(enc), "an enc in another encoding");
    const dh = note("dh", f.agree(pem, enc));
    require(type !== 5 || !dh.equals(Buffer.alloc(32)), "an all-zero X25519 result");
    const hpke = f.hpkeSchedule(kem, dh, enc, spki.subarray(-encBytes), messageId);
    note("shared_secret", hpke.shared);
    const key = note("HPKE key", hpke.key);
    const nonce = note("HPKE base_nonce", hpke.nonce);
    return f.gcmOpen(key, nonce, spkiHash, body.subarray(encBytes));
  }
}

interface Stanza {
  readonly type: number;
  readonly tag: Buffer;
  readonly body: Buffer;
}

/** [7.1] */
function readStanzas(block: Buffer): Stanza[] {
  const input = new Bytes(block);
  const count = input.uint(2);
  require(count >= 1 && count <= 2048, "stanza count");
  const stanzas = Array.from({ length: count }, () => {
    const stanza = { type: input.uint(2), tag: input.take(8), body: input.block(4_194_304) };
    const { type, body } = stanza;
    if (type === 1) {
      const known = body[0] === body[1] && (body[0] ?? 0) >= 1 && (body[0] ?? 0) <= 4;
      require(known && body.length >= 258 && body.length <= 1026, "an RSA-OAEP stanza");
    } else if (type in f.KEMS) {
      const { encBytes } = f.KEMS[type as keyof typeof f.KEMS];
      require(body.length === encBytes + 48, "an HPKE stanza");
    }
    return stanza;
  });
  require(input.left === 0, "data after the last stanza");
  require(new Set(stanzas.map(({ tag }) => tag.toString("hex"))).size <= 1024, "recipients");
  return stanzas;
}

interface Extension {
  readonly type: number;
  readonly body: Buffer;
}

type Value = number | Buffer | Value[];

/** Per key: the size of a byte string; or a number; or addressees. */
type Fields = Readonly<Record<number, number | "uint" | "tags">>;

const CORE_FIELDS: Fields = {
  ...{ 1: 16, 2: "uint", 3: "uint", 4: 32, 5: 16, 6: "uint", 7: "tags", 8: 32, 9: 32, 64: 32 },
};
const RECORD_FIELDS: Fields = {
  ...{ 1: "uint", 2: 32, 3: "uint", 4: 32, 5: "tags", 6: 32, 7: 32 },
};

/** [4] */
function readCore(bytes: Buffer, signed: boolean): ReadonlyMap<number, Value> {
  return signed
    ? readMap(bytes, CORE_FIELDS, [1, 2, 4, 5, 6, 7, 8, 9])
    : readMap(bytes, { 1: 16 }, [1]);
}

/** [4]: a map, if it is deterministic and has the required keys with their types. */
function readMap(
  bytes: Buffer,
  fields: Fields,
  required: readonly number[],
): ReadonlyMap<number, Value> {
  const input = new Bytes(bytes);
  const map = new Map<number, Value>();
  const entries = head(5);
  let last = -1;
  for (let i = 0; i < entries; i++) {
    const key = head(0);
    const kind = fields[key];
    require(key > last && (key > 63 || kind !== undefined), "a key of a map");
    last = key;
    const value = kind === "uint" ? head(0) : kind === "tags" ? array() : text();
    require(typeof kind !== "number" || (value as Buffer).length === kind, `the size of ${key}`);
    map.set(key, value);
  }
  require(input.left === 0, "data after a map");
  require(required.every((key) => map.has(key)), "a key that is missing");
  return map;

  function head(major: number): number {
    const first = input.uint(1);
    require(first >> 5 === major, "a type in CORE");
    const short = first & 31;
    if (short < 24) return short;
    const size = { 24: 1, 25: 2, 26: 4, 27: 8 }[short];
    require(size !== undefined, "an indefinite length");
    const value = input.uint(size);
    require(value >= (size === 1 ? 24 : 2 ** (size * 4)), "a long head");
    return value;
  }
  function text(): Buffer {
    return input.take(head(2));
  }
  function array(): Value {
    const items = Array.from({ length: head(4) }, text);
    const count = items.length >= 1 && items.length <= 1024;
    require(count && items.every(({ length }) => length === 32), "addressees");
    return items;
  }
}

/** [5]; the SPKI of who signed. */
function verifySig(block: Buffer, signedBytes: Buffer, core: ReadonlyMap<number, Value>): Buffer {
  const message = f.join(f.ascii("p11seal/v1 core\0"), f.hash("sha384", signedBytes));
  const signer = verifyKeySignature(block, message, core.get(4) as Buffer);
  requireOneTimeKey(core);
  return signer;
}

/** [5], [6.1]: the SPKI of the key with this id, which signed the message. */
function verifyKeySignature(block: Buffer, message: Buffer, keyId: Buffer): Buffer {
  const input = new Bytes(block);
  const algorithm = input.uint(2);
  const spki = input.take(input.uint(2));
  const signature = input.take(input.uint(2));
  require(input.left === 0, "data after the signature");
  require(f.hash("sha256", spki).equals(keyId), "the signer's key id");
  // [5.2]
  const raw = spki.subarray(12);
  if (algorithm === 4) {
    require(spki.length === 44 && spki.subarray(0, 12).equals(ED25519), "an Ed25519 key");
    require(judge(raw, message, signature) === "taken", "the signature");
    return spki;
  }
  const key = createPublicKey({ key: spki, format: "der", type: "spki" });
  const { namedCurve, modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  const kind = key.asymmetricKeyType === "ec" ? namedCurve : key.asymmetricKeyType;
  require(kind === ["", "prime256v1", "secp384r1", "rsa"][algorithm], "the algorithm");
  const pem = key.export({ format: "pem", type: "spki" }) as string;
  require(f.spkiOf(pem).equals(spki), "the key's one encoding");
  const size = algorithm === 3 ? Math.ceil(modulusLength / 8) : [0, 64, 96][algorithm];
  require(signature.length === size, "the signature's length");
  if (algorithm === 3) {
    require(modulusLength >= 1024 && modulusLength <= 8192, "the modulus' size");
    require(publicExponent < 2n ** 32n, "the exponent's size");
  } else {
    // OpenSSL writes a point out as it read it.
    require(spki.at(-1 - size) === 4, "an uncompressed point");
  }
  const digest = algorithm === 2 ? "sha384" : "sha256";
  const options =
    algorithm === 3
      ? { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
      : { key, dsaEncoding: "ieee-p1363" as const };
  require(verify(digest, message, options, signature), "the signature");
  return spki;
}

/** [5.2], for the key that signs TRAILER. */
function requireOneTimeKey(core: ReadonlyMap<number, Value>): void {
  // Of a signature of zeros there is only the key to judge before the equation.
  const verdict = judge(core.get(8) as Buffer, Buffer.alloc(0), Buffer.alloc(64));
  require(verdict !== "A" && verdict !== "small A", "the one-time key");
}

const ED25519 = Buffer.from("302a300506032b6570032100", "hex");

function require(fact: boolean, what: string): asserts fact {
  if (!fact) throw new Error(`refused: ${what}`);
}

/** Bytes read in order. */
class Bytes {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes);
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  /** The bytes taken so far. */
  get read(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }

  peek(size: number): Buffer {
    require(size <= this.left, "cut short");
    return this.#bytes.subarray(this.#at, this.#at + size);
  }

  take(size: number): Buffer {
    const taken = this.peek(size);
    this.#at += size;
    return taken;
  }

  uint(size: number): number {
    const value = BigInt(`0x${this.take(size).toString("hex")}`);
    require(value < 2n ** 53n, "a number");
    return Number(value);
  }

  /** `len u32`, then as many bytes. */
  block(most: number): Buffer {
    const size = this.uint(4);
    require(size <= most, "a block's length");
    return this.take(size);
  }
}
