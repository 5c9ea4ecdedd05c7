/**
 * What the two processes say to each other: plain values, structured-cloned by Node's IPC channel.
 * A public key crosses as its SubjectPublicKeyInfo, an error as its fields; both are made again on the
 * other side.
 */
import { KeyObject } from "node:crypto";
import {
  AuthenticationError,
  Cancelled,
  FileError,
  FormatError,
  NoMatchError,
  P11SealError,
  PolicyError,
  TokenError,
  UnsupportedError,
  UsageError,
} from "../../errors.js";
import type { PublicKey } from "../../keys/key.js";
import { publicKeyFromSpki } from "../../keys/public-key.js";
import type { PinReference, PinRequest, TokenInfo } from "../values.js";

/** The first message: what the process works with. */
export interface Start {
  readonly kind: "start";
  /** The process to work for, and to end with. */
  readonly parent: number;
  /** Absolute paths of `--module`. */
  readonly modules: readonly string[];
  readonly home: string;
  readonly force: boolean;
  /** Somebody wants the lines of `trace`. */
  readonly traced: boolean;
  /** Modules that ended or stopped an earlier process, and how. */
  readonly faulty: readonly (readonly [path: string, error: PackedError])[];
}

/** A method of `Operations` (child.ts) to be run. */
export interface Request {
  readonly kind: "request";
  readonly id: number;
  readonly method: string;
  /** What a method for keys is about; the key's URI, when this process was told the rest before. */
  readonly key?: unknown;
  readonly args: readonly unknown[];
}

/** What the child asked for. */
export interface PinAnswer {
  readonly kind: "pin";
  readonly id: number;
  readonly pin?: string | PinReference;
  readonly error?: PackedError;
}

export type FromParent = Start | Request | PinAnswer;

export type FromChild =
  /** `path`: how the token was asked, by operations that have several ways (`Using`). */
  | {
      readonly kind: "result";
      readonly id: number;
      readonly value: unknown;
      readonly path?: string;
    }
  | {
      readonly kind: "failure";
      readonly id: number;
      readonly error: PackedError;
      readonly path?: string;
    }
  | { readonly kind: "trace"; readonly line: string }
  /** Code of a module runs that no token was chosen from yet; a death meanwhile is that module's. */
  | { readonly kind: "trying"; readonly path: string; readonly phase: "before" | "after" }
  | { readonly kind: "ask"; readonly id: number; readonly request: PinRequest }
  /** A person, or a command, is waited for: nobody's clock runs. */
  | { readonly kind: "person"; readonly waiting: boolean; readonly atTerminal: boolean }
  | { readonly kind: "login"; readonly token: TokenInfo; readonly refusal?: PackedError };

/** Descriptor in the child of the stderr that the program was started with. */
export const COMMAND_STDERR = 4;

/** An error's fields. */
export interface PackedError {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
  readonly hint?: string;
  readonly fn?: string;
  readonly ckr?: string;
  readonly stack?: string;
}

export function packError(error: unknown): PackedError {
  if (error instanceof P11SealError) {
    const { name, message, code, hint } = error;
    const { fn, ckr } = error instanceof TokenError ? error : {};
    return {
      ...{ name, message, code },
      ...(hint === undefined ? {} : { hint }),
      ...(fn === undefined ? {} : { fn }),
      ...(ckr === undefined ? {} : { ckr }),
    };
  }
  if (error instanceof Cancelled) return { name: "Cancelled", message: "" };
  const { message = String(error), stack } = error as Partial<Error>;
  return { name: "Error", message, ...(stack === undefined ? {} : { stack }) };
}

export function unpackError(packed: PackedError): Error {
  const { name, message, code, hint, fn, ckr, stack } = packed;
  if (name === "Cancelled") return new Cancelled();
  const Kind = KINDS.get(name);
  if (Kind === undefined || code === undefined) {
    // A fault of the program: where it happened is worth more than where it was told.
    const error = new Error(message);
    if (stack !== undefined) error.stack = stack;
    return error;
  }
  return new Kind(code, message, {
    ...(hint === undefined ? {} : { hint }),
    ...(fn === undefined ? {} : { fn }),
    ...(ckr === undefined ? {} : { ckr }),
  });
}

type ErrorKind = new (
  code: string,
  message: string,
  options: { hint?: string; fn?: string; ckr?: string },
) => P11SealError;

const KINDS: ReadonlyMap<string, ErrorKind> = new Map<string, ErrorKind>(
  [
    AuthenticationError,
    FileError,
    FormatError,
    NoMatchError,
    PolicyError,
    TokenError,
    UnsupportedError,
    UsageError,
  ].map((kind) => [kind.name, kind]),
);

/** A value without public keys; they are the only part of a plain value that can't be cloned. */
export function pack(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(pack);
  if (!isPlain(value)) return value;
  if (value["object"] instanceof KeyObject) return { [SPKI]: (value as unknown as PublicKey).spki };
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, pack(one)]));
}

export function unpack(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unpack);
  if (!isPlain(value)) return value;
  const spki = value[SPKI];
  if (spki instanceof Uint8Array) return knownKey(spki);
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, unpack(one)]));
}

/** Keys made before: making one costs as much as some tokens need for using it. */
const known = new Map<string, PublicKey>();

function knownKey(spki: Uint8Array): PublicKey {
  const name = Buffer.from(spki.buffer, spki.byteOffset, spki.length).toString("latin1");
  const key = known.get(name) ?? publicKeyFromSpki(spki);
  if (known.size >= MAX_KNOWN) known.clear();
  known.set(name, key);
  return key;
}

const MAX_KNOWN = 256;

const SPKI = "$spki";

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !ArrayBuffer.isView(value);
}
