/**
 * The three-phase exchange of the older Platform SDK ("Sample Three-Phase Exchange Protocol"): the
 * answer of the article's siblings to replay. Two parties who know each other's exchange keys agree
 * on two session keys, and each knows at the end that the other is there now.
 *
 *     1  sender → receiver   key A in a SIMPLEBLOB under the receiver's key
 *     2  receiver → sender   key B under the sender's key; H(A, receiver, B, sender, "phase 2")
 *     3  sender → receiver   H(B, sender, receiver, "phase 3")
 *
 * A and B are hashed as `CryptHashSessionKey` does by default, the names as the parties agreed; the
 * SDK leaves their form open. A mismatch ends the run.
 *
 * Each party is a value that takes one message after the other, and that can be written to a file
 * in between. What is written holds no key in the clear: A and B stay in blobs under the party's
 * own exchange key, which the private key opens again at each step.
 */
import { createHash } from "node:crypto";
import { ascii, concat, Cursor, equal, toHex } from "../bytes.js";
import { defined } from "../defined.js";
import { AuthenticationError, FormatError, PolicyError, UsageError } from "../errors.js";
import type { RsaPrivateKey } from "../keys/key.js";
import { requireExchange } from "../keys/recipient-strength.js";
import type { Secret } from "../secret.js";
import { generateSessionKey, type SessionKey } from "./algorithms.js";
import { parseSimpleBlob } from "./blob.js";
import { wrapSessionKey } from "./exchange.js";
import { readU32le } from "../keys/formats/little-endian.js";
import { requireFits, unwrapSessionKey, type UnwrapOptions } from "./session-key-unwrap.js";
import { sdkFileHead } from "./sdk-file.js";
import { hashParts, type HashPart } from "./session-key-hash.js";
import { DIGEST_BYTES } from "./hash-signature.js";
import {
  formatState,
  nameBytes,
  parseState,
  type Role,
  type RunStatus,
  type State,
  type Terms,
} from "./three-phase-state.js";

export type { Party, Role, RunStatus, Terms } from "./three-phase-state.js";

/** The receiver's answer, as two things; `formatPhase2` makes one file of them. */
export interface Phase2 {
  readonly blob: Uint8Array;
  readonly hash: Uint8Array;
}

export interface RunOptions extends Pick<UnwrapOptions, "rejectionSecret"> {
  /** Takes exchange keys below 2,048 bits. */
  readonly allowWeak?: boolean | undefined;
  /**
   * The receiver's memory of first messages: told the message's name (`phase1Id`), says whether it
   * is new and keeps it. Without it, a repeated first message starts another run, which its sender
   * can't finish.
   */
  readonly reserve?: ((id: string) => Promise<boolean>) | undefined;
}

/** One party's side of one run. */
export class ThreePhase {
  #state: State;

  private constructor(state: State) {
    this.#state = state;
  }

  /**
   * The sender begins: key A, and the first message.
   *
   * @throws UsageError `ERR_PARTY`; PolicyError `ERR_SAME_KEY`, `ERR_WEAK_KEY`; UnsupportedError.
   */
  static begin(terms: Terms, options: RunOptions = {}): { run: ThreePhase; phase1: Uint8Array } {
    requireSoundTerms(terms, options);
    const keyA = generateSessionKey(terms.algorithm);
    const phase1 = wrapSessionKey(keyA, terms.peer.publicKey, terms.padding);
    const own = wrapSessionKey(keyA, terms.own.publicKey, terms.padding);
    keyA.bytes.wipe();
    const state: State = { ...terms, role: "sender", status: "awaiting phase 2", keyA: own };
    return { run: new ThreePhase(state), phase1 };
  }

  /**
   * The receiver answers a first message. A blob that doesn't decrypt is answered too: only the
   * sender can tell, and a stranger learns nothing.
   *
   * @throws as `begin`; PolicyError `ERR_REPLAYED`; FormatError: no SIMPLEBLOB, or not of the
   *   agreed algorithm; NoMatchError; TokenError.
   */
  static async answer(
    terms: Terms,
    phase1: Uint8Array,
    privateKey: RsaPrivateKey,
    options: RunOptions = {},
  ): Promise<{ run: ThreePhase; phase2: Phase2 }> {
    requireSoundTerms(terms, options);
    requireOwnKey(terms, privateKey);
    checkBlob(terms, phase1);
    if (options.reserve !== undefined && !(await options.reserve(phase1Id(phase1)))) {
      throw replayed("the first message was answered before");
    }
    const { key: keyA } = await unwrap(terms, phase1, privateKey, options);
    const keyB = generateSessionKey(terms.algorithm);
    const blob = wrapSessionKey(keyB, terms.peer.publicKey, terms.padding);
    const own = wrapSessionKey(keyB, terms.own.publicKey, terms.padding);
    const hash = phase2Hash(terms, "receiver", keyA.bytes, keyB.bytes);
    keyA.bytes.wipe();
    keyB.bytes.wipe();
    const state: State = {
      ...terms,
      role: "receiver",
      status: "awaiting phase 3",
      keyA: new Uint8Array(phase1),
      keyB: own,
    };
    return { run: new ThreePhase(state), phase2: { blob, hash } };
  }

