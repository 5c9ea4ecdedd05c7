/**
 * `audit --as`: whether a key really opens the headers that name it. A tag can be right and what is
 * wrapped under it junk, which only the key's holder can tell. No body is touched.
 */
import { AuthenticationError, NoMatchError, PolicyError } from "../../../errors.js";
import { around, titleOf } from "../../../keys/around.js";
import type { Identity, KnownPublicKey } from "../../../keys/key.js";
import type { MessageInfo } from "../../../envelope/message-info.js";
import { proveHeader } from "../../../envelope/prove-header.js";
import type { Context } from "../../command.js";
import { prepareIdentities, type Identities } from "../../find/identities.js";
import type { Tokens } from "../../find/tokens.js";
import type { Finding, FindingKind, Proof } from "./findings.js";
import { headerBytes } from "./header-bytes.js";

export interface Proven {
  readonly proof: Proof;
  readonly findings: readonly Finding[];
}

export class Prover {
  readonly #identities: Identities;
  readonly #names: string;
  /** The one that may ask for a PIN, while nobody knows yet which PIN is right. */
  #first: Promise<Proven> | undefined;
  #isUnlocked = false;

  private constructor(identities: Identities, names: string) {
    this.#identities = identities;
    this.#names = names;
  }

  /** @param words - the values of `--as` */
  static async of(words: readonly string[], tokens: Tokens, context: Context): Promise<Prover> {
    return new Prover(await prepareIdentities(words, tokens, context), words.join(", "));
  }

  /**
   * @throws TokenError; Cancelled: nothing more can be tried
   */
  async prove(path: string, info: MessageInfo): Promise<Proven> {
    if (info.recipients.every(({ passphrase }) => passphrase === true)) return UNPROVABLE;
    while (!this.#isUnlocked) {
      if (this.#first === undefined) {
        this.#first = this.#prove(path);
        // If it fails it stays, and with it the others fail: no second PIN is asked for.
        const proven = await this.#first;
        this.#first = undefined;
        return proven;
      }
      await this.#first;
    }
    return this.#prove(path);
  }

  async #prove(path: string): Promise<Proven> {
    let used: Identity<KnownPublicKey> | undefined;
    const attended = (identity: Identity<KnownPublicKey>): Identity<KnownPublicKey> =>
      around(identity, {
        before: () => {
          used = identity;
        },
      });
    let proven: Proven;
    try {
      const header = await proveHeader(headerBytes(path), {
        identities: async (info) => (await this.#identities.find(info)).map(attended),
        // Whoever passed it on: what is asked here is whether the key opens it.
        passedOn: () => Promise.resolve(),
      });
      proven = header === undefined ? UNPROVABLE : PROVED;
    } catch (error) {
      proven = refuted(error, used === undefined ? this.#names : titleOf(used));
    }
    if (used !== undefined) this.#isUnlocked = true;
    return proven;
  }
}

const PROVED: Proven = { proof: "proved", findings: [] };
const UNPROVABLE: Proven = { proof: "unprovable", findings: [] };

/** What an error says of the message. @throws an error that says nothing of it */
function refuted(error: unknown, name: string): Proven {
  if (error instanceof NoMatchError && error.code === "ERR_NO_MATCH") {
    return finding("not-for-key", `not sealed to ${name}`);
  }
  if (error instanceof AuthenticationError && error.code === "ERR_NOT_AUTHENTIC") {
    return finding("junk-stanza", `what is wrapped for ${name} does not open the header`);
  }
  if (error instanceof PolicyError && error.code === "ERR_NOT_ADDRESSEE") {
    return finding("not-addressed", `the sender did not address it to ${name}`);
  }
  // What a header shows without a key is found without one.
  if (error instanceof AuthenticationError || isOfHeader(error)) return UNPROVABLE;
  throw error;
}

function finding(kind: FindingKind, message: string): Proven {
  return { proof: "refuted", findings: [{ kind, message }] };
}

function isOfHeader(error: unknown): boolean {
  return error instanceof PolicyError && OF_HEADER.has(error.code);
}

/** Refusals before a key is used; and a wrap that the token can't undo. */
const OF_HEADER: ReadonlySet<string> = new Set([
  "ERR_REWRAPPED",
  "ERR_REWRAP_RECORD",
  "ERR_SAME_KEY",
  "ERR_OAEP_HASH",
]);
