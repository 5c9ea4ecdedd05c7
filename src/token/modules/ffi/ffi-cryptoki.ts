/**
 * A module's functions, called by way of koffi: the second maker of `Cryptoki`, for systems where
 * pkcs11js could not be compiled. Results and errors are those that pkcs11js gives. A wrong length
 * or pointer would damage memory instead of failing, so every length that a module returns is
 * checked, and C functions get only numbers and what `CallMemory` made.
 */
import type { Attribute, Cryptoki, Mechanism } from "../binding.js";
import { CallMemory, lowWord } from "./call-memory.js";
import { type ForeignCall, runNow, runOnThread } from "./foreign-call.js";
import { type CalledFunction, type Functions, loadFunctions } from "./function-list.js";
import type { Argument, Koffi } from "./koffi.js";
import { CKR, ReturnValueError } from "./return-value-error.js";
import { describeStructures, type StructureName, type Structures } from "./structures.js";

type Handle = Buffer;
type HandlePair = ReturnType<Cryptoki["C_GenerateKeyPair"]>;

export class FfiCryptoki implements Cryptoki {
  readonly #koffi: Koffi;
  readonly #structures: Structures;
  readonly #struct: Koffi["struct"];
  readonly #memory: CallMemory;
  /**
   * The mechanism that each session began an operation with, until it begins another or ends.
   * tpm2-pkcs11 reads RSASSA-PSS's parameters in C_Sign, where C_SignInit got them.
   */
  readonly #begun = new Map<number | bigint, unknown>();
  #functions: Functions | undefined;

  constructor(koffi: Koffi) {
    const { structures, struct } = describeStructures(koffi);
    this.#koffi = koffi;
    this.#structures = structures;
    this.#struct = struct;
    this.#memory = new CallMemory(koffi, structures);
  }

  load(path: string): void {
    try {
      this.#functions = loadFunctions(this.#koffi, this.#struct, path);
    } catch (error) {
      const message = (error as Error).message.replace("Failed to load shared library: ", "");
      throw new Error(message, { cause: error });
    }
  }

  C_Initialize({ flags, libraryParameters }: Parameters<Cryptoki["C_Initialize"]>[0]): void {
    const [args, keep] = this.#memory.initializeArgs(flags, libraryParameters);
    this.#run("C_Initialize", [args], keep);
  }

  C_Finalize(): void {
    this.#run("C_Finalize", [null]);
  }

  C_GetInfo(): ReturnType<Cryptoki["C_GetInfo"]> {
    const info = this.#read("C_GetInfo", [], "CK_INFO");
    return {
      cryptokiVersion: version(info["cryptokiVersion"]),
      manufacturerID: text(info["manufacturerID"]),
      libraryDescription: text(info["libraryDescription"]),
      libraryVersion: version(info["libraryVersion"]),
    };
  }

  C_GetSlotList(tokenPresent: boolean): Handle[] {
    const present = tokenPresent ? 1 : 0;
    return this.#list("C_GetSlotList", [present], (list, at) => this.#memory.slice(list, at));
  }

  C_GetSlotInfo(slot: Handle): ReturnType<Cryptoki["C_GetSlotInfo"]> {
    const info = this.#read("C_GetSlotInfo", [this.#handle(slot)], "CK_SLOT_INFO");
    return {
      slotDescription: text(info["slotDescription"]),
      manufacturerID: text(info["manufacturerID"]),
      flags: lowWord(info["flags"]),
    };
  }

  C_GetTokenInfo(slot: Handle): ReturnType<Cryptoki["C_GetTokenInfo"]> {
    const info = this.#read("C_GetTokenInfo", [this.#handle(slot)], "CK_TOKEN_INFO");
    return {
      label: text(info["label"]),
      manufacturerID: text(info["manufacturerID"]),
      model: text(info["model"]),
      serialNumber: text(info["serialNumber"]),
      flags: lowWord(info["flags"]),
      minPinLen: lowWord(info["ulMinPinLen"]),
      maxPinLen: lowWord(info["ulMaxPinLen"]),
      firmwareVersion: version(info["firmwareVersion"]),
    };
  }

  C_WaitForSlotEvent(flags: number): Handle | null {
    const slot = this.#memory.ulongs(1);
    try {
      this.#run("C_WaitForSlotEvent", [flags, slot, null]);
      return slot;
    } catch (error) {
      if (error instanceof ReturnValueError && error.code === CKR.NO_EVENT) return null;
      throw error;
    }
  }