  /**
   * The sender checks the answer and makes the last message. Whatever goes wrong after the message
   * was well formed ends the run: a second guess is a second question.
   *
   * @throws PolicyError `ERR_REPLAYED`: this run had its answer; UsageError `ERR_PHASE`: not the
   *   sender; FormatError, NoMatchError: the run goes on; AuthenticationError `ERR_PHASE_HASH`: it
   *   is ended; TokenError.
   */
  async confirm(
    phase2: Phase2,
    privateKey: RsaPrivateKey,
    options: RunOptions = {},
  ): Promise<Uint8Array> {
    const state = this.#awaiting("sender", "awaiting phase 2");
    requireOwnKey(state, privateKey);
    checkBlob(state, phase2.blob);
    requireHashLength(state, phase2.hash);

    const a = await unwrap(state, state.keyA, privateKey, options);
    const b = await unwrap(state, phase2.blob, privateKey, options);
    const expected = phase2Hash(state, "sender", a.key.bytes, b.key.bytes);
    const phase3 = phase3Hash(state, "sender", b.key.bytes);
    a.key.bytes.wipe();
    b.key.bytes.wipe();
    const matches = equal(expected, phase2.hash);
    this.#end(matches && a.genuine && b.genuine, { keyB: new Uint8Array(phase2.blob) });
    return phase3;
  }

  /**
   * The receiver checks the last message. Throws as `confirm`.
   */
  async finish(
    phase3: Uint8Array,
    privateKey: RsaPrivateKey,
    options: RunOptions = {},
  ): Promise<void> {
    const state = this.#awaiting("receiver", "awaiting phase 3");
    requireOwnKey(state, privateKey);
    requireHashLength(state, phase3);
    if (state.keyB === undefined) throw new TypeError("a receiver's state without key B");

    const { key: keyB, genuine } = await unwrap(state, state.keyB, privateKey, options);
    const expected = phase3Hash(state, "receiver", keyB.bytes);
    keyB.bytes.wipe();
    this.#end(equal(expected, phase3) && genuine, {});
  }

  /**
   * The two session keys of a complete run: A is for what the sender says, B for what the receiver
   * says. The caller wipes them.
   *
   * @throws UsageError `ERR_PHASE`: the run is not complete; AuthenticationError `ERR_PHASE_HASH`:
   *   the kept blobs don't open; TokenError.
   */
  async keys(privateKey: RsaPrivateKey): Promise<{ keyA: SessionKey; keyB: SessionKey }> {
    const state = this.#state;
    if (state.status !== "complete" || state.keyB === undefined) {
      throw new UsageError("ERR_PHASE", `the run is ${state.status}, there are no keys yet`);
    }
    requireOwnKey(state, privateKey);
    const a = await unwrap(state, state.keyA, privateKey, {});
    const b = await unwrap(state, state.keyB, privateKey, {});
    if (a.genuine && b.genuine) return { keyA: a.key, keyB: b.key };
    a.key.bytes.wipe();
    b.key.bytes.wipe();
    throw mismatch();
  }

  /** The keys of a complete run, each in a SIMPLEBLOB under the own exchange key. */
  get blobs(): { readonly keyA: Uint8Array; readonly keyB: Uint8Array } {
    const { status, keyA, keyB } = this.#state;
    if (status !== "complete" || keyB === undefined) {
      throw new UsageError("ERR_PHASE", `the run is ${status}, there are no keys yet`);
    }
    return { keyA, keyB };
  }

  get status(): RunStatus {
    return this.#state.status;
  }

  get role(): Role {
    return this.#state.role;
  }

  get terms(): Terms {
    return this.#state;
  }

  /** The run for a file: text, no key in the clear. To be replaced whole after every step. */
  serialize(): Uint8Array {
    return formatState(this.#state);
  }

  /**
   * The run of a file. Who can write to that file can end the run, or make it agree on keys of
   * theirs: it belongs where the party's own keys are.
   *
   * @throws FormatError `ERR_STATE`.
   */
  static resume(bytes: Uint8Array): ThreePhase {
    return new ThreePhase(parseState(bytes));
  }

  #awaiting(role: Role, status: RunStatus): State {
    const state = this.#state;
    if (state.role !== role) {
      throw new UsageError("ERR_PHASE", `this side of the run is the ${state.role}`);
    }
    if (state.status !== status) throw replayed(`the run is ${state.status}`);
    return state;
  }

