/**
 * A three-phase run between two messages: its values, and the text they are kept as. No session key
 * is in it in the clear.
 */
import { ascii, fromBase64, fromHex, toBase64, toHex } from "../bytes.js";
import { defined } from "../defined.js";
import { FormatError, UsageError } from "../errors.js";
import type { RsaPublicKey } from "../keys/key.js";
import { publicKeyFromSpki } from "../keys/public-key.js";
import { SESSION_ALGORITHMS, type SessionAlgorithm } from "./algorithms.js";
import { parseSimpleBlob } from "./blob.js";
import type { KeyPadding } from "./session-key-unwrap.js";

export interface Party {
  /**
   * What both sides hash as this party's name. Text stands for its ASCII bytes without a
   * terminating zero; where the other side hashes something else (UTF-16, a code page), give the
   * bytes.
   */
  readonly name: string | Uint8Array;
  readonly publicKey: RsaPublicKey;
}

/** What both sides agree on beforehand. */
export interface Terms {
  readonly own: Party;
  readonly peer: Party;
  /** Of both session keys. */
  readonly algorithm: SessionAlgorithm;
  readonly hash: "sha1" | "sha256" | "sha384" | "sha512";
  readonly padding: KeyPadding;
}

/** Which end of the run this is. */
export type Role = "sender" | "receiver";

/** Where a run stands: whose message is awaited, or how it ended. */
export type RunStatus = "awaiting phase 2" | "awaiting phase 3" | "complete" | "ended";

export interface State extends Terms {
  readonly role: Role;
  readonly status: RunStatus;
  /** SIMPLEBLOBs under the own key. */
  readonly keyA: Uint8Array;
  readonly keyB?: Uint8Array;
}

/** The bytes of a party's name. Throws UsageError `ERR_PARTY`. */
export function nameBytes({ name }: Party): Uint8Array {
  if (typeof name === "string" && !/^[ -~]*$/.test(name)) {
    throw new UsageError("ERR_PARTY", "a party's name with a character outside ASCII", {
      hint: "Code pages differ between the two sides: agree on another name, or on its bytes.",
    });
  }
  const bytes = typeof name === "string" ? ascii(name) : name;
  if (bytes.length === 0 || bytes.length > MAX_NAME_BYTES) {
    throw new UsageError("ERR_PARTY", `a party's name has 1 to ${MAX_NAME_BYTES} bytes`);
  }
  return bytes;
}

export function formatState(state: State): Uint8Array {
  const party = (value: Party) => ({
    name: toHex(nameBytes(value)),
    key: toBase64(value.publicKey.spki),
  });
  const { role, status, algorithm, hash, padding, own, peer, keyA, keyB } = state;
  const text = {
    format: FORMAT,
    role,
    status,
    algorithm,
    hash,
    padding,
    own: party(own),
    peer: party(peer),
    keyA: toBase64(keyA),
    ...defined({ keyB: keyB && toBase64(keyB) }),
  };
  return ascii(`${JSON.stringify(text, undefined, 2)}\n`);
}

/** The inverse of `formatState`, and of nothing else. Throws FormatError `ERR_STATE`. */
export function parseState(bytes: Uint8Array): State {
  if (bytes.length > MAX_STATE_BYTES) throw damaged();
  try {
    const state = read(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)));
    if (toHex(formatState(state)) === toHex(bytes)) return state;
  } catch {
    // What JSON, base64 or a key says of its fault would quote the file.
  }
  throw damaged();
}

function read(value: unknown): State {
  const fields = record(value);
  const role = oneOf(["sender", "receiver"], fields["role"]);
  const keyB = fields["keyB"] === undefined ? undefined : blob(fields["keyB"]);
  const status = oneOf(STATUSES, fields["status"]);
  const awaited = role === "sender" ? "awaiting phase 2" : "awaiting phase 3";
  if (status.startsWith("awaiting") && status !== awaited) throw damaged();
  if (keyB === undefined && (role === "receiver" || status === "complete")) throw damaged();
  return {
    role,
    status,
    algorithm: oneOf(SESSION_ALGORITHMS, fields["algorithm"]),
    hash: oneOf(["sha1", "sha256", "sha384", "sha512"], fields["hash"]),
    padding: oneOf(["pkcs1", "oaep"], fields["padding"]),
    own: party(fields["own"]),
    peer: party(fields["peer"]),
    keyA: blob(fields["keyA"]),
    ...defined({ keyB }),
  };
}

function party(value: unknown): Party {
  const fields = record(value);
  const publicKey = publicKeyFromSpki(fromBase64(text(fields["key"])));
  if (publicKey.type !== "rsa") throw damaged();
  return { name: fromHex(text(fields["name"])), publicKey };
}

function blob(value: unknown): Uint8Array {
  const bytes = fromBase64(text(value));
  parseSimpleBlob(bytes);
  return bytes;
}

function record(value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null) throw damaged();
  return value as Record<string, unknown>;
}

function text(value: unknown): string {
  if (typeof value !== "string") throw damaged();
  return value;
}

function oneOf<T extends string>(known: readonly T[], value: unknown): T {
  const found = known.find((name) => name === value);
  if (found === undefined) throw damaged();
  return found;
}

function damaged(): FormatError {
  return new FormatError("ERR_STATE", "not the state of a three-phase run, or damaged", {
    hint: "Begin a new run.",
  });
}

const FORMAT = "p11seal three-phase run 1";
const STATUSES: readonly RunStatus[] = [
  "awaiting phase 2",
  "awaiting phase 3",
  "complete",
  "ended",
];
const MAX_NAME_BYTES = 256;
const MAX_STATE_BYTES = 65_536;