  C_GetMechanismList(slot: Handle): number[] {
    return this.#list("C_GetMechanismList", [this.#handle(slot)], (list, at) =>
      this.#memory.number(list, at),
    );
  }

  C_GetMechanismInfo(slot: Handle, mechanism: number): ReturnType<Cryptoki["C_GetMechanismInfo"]> {
    const args = [this.#handle(slot), mechanism];
    const info = this.#read("C_GetMechanismInfo", args, "CK_MECHANISM_INFO");
    return {
      minKeySize: lowWord(info["ulMinKeySize"]),
      maxKeySize: lowWord(info["ulMaxKeySize"]),
      flags: lowWord(info["flags"]),
    };
  }

  C_InitToken(slot: Handle, pin: string, label: string): string {
    const name = Buffer.from(label, "utf8");
    if (name.length !== LABEL_BYTES) throw new TypeError("a token's label is not 32 bytes long");
    withBytes(pin, (bytes) => {
      this.#run("C_InitToken", [this.#handle(slot), bytes, bytes.length, name]);
    });
    return label;
  }

  C_InitPIN(session: Handle, pin: string): void {
    withBytes(pin, (bytes) => {
      this.#run("C_InitPIN", [this.#handle(session), bytes, bytes.length]);
    });
  }

  C_SetPIN(session: Handle, old: string, fresh: string): void {
    withBytes(old, (before) => {
      withBytes(fresh, (after) => {
        const pins = [before, before.length, after, after.length];
        this.#run("C_SetPIN", [this.#handle(session), ...pins]);
      });
    });
  }

  C_OpenSession(slot: Handle, flags: number): Handle {
    const session = this.#memory.ulongs(1);
    this.#run("C_OpenSession", [this.#handle(slot), flags, null, null, session]);
    return session;
  }

  C_CloseSession(session: Handle): void {
    try {
      this.#run("C_CloseSession", [this.#handle(session)]);
    } finally {
      this.#begun.delete(this.#handle(session));
    }
  }

  C_GetSessionInfo(session: Handle): object {
    return this.#read("C_GetSessionInfo", [this.#handle(session)], "CK_SESSION_INFO");
  }

  C_Login(session: Handle, userType: number, pin: string | Buffer): void {
    withBytes(pin, (bytes) => {
      this.#run("C_Login", [this.#handle(session), userType, bytes, bytes.length]);
    });
  }

  C_Logout(session: Handle): void {
    this.#run("C_Logout", [this.#handle(session)]);
  }

  C_FindObjectsInit(session: Handle, template: Attribute[]): void {
    const { memory, values } = this.#memory.attributes(template);
    this.#run("C_FindObjectsInit", [this.#handle(session), memory, template.length], values);
  }

  C_FindObjects(session: Handle, most: number): Handle[] {
    const objects = this.#memory.ulongs(most);
    const found = this.#memory.ulong(0);
    this.#run("C_FindObjects", [this.#handle(session), objects, most, found]);
    const count = this.#memory.length(found);
    if (count > most) throw new ReturnValueError("C_FindObjects", CKR.GENERAL_ERROR);
    return Array.from({ length: count }, (_, at) => this.#memory.slice(objects, at));
  }

  C_FindObjectsFinal(session: Handle): void {
    this.#run("C_FindObjectsFinal", [this.#handle(session)]);
  }

  C_GetAttributeValue(
    session: Handle,
    object: Handle,
    template: Attribute[],
  ): { value: Buffer | undefined }[] {
    const lengths = this.#attributeValues(session, object, template, []);
    const values = lengths.map((length = 0) => Buffer.alloc(length));
    return this.#attributeValues(session, object, template, values).map((length, at) => ({
      value: length === undefined ? undefined : values[at]?.subarray(0, length),
    }));
  }

  C_CreateObject(session: Handle, template: Attribute[]): Handle {
    const made = this.#memory.ulongs(1);
    const { memory, values } = this.#memory.attributes(template);
    this.#run("C_CreateObject", [this.#handle(session), memory, template.length, made], values);
    return made;
  }

  C_CopyObject(session: Handle, object: Handle, template: Attribute[]): Handle {
    const made = this.#memory.ulongs(1);
    const { memory, values } = this.#memory.attributes(template);
    const handles = [this.#handle(session), this.#handle(object)];
    this.#run("C_CopyObject", [...handles, memory, template.length, made], values);
    return made;
  }

  C_DestroyObject(session: Handle, object: Handle): void {
    this.#run("C_DestroyObject", [this.#handle(session), this.#handle(object)]);
  }

  C_DecryptInit(session: Handle, mechanism: Mechanism, key: Handle): void {
    this.#begin("C_DecryptInit", session, mechanism, key);
  }

  C_SignInit(session: Handle, mechanism: Mechanism, key: Handle): void {
    this.#begin("C_SignInit", session, mechanism, key);
  }

  C_Decrypt(...args: Parameters<Cryptoki["C_Decrypt"]>): Buffer {
    return this.#now(this.#transform("C_Decrypt", ...args));
  }

  C_DecryptAsync(...args: Parameters<Cryptoki["C_Decrypt"]>): Promise<Buffer> {
    return this.#onThread(this.#transform("C_Decrypt", ...args));
  }

  C_Sign(...args: Parameters<Cryptoki["C_Sign"]>): Buffer {
    return this.#now(this.#transform("C_Sign", ...args));
  }

  C_SignAsync(...args: Parameters<Cryptoki["C_Sign"]>): Promise<Buffer> {
    return this.#onThread(this.#transform("C_Sign", ...args));
  }

  C_UnwrapKey(...args: Parameters<Cryptoki["C_UnwrapKey"]>): Handle {
    return this.#now(this.#unwrap(...args));
  }

  C_UnwrapKeyAsync(...args: Parameters<Cryptoki["C_UnwrapKey"]>): Promise<Handle> {
    return this.#onThread(this.#unwrap(...args));
  }

  C_DeriveKey(...args: Parameters<Cryptoki["C_DeriveKey"]>): Handle {
    return this.#now(this.#derive(...args));
  }

  C_DeriveKeyAsync(...args: Parameters<Cryptoki["C_DeriveKey"]>): Promise<Handle> {
    return this.#onThread(this.#derive(...args));
  }

  C_GenerateKeyPair(...args: Parameters<Cryptoki["C_GenerateKeyPair"]>): HandlePair {
    return this.#now(this.#generatePair(...args));
  }

  C_GenerateKeyPairAsync(...args: Parameters<Cryptoki["C_GenerateKeyPair"]>): Promise<HandlePair> {
    return this.#onThread(this.#generatePair(...args));
  }

  /** C_DecryptInit and C_SignInit. */
  #begin(fn: CalledFunction, session: Handle, mechanism: Mechanism, key: Handle): void {
    const { memory, parts } = this.#memory.mechanism(mechanism);
    this.#begun.set(this.#handle(session), [memory, parts]);
    this.#run(fn, [this.#handle(session), memory, this.#handle(key)], parts);
  }

  /** C_Decrypt and C_Sign: the result is the part of `output` that the module wrote. */
  #transform(
    fn: CalledFunction,
    session: Handle,
    input: Buffer,
    output: Buffer,
  ): ForeignCall<Buffer> {
    requireBytes(input);
    requireBytes(output);
    const written = this.#memory.ulong(output.length);
    return {
      fn,
      args: [this.#handle(session), input, input.length, output, written],
      result: () => {
        const length = this.#memory.length(written);
        if (length > output.length) throw new ReturnValueError(fn, CKR.GENERAL_ERROR);
        return output.subarray(0, length);
      },
    };
  }

  #unwrap(
    session: Handle,
    mechanism: Mechanism,
    key: Handle,
    wrapped: Buffer,
    template: Attribute[],
  ): ForeignCall<Handle> {
    requireBytes(wrapped);
    const how = this.#memory.mechanism(mechanism);
    const { memory, values } = this.#memory.attributes(template);
    const made = this.#memory.ulongs(1);
    const [whose, which] = [this.#handle(session), this.#handle(key)];
    return {
      fn: "C_UnwrapKey",
      args: [whose, how.memory, which, wrapped, wrapped.length, memory, template.length, made],
      keep: [how.parts, values],
      result: () => made,
    };
  }

  #derive(
    session: Handle,
    mechanism: Mechanism,
    key: Handle,
    template: Attribute[],
  ): ForeignCall<Handle> {
    const how = this.#memory.mechanism(mechanism);
    const { memory, values } = this.#memory.attributes(template);
    const made = this.#memory.ulongs(1);
    const [whose, which] = [this.#handle(session), this.#handle(key)];
    return {
      fn: "C_DeriveKey",
      args: [whose, how.memory, which, memory, template.length, made],
      keep: [how.parts, values],
      result: () => made,
    };
  }

  #generatePair(
    session: Handle,
    mechanism: Mechanism,
    publicHalf: Attribute[],
    privateHalf: Attribute[],
  ): ForeignCall<HandlePair> {
    const how = this.#memory.mechanism(mechanism);
    const shown = this.#memory.attributes(publicHalf);
    const hidden = this.#memory.attributes(privateHalf);
    const [publicKey, privateKey] = [this.#memory.ulongs(1), this.#memory.ulongs(1)];
    const templates = [shown.memory, publicHalf.length, hidden.memory, privateHalf.length];
    return {
      fn: "C_GenerateKeyPair",
      args: [this.#handle(session), how.memory, ...templates, publicKey, privateKey],
      keep: [how.parts, shown.values, hidden.values],
      result: () => ({ publicKey, privateKey }),
    };
  }

  /**
   * C_GetAttributeValue into `values`, which may be fewer than the attributes. Returns the lengths
   * that the module reports; undefined for what it does not reveal.
   */
  #attributeValues(
    session: Handle,
    object: Handle,
    template: readonly Attribute[],
    values: readonly Buffer[],
  ): (number | undefined)[] {
    const fn = "C_GetAttributeValue";
    const memory = this.#memory.attributeArray(
      template.map(({ type }, at) => [type, values[at] ?? null]),
    );
    const handles = [this.#handle(session), this.#handle(object)];
    this.#run(fn, [...handles, memory, template.length], values);
    return template.map((_, at) => {
      const length = this.#memory.attributeLength(memory, at);
      const most = values[at]?.length ?? MOST_VALUE_BYTES;
      if (length !== undefined && length > most) throw new ReturnValueError(fn, CKR.GENERAL_ERROR);
      return length;
    });
  }

  /** A function that fills a structure, whose pointer is its last argument. */
  #read(
    fn: CalledFunction,
    args: readonly Argument[],
    name: StructureName,
  ): Readonly<Record<string, unknown>> {
    const memory = Buffer.alloc(this.#structures[name].size);
    this.#run(fn, [...args, memory]);
    return this.#koffi.decode(memory, this.#structures[name]) as Record<string, unknown>;
  }

  /** A function that fills a list, asked for its length first. */
  #list<T>(
    fn: CalledFunction,
    args: readonly Argument[],
    entry: (list: Buffer, at: number) => T,
  ): T[] {
    const count = this.#memory.ulong(0);
    this.#run(fn, [...args, null, count]);
    const room = this.#memory.length(count);
    if (room > MOST_ENTRIES) throw new ReturnValueError(fn, CKR.GENERAL_ERROR);
    if (room === 0) return [];
    const list = this.#memory.ulongs(room);
    this.#run(fn, [...args, list, count]);
    const length = this.#memory.length(count);
    if (length > room) throw new ReturnValueError(fn, CKR.GENERAL_ERROR);
    return Array.from({ length }, (_, at) => entry(list, at));
  }

  #handle(handle: Handle): number | bigint {
    return this.#memory.handle(handle);
  }

  #run(fn: CalledFunction, args: readonly Argument[], keep?: unknown): void {
    this.#now({ fn, args, keep, result: () => undefined });
  }

  #now<T>(call: ForeignCall<T>): T {
    return runNow(this.#loaded(), call);
  }

  #onThread<T>(call: ForeignCall<T>): Promise<T> {
    return runOnThread(this.#loaded(), call);
  }

  #loaded(): Functions {
    if (this.#functions === undefined) throw new TypeError("no library is loaded");
    return this.#functions;
  }
}

/** CK_TOKEN_INFO's label, and what C_InitToken reads. */
const LABEL_BYTES = 32;

/** More slots, or mechanisms, than any module has. */
const MOST_ENTRIES = 65_536;

/** More than any attribute that is read here has. */
const MOST_VALUE_BYTES = 16 * 1024 * 1024;

/** A fixed field, as pkcs11js gives it: with its padding, U+FFFD for what is not UTF-8. */
function text(field: unknown): string {
  return (field as Buffer).toString("utf8");
}

function version(value: unknown): { readonly major: number; readonly minor: number } {
  return value as { major: number; minor: number };
}

/** A PIN's bytes for one call; those of a string are wiped after it. */
function withBytes(pin: string | Buffer, run: (bytes: Buffer) => void): void {
  if (Buffer.isBuffer(pin)) {
    run(pin);
    return;
  }
  if (typeof pin !== "string") throw new TypeError("a PIN is neither a string nor bytes");
  const bytes = Buffer.from(pin, "utf8");
  try {
    run(bytes);
  } finally {
    bytes.fill(0);
  }
}

function requireBytes(value: Buffer): void {
  if (!Buffer.isBuffer(value)) throw new TypeError("an argument is not a Buffer");
}
