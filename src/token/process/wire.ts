/**
 * The messages between a client and the server that has the modules: plain values that survive a
 * structured clone. A public key crosses as its SubjectPublicKeyInfo and an error as its fields;
 * the other end restores both.
 */
import { KeyObject } from "node:crypto";
import { defined } from "../../defined.js";
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
import type { PadRequest, PinReference, PinRequest, TokenInfo } from "../values.js";

/** The client's first message: what the server works with on its behalf. */
export interface Start {
  readonly kind: "start";
  /** Process id of the client, for a server that exists for it alone and ends with it. */
  readonly parent?: number;
  /** Absolute paths of `--module`. */
  readonly modules: readonly string[];
  readonly home: string;
  readonly force: boolean;
  /** The client wants `trace` messages. */
  readonly traced: boolean;
  /** Modules that crashed or stopped an earlier server, and how. They are not loaded again. */
  readonly faulty: readonly (readonly [path: string, error: PackedError])[];
}

/** Calls a method of `Operations` (operations.ts). */
export interface Request {
  readonly kind: "request";
  readonly id: number;
  readonly method: string;
  /** The key that a key method is about; its URI alone once the server has seen the whole. */
  readonly key?: unknown;
  readonly args: readonly unknown[];
}

/** Answers an `ask`, or a `pad`: without `pin`, the reader may ask. */
export interface PinAnswer {
  readonly kind: "pin";
  readonly id: number;
  readonly pin?: string | PinReference;
  readonly error?: PackedError;
}

/** Takes back the questions to a person that a `PinAnswer` named. */
export interface Withdrawal {
  readonly kind: "withdraw";
  readonly id: number;
}

export type FromClient = Start | Request | PinAnswer | Withdrawal;

export type FromServer =
  /** `path`: how the token was asked, for operations that have several ways (`Using`). */
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
  /**
   * Code of a module is about to run, or has returned, before any of its tokens was chosen. If the
   * server dies in between, that module is to blame.
   */
  | { readonly kind: "trying"; readonly path: string; readonly phase: "before" | "after" }
  | { readonly kind: "ask"; readonly id: number; readonly request: PinRequest }
  /** A person is to be told to type a PIN on the reader. */
  | { readonly kind: "pad"; readonly id: number; readonly request: PadRequest }
  /** The server starts or stops waiting for a person or a command: time limits pause meanwhile. */
  | { readonly kind: "person"; readonly waiting: boolean; readonly atTerminal: boolean }
  /** A PIN was accepted, or failed with `refusal`: the user's, or the security officer's. */
  | {
      readonly kind: "login";
      readonly token: TokenInfo;
      readonly whose: "user" | "so";
      readonly refusal?: PackedError;
    };

/** The fields of an error. `code` is absent for one that nobody foresaw. */
export interface PackedError {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
  readonly hint?: string;
  readonly fn?: string;
  readonly ckr?: string;
  readonly stack?: string;
}

/** An error that a user is told of. */
export type PackedReport = PackedError & { readonly code: string };

export function packError(error: unknown): PackedError {
  if (error instanceof P11SealError) return packReported(error);
  if (error instanceof Cancelled) return { name: "Cancelled", message: "" };
  const { message = String(error), stack } = error as Partial<Error>;
  return { name: "Error", message, ...defined({ stack }) };
}

export function packReported(error: P11SealError): PackedReport {
  const { name, message, code, hint } = error;
  const { fn, ckr } = error instanceof TokenError ? error : {};
  return { name, message, code, ...defined({ hint, fn, ckr }) };
}

export function unpackError(packed: PackedError): Error {
  const { name, message, code, hint, fn, ckr, stack } = packed;
  if (name === "Cancelled") return new Cancelled();
  const Kind = KINDS.get(name);
  if (Kind === undefined || code === undefined) {
    // A bug: the stack of where it happened is worth more than that of where it arrived.
    const error = new Error(message);
    if (stack !== undefined) error.stack = stack;
    return error;
  }
  return new Kind(code, message, defined({ hint, fn, ckr }));
}

type ErrorKind = new (
  code: string,
  message: string,
  options: { hint?: string; fn?: string; ckr?: string },
) => P11SealError;

/** By name: the classes' own are short ones in a bundle. */
const KINDS: ReadonlyMap<string, ErrorKind> = new Map(
  Object.entries<ErrorKind>({
    AuthenticationError,
    FileError,
    FormatError,
    NoMatchError,
    PolicyError,
    TokenError,
    UnsupportedError,
    UsageError,
  }),
);

/** Replaces public keys, the only part of a plain value that can't be cloned. */
export function pack(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(pack);
  if (!isPlain(value)) return value;
  if (value["object"] instanceof KeyObject) return { [SPKI]: (value as unknown as PublicKey).spki };
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, pack(one)]));
}

/** Undoes `pack`. */
export function unpack(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unpack);
  if (!isPlain(value)) return value;
  const spki = value[SPKI];
  if (spki instanceof Uint8Array) return knownKey(spki);
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, unpack(one)]));
}

/**
 * Public keys made before: importing one takes as long as some tokens need to use its private half.
 */
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