  #end(matches: boolean, more: Partial<State>): void {
    this.#state = { ...this.#state, ...more, status: matches ? "complete" : "ended" };
    if (!matches) throw mismatch();
  }
}

/** A first message's name: what a receiver remembers of it. */
export function phase1Id(phase1: Uint8Array): string {
  return toHex(createHash("sha256").update(phase1).digest());
}

/** The second message as one file: the blob's length as a DWORD, the blob, the hash value. */
export function formatPhase2({ blob, hash }: Phase2): Uint8Array {
  return concat(sdkFileHead(blob), hash);
}

/** Throws FormatError `ERR_TRUNCATED`, `ERR_TRAILING`. */
export function parsePhase2(bytes: Uint8Array, terms: Terms): Phase2 {
  const cursor = new Cursor(bytes, "the second message");
  const blob = cursor.take(readU32le(cursor));
  const hash = cursor.take(DIGEST_BYTES[terms.hash]);
  cursor.end();
  return { blob, hash };
}

// ── Hashes ──

function phase2Hash(terms: Terms, own: Role, keyA: Secret, keyB: Secret): Uint8Array {
  const { sender, receiver } = names(terms, own);
  const parts: HashPart[] = [{ key: keyA }, receiver, { key: keyB }, sender, ascii("phase 2")];
  return hashParts(terms.hash, parts);
}

function phase3Hash(terms: Terms, own: Role, keyB: Secret): Uint8Array {
  const { sender, receiver } = names(terms, own);
  return hashParts(terms.hash, [{ key: keyB }, sender, receiver, ascii("phase 3")]);
}

function names(terms: Terms, role: Role): { sender: Uint8Array; receiver: Uint8Array } {
  const [own, peer] = [nameBytes(terms.own), nameBytes(terms.peer)];
  return role === "sender" ? { sender: own, receiver: peer } : { sender: peer, receiver: own };
}

// ── Checks ──

function requireSoundTerms({ own, peer }: Terms, { allowWeak = false }: RunOptions): void {
  // With one name or one key for both, a message could be sent back to where it came from.
  if (equal(nameBytes(own), nameBytes(peer))) {
    throw new UsageError("ERR_PARTY", "both parties have the same name");
  }
  if (equal(own.publicKey.fingerprint, peer.publicKey.fingerprint)) {
    throw new PolicyError("ERR_SAME_KEY", "both parties have the same exchange key");
  }
  requireExchange(peer.publicKey, { allowWeak });
}

function requireOwnKey({ own }: Terms, { publicKey }: RsaPrivateKey): void {
  if (equal(own.publicKey.fingerprint, publicKey.fingerprint)) return;
  throw new UsageError("ERR_PARTY", "the private key is not of the key this run was begun with");
}

/** Public facts about a blob: before the private key is used, and without ending a run. */
function checkBlob({ own, algorithm }: Terms, bytes: Uint8Array): void {
  const blob = parseSimpleBlob(bytes);
  if (blob.algorithm !== algorithm) {
    throw new FormatError(
      "ERR_BLOB",
      `the blob's key is ${blob.algorithm}, agreed is ${algorithm}`,
    );
  }
  requireFits(blob, own.publicKey);
}

function requireHashLength({ hash }: Terms, value: Uint8Array): void {
  if (value.length === DIGEST_BYTES[hash]) return;
  throw new FormatError(
    "ERR_PHASE_HASH",
    `the hash value has ${value.length} bytes, ${hash} has ${DIGEST_BYTES[hash]}`,
  );
}

function unwrap(
  { padding }: Terms,
  blob: Uint8Array,
  privateKey: RsaPrivateKey,
  { rejectionSecret }: RunOptions,
) {
  return unwrapSessionKey(parseSimpleBlob(blob), privateKey, {
    padding,
    ...defined({ rejectionSecret }),
  });
}

function mismatch(): AuthenticationError {
  return new AuthenticationError("ERR_PHASE_HASH", "the other side's hash value does not match", {
    hint:
      "The run is ended. Somebody is between the two, or the sides differ in names, keys, hash or " +
      "padding: compare them over another channel and begin anew.",
  });
}

function replayed(what: string): PolicyError {
  return new PolicyError("ERR_REPLAYED", what, {
    hint: "Each message of a run is taken once; somebody sent it again. Begin anew.",
  });
}
