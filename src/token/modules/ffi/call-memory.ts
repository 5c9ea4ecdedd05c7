/**
 * The memory that a C function reads its arguments from, and writes its results to. All of it is
 * made in JavaScript, with the lengths that the function is told, and kept until the call is over:
 * C has pointers into it, and koffi keeps nothing alive for them.
 */
import type { Attribute, Mechanism } from "../binding.js";
import { PARAMS } from "../constants.js";
import type { ForeignType, Koffi } from "./koffi.js";
import { type Structures, ULONG } from "./structures.js";

/** Makes the memory of calls. */
export class CallMemory {
  readonly #koffi: Koffi;
  readonly #structures: Structures;
  readonly #ulongBytes: number;

  constructor(koffi: Koffi, structures: Structures) {
    this.#koffi = koffi;
    this.#structures = structures;
    this.#ulongBytes = koffi.sizeof(ULONG);
  }

  /** Room for `count` CK_ULONGs, or one that holds `value`. */
  ulongs(count: number): Buffer {
    return Buffer.alloc(count * this.#ulongBytes);
  }

  ulong(value: number): Buffer {
    const memory = this.ulongs(1);
    this.#koffi.encode(memory, ULONG, value);
    return memory;
  }

  /** A length that the module wrote, exact as far as memory can reach. */
  length(memory: Buffer): number {
    return Number(this.#koffi.decode(memory, ULONG));
  }

  /** The CK_ULONG at `index`, whose upper half is lost: no number of a mechanism has one. */
  number(memory: Buffer, index = 0): number {
    return lowWord(this.#koffi.decode(this.slice(memory, index), ULONG));
  }

  /** The CK_ULONG at `index`, byte for byte: a handle. */
  slice(memory: Buffer, index: number): Buffer {
    const at = index * this.#ulongBytes;
    return memory.subarray(at, at + this.#ulongBytes);
  }

  /** @throws TypeError when `handle` is not one: a programming error */
  handle(handle: Buffer): number | bigint {
    if (!Buffer.isBuffer(handle) || handle.length !== this.#ulongBytes) {
      throw new TypeError("a handle is not a CK_ULONG");
    }
    return this.#koffi.decode(handle, ULONG) as number | bigint;
  }

  /** CK_ATTRIBUTEs, and what they point to, which must be kept as long. */
  attributes(template: readonly Attribute[]): { memory: Buffer; values: (Buffer | null)[] } {
    const values = template.map(({ value }) => this.#valueBytes(value));
    const memory = this.attributeArray(template.map(({ type }, i) => [type, values[i] ?? null]));
    return { memory, values };
  }

  /** CK_ATTRIBUTEs with these values; null for no value. */
  attributeArray(rows: readonly (readonly [type: number, value: Buffer | null])[]): Buffer {
    const { CK_ATTRIBUTE } = this.#structures;
    const memory = Buffer.alloc(rows.length * CK_ATTRIBUTE.size);
    rows.forEach(([type, value], i) => {
      this.#koffi.encode(memory.subarray(i * CK_ATTRIBUTE.size), CK_ATTRIBUTE, {
        type,
        pValue: this.#pointer(value),
        ulValueLen: value?.length ?? 0,
      });
    });
    return memory;
  }

  /** `ulValueLen` of the attribute at `index`; undefined for CK_UNAVAILABLE_INFORMATION. */
  attributeLength(memory: Buffer, index: number): number | undefined {
    const { CK_ATTRIBUTE } = this.#structures;
    const at = memory.subarray(index * CK_ATTRIBUTE.size);
    const { ulValueLen } = this.#koffi.decode(at, CK_ATTRIBUTE) as { ulValueLen: number | bigint };
    const unavailable = (1n << BigInt(8 * this.#ulongBytes)) - 1n;
    return BigInt(ulValueLen) === unavailable ? undefined : Number(ulValueLen);
  }

  /** A CK_MECHANISM, and what it points to, which must be kept as long. */
  mechanism({ mechanism, parameter }: Mechanism): { memory: Buffer; parts: (Buffer | null)[] } {
    const [block, data] = parameter === undefined ? [null, null] : this.#parameter(parameter);
    const memory = this.structure(this.#structures.CK_MECHANISM, {
      mechanism,
      pParameter: this.#pointer(block),
      ulParameterLen: block?.length ?? 0,
    });
    return { memory, parts: [block, data] };
  }

  /** CK_C_INITIALIZE_ARGS, and the text it points to, which must be kept as long. */
  initializeArgs(flags: number, parameters: string | undefined): [Buffer, Buffer | null] {
    const text = parameters === undefined ? null : Buffer.from(`${parameters}\0`, "utf8");
    const memory = this.structure(this.#structures.CK_C_INITIALIZE_ARGS, {
      ...{ CreateMutex: 0n, DestroyMutex: 0n, LockMutex: 0n, UnlockMutex: 0n, pReserved: 0n },
      flags,
      LibraryParameters: this.#pointer(text),
    });
    return [memory, text];
  }

  structure(type: ForeignType, value: object): Buffer {
    const memory = Buffer.alloc(type.size);
    this.#koffi.encode(memory, type, value);
    return memory;
  }

  /** A mechanism's parameters and the bytes they point to. @throws TypeError for an unknown type */
  #parameter(parameter: NonNullable<Mechanism["parameter"]>): [Buffer, Buffer | null] {
    if (parameter.type === PARAMS.RSA_OAEP && "source" in parameter) {
      const { hashAlg, mgf, source, sourceData = null } = parameter;
      const block = this.structure(this.#structures.CK_RSA_PKCS_OAEP_PARAMS, {
        ...{ hashAlg, mgf, source },
        pSourceData: this.#pointer(sourceData),
        ulSourceDataLen: sourceData?.length ?? 0,
      });
      return [block, sourceData];
    }
    if (parameter.type === PARAMS.RSA_PSS && "saltLen" in parameter) {
      const { hashAlg, mgf, saltLen } = parameter;
      const { CK_RSA_PKCS_PSS_PARAMS } = this.#structures;
      return [this.structure(CK_RSA_PKCS_PSS_PARAMS, { hashAlg, mgf, sLen: saltLen }), null];
    }
    if (parameter.type === PARAMS.EC_DH && "kdf" in parameter) {
      const { kdf, publicData } = parameter;
      const block = this.structure(this.#structures.CK_ECDH1_DERIVE_PARAMS, {
        kdf,
        ulSharedDataLen: 0,
        pSharedData: 0n,
        ulPublicDataLen: publicData.length,
        pPublicData: this.#pointer(publicData),
      });
      return [block, publicData];
    }
    throw new TypeError("a mechanism's parameters are of an unknown type");
  }

  #valueBytes(value: Attribute["value"]): Buffer | null {
    if (value === undefined) return null;
    if (typeof value === "boolean") return Buffer.of(value ? 1 : 0);
    if (typeof value === "number") return this.ulong(value);
    if (Buffer.isBuffer(value)) return value;
    throw new TypeError("an attribute's value is of an unknown type");
  }

  /** NULL for nothing, also for an empty value, as pkcs11js does. */
  #pointer(memory: Buffer | null): bigint {
    return memory === null || memory.length === 0 ? 0n : this.#koffi.address(memory);
  }
}

/** The lower 32 bits of a CK_ULONG: all that pkcs11js gives of one. */
export function lowWord(value: unknown): number {
  return Number(BigInt.asUintN(32, BigInt(value as number | bigint)));
}
