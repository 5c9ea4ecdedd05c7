/**
 * A session with a token, for one operation at a time. It finds objects, destroys them, and reads
 * their attributes one by one, because C_GetAttributeValue fails as a whole when one attribute is
 * missing.
 */
import { endianness } from "node:os";
import { textOfBytes } from "../byte-text.js";
import { TokenError } from "../../errors.js";
import { call, failedWith } from "../modules/call.js";
import type { Module } from "../modules/module.js";
import {
  type AttributeName,
  type AttributeValues,
  attributeType,
  template,
} from "../modules/template.js";

export class Session {
  readonly module: Module;
  readonly slot: Buffer;
  readonly handle: Buffer;

  constructor(module: Module, slot: Buffer, handle: Buffer) {
    this.module = module;
    this.slot = slot;
    this.handle = handle;
  }

  /** Handles of every object with these attributes. */
  find(values: AttributeValues): Buffer[] {
    const { native } = this.module;
    const wanted = template(values);
    call("C_FindObjectsInit", () => {
      native.C_FindObjectsInit(this.handle, wanted);
    });
    try {
      const found: Buffer[] = [];
      while (found.length < MAX_OBJECTS) {
        const some = call("C_FindObjects", () => native.C_FindObjects(this.handle, AT_ONCE));
        found.push(...some);
        if (some.length === 0) break;
      }
      return found;
    } finally {
      call("C_FindObjectsFinal", () => {
        native.C_FindObjectsFinal(this.handle);
      });
    }
  }

  /** An attribute's value; undefined when the object lacks it or the token does not reveal it. */
  bytes(object: Buffer, name: AttributeName): Uint8Array | undefined {
    try {
      const [attribute] = call("C_GetAttributeValue", () =>
        this.module.native.C_GetAttributeValue(this.handle, object, [
          { type: attributeType(name) },
        ]),
      );
      const value = attribute?.value;
      if (!(value instanceof Uint8Array)) return undefined;
      const copy = new Uint8Array(value);
      // It may be a key, which only the caller can wipe.
      value.fill(0);
      return copy;
    } catch (error) {
      // Some modules answer CKR_GENERAL_ERROR for attributes they do not have.
      if (
        failedWith(
          error,
          "CKR_ATTRIBUTE_TYPE_INVALID",
          "CKR_ATTRIBUTE_SENSITIVE",
          "CKR_ATTRIBUTE_VALUE_INVALID",
          "CKR_INFORMATION_SENSITIVE",
          "CKR_GENERAL_ERROR",
          "CKR_FUNCTION_FAILED",
          "CKR_ARGUMENTS_BAD",
        )
      ) {
        return undefined;
      }
      throw error;
    }
  }

  /** CK_BBOOL. */
  flag(object: Buffer, name: AttributeName): boolean | undefined {
    const value = this.bytes(object, name);
    return value?.length === 1 ? value[0] !== 0 : undefined;
  }

  /** CK_ULONG: four or eight bytes in the machine's order. */
  number(object: Buffer, name: AttributeName): number | undefined {
    const value = this.bytes(object, name);
    if (value?.length !== 4 && value?.length !== 8) return undefined;
    const isLittle = endianness() === "LE";
    const view = new DataView(value.buffer, value.byteOffset, value.length);
    return value.length === 4
      ? view.getUint32(0, isLittle)
      : Number(view.getBigUint64(0, isLittle));
  }

  /** CKA_LABEL and the like, byte for byte; the empty string when there is none. */
  text(object: Buffer, name: AttributeName): string {
    return textOfBytes(this.bytes(object, name) ?? new Uint8Array());
  }

  /**
   * The value of a session object that C_UnwrapKey or C_DeriveKey made. The object is always
   * destroyed: OpenSC frees derived keys at no other time and would run out of memory.
   *
   * @throws TokenError that `refusesTemplate` accepts, when the token does not reveal the value.
   */
  take(object: Buffer, trace: (line: string) => void): Uint8Array {
    try {
      const value = this.bytes(object, "VALUE");
      if (value !== undefined) return value;
      throw new TokenError(
        "ERR_MECHANISM",
        "the token does not reveal the value of the unwrapped key",
        {
          fn: "C_GetAttributeValue",
          ckr: "CKR_ATTRIBUTE_VALUE_INVALID",
        },
      );
    } finally {
      try {
        this.destroy(object);
      } catch (error) {
        // The object goes with the session, which ends now.
        trace(`unwrap: a session object was not destroyed: ${(error as Error).message}`);
      }
    }
  }

  create(values: AttributeValues): Buffer {
    const attributes = template(values);
    return call("C_CreateObject", () => this.module.native.C_CreateObject(this.handle, attributes));
  }

  /** A copy of an object that differs in these attributes. */
  copy(object: Buffer, values: AttributeValues): Buffer {
    const attributes = template(values);
    return call("C_CopyObject", () =>
      this.module.native.C_CopyObject(this.handle, object, attributes),
    );
  }

  destroy(object: Buffer): void {
    call("C_DestroyObject", () => {
      this.module.native.C_DestroyObject(this.handle, object);
    });
  }

  /** False when the session ended by itself because its token was pulled. */
  isOpen(): boolean {
    try {
      call("C_GetSessionInfo", () => this.module.native.C_GetSessionInfo(this.handle));
      return true;
    } catch (error) {
      if (!(error instanceof TokenError)) throw error;
      return error.code !== "ERR_TOKEN_REMOVED" && !failedWith(error, "CKR_SESSION_CLOSED");
    }
  }

  /** Ends the session, whatever state it is in. */
  close(): void {
    try {
      this.module.native.C_CloseSession(this.handle);
    } catch {
      // It ended with the token, or with the module. Nothing is left to end.
    }
  }
}

const AT_ONCE = 64;

/** A module that never stops finding would never end the loop. */
const MAX_OBJECTS = 10_000;
