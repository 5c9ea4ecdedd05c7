/**
 * What an agent and its clients say to each other (docs/agent.md): each message is a map in CBOR
 * (RFC 8949) with text keys, in the one encoding that `encodeMessage` gives it. A message of
 * another kind, with a field that is not listed here, or in another encoding is refused.
 *
 * Nothing here can carry a PIN, a file key, or what a private key made of bytes of somebody's
 * choice: a signature is over a description that the agent has read.
 */
import { decode, encode, Tokenizer, type Token } from "cborg";
import { equal } from "../bytes.js";
import { TokenError } from "../errors.js";
import { STRICT_CBOR } from "../strict-cbor.js";
import { MAX_FRAME_BYTES } from "./frames.js";

/** Both ends must speak the same version. */
export const PROTOCOL_VERSION = 1;

/** What an agent does only if it was started so: kinds of request that `hello` names. */
export const ALLOWED = ["rewrap", "sign"] as const;
export type Allowed = (typeof ALLOWED)[number];

/** Length of the key for a body, bytes. */
const BODY_KEY_BYTES = 32;

type Check<T> = (value: unknown) => value is T;
type Checks = Readonly<Record<string, Check<unknown>>>;

/** A message's fields: those that it must have, and those that it may have. */
interface Shape<Needed extends Checks = Checks, Optional extends Checks = Checks> {
  readonly needed: Needed;
  readonly optional: Optional;
}

type Values<Fields extends Checks> = {
  readonly [Name in keyof Fields]: Fields[Name] extends Check<infer T> ? T : never;
};
type ValueOf<S> =
  S extends Shape<infer Needed, infer Optional>
    ? Values<Needed> & Partial<Values<Optional>>
    : never;
type MessageOf<Shapes> = {
  [Kind in keyof Shapes]: { readonly kind: Kind } & ValueOf<Shapes[Kind]>;
}[keyof Shapes];

const number: Check<number> = (value): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
function oneOf<const Word extends string>(...words: readonly Word[]): Check<Word> {
  return (value): value is Word => words.some((word) => word === value);
}

const flag: Check<boolean> = (value): value is boolean => typeof value === "boolean";

function text(most: number): Check<string> {
  return (value): value is string => typeof value === "string" && value.length <= most;
}

function bytes(least: number, most: number): Check<Uint8Array> {
  return (value): value is Uint8Array =>
    value instanceof Uint8Array && value.length >= least && value.length <= most;
}

function list<T>(one: Check<T>, most: number): Check<readonly T[]> {
  return (value): value is readonly T[] =>
    Array.isArray(value) && value.length <= most && value.every((each) => one(each));
}

function record<S extends Shape>(shape: S): Check<ValueOf<S>> {
  return (value): value is ValueOf<S> => hasShape(value, shape);
}

function shape<Needed extends Checks, Optional extends Checks>(
  needed: Needed,
  optional: Optional,
): Shape<Needed, Optional> {
  return { needed, optional };
}

/** Longest URI, and longest path. */
const MAX_TEXT = 4096;

/** Longest SubjectPublicKeyInfo, bytes. */
const MAX_SPKI = 4096;

/** PRELUDE ‖ CORE: 16 bytes, and 65,536 at most. */
const MAX_CORE = 65_552;

/** Of an RSA key of 8,192 bits. */
const MAX_SIGNATURE = 1024;

/** A recipient to add: its SubjectPublicKeyInfo, and the OAEP hash recorded with it. */
const ADDED = shape({ spki: bytes(1, MAX_SPKI) }, { oaep: text(16) });

/** The record that a custodian signs. */
const RECORD = shape(
  {
    /** The `pkcs11:` URI of their signing key. */
    key: text(MAX_TEXT),
  },
  {
    /** SHA-256 of the rules that were obeyed. */
    rulesHash: bytes(32, 32),
  },
);

const REQUESTS = {
  /** The first request on a connection. */
  hello: shape({ version: number }, {}),
  /** The key for a message's body, for its header (`WholeHeader`). */
  open: shape(
    { format: text(32), header: bytes(1, MAX_FRAME_BYTES) },
    {
      /** Only keys that one of these `pkcs11:` URIs matches; by default every key served. */
      keys: list(text(MAX_TEXT), 64),
      /** The client's terminal, where the agent may ask if there is no better way. */
      terminal: text(MAX_TEXT),
      /** Of those keys, only what one of these matches as well: what a host may use. */
      only: list(text(MAX_TEXT), 64),
      /** The host that the client passes requests on for. */
      remote: text(256),
    },
  ),
  /** A header for other recipients before the same body; of a signed message, with a record. */
  rewrap: shape(
    {
      format: text(32),
      header: bytes(1, MAX_FRAME_BYTES),
      add: list(record(ADDED), 1024),
      /** SubjectPublicKeyInfo, DER. */
      remove: list(bytes(1, MAX_SPKI), 1024),
    },
    {
      ...{ oaep: text(16), record: record(RECORD) },
      ...{ keys: list(text(MAX_TEXT), 64), terminal: text(MAX_TEXT) },
    },
  ),
  /** The public half of the one signing key that a URI names. */
  signer: shape(
    { key: text(MAX_TEXT) },
    {
      /** True: logs in as well, as a signature is wanted soon. */
      unlock: flag,
      terminal: text(MAX_TEXT),
    },
  ),
  /** The sender's signature for a message's own description (`WholeCore`). */
  sign: shape(
    { format: text(32), core: bytes(1, MAX_CORE), key: text(MAX_TEXT) },
    { terminal: text(MAX_TEXT) },
  ),
  status: shape({}, {}),
  /** Ends every login. */
  lock: shape({}, {}),
  /** Ends the agent. */
  stop: shape({}, {}),
} as const;

/** A token that the agent has keys on. */
const TOKEN = shape(
  {
    label: text(MAX_TEXT),
    serial: text(MAX_TEXT),
    keys: list(text(MAX_TEXT), 1024),
    unlocked: flag,
    /** Its PIN is typed on the reader. */
    pinPad: flag,
  },
  {
    /** Uses since the login. */
    uses: number,
    /** When the login ends at the latest, and when it ends if nobody uses it: seconds from now. */
    secondsLeft: number,
    idleSecondsLeft: number,
    usesLeft: number,
  },
);

/** A PIN that is to be typed on the reader of this token, as in `PadRequest`. */
const READER = shape(
  {
    label: text(MAX_TEXT),
    serial: text(MAX_TEXT),
    pin: oneOf("ok", "low", "final-try", "locked", "not-set"),
    what: oneOf("login", "use"),
  },
  {},
);

const ANSWERS = {
  hello: shape({ version: number, capabilities: list(text(32), 16) }, {}),
  /**
   * The agent is still at work. `person`: it waits for one, who is to be told what `reader` says;
   * that is said once for each question of a reader's.
   */
  wait: shape({ person: flag }, { reader: record(READER) }),
  /** The key for the body, and whose private key was used. */
  key: shape(
    { key: bytes(BODY_KEY_BYTES, BODY_KEY_BYTES), spki: bytes(1, MAX_SPKI), name: text(MAX_TEXT) },
    { label: text(MAX_TEXT), path: text(256) },
  ),
  /** The new header, and whose private key opened the old one. */
  rewrapped: shape(
    { header: bytes(1, MAX_FRAME_BYTES), spki: bytes(1, MAX_SPKI), name: text(MAX_TEXT) },
    { label: text(MAX_TEXT), path: text(256) },
  ),
  signer: shape({ spki: bytes(1, MAX_SPKI), name: text(MAX_TEXT) }, { label: text(MAX_TEXT) }),
  /** As `PrivateKey.sign` makes it. */
  signature: shape({ signature: bytes(1, MAX_SIGNATURE) }, {}),
  /** The agent has no key for this message, or for these URIs. */
  "no-key": shape({}, {}),
  status: shape(
    {
      pid: number,
      /** Where the agent asks for PINs. */
      asks: text(MAX_TEXT),
      /** How it knows who is at the other end of a connection. */
      peers: text(MAX_TEXT),
      tokens: list(record(TOKEN), 256),
    },
    {},
  ),
  done: shape({}, {}),
  /** The fields of an error. */
  error: shape(
    { name: text(64), code: text(64), message: text(MAX_TEXT) },
    { hint: text(MAX_TEXT), fn: text(64), ckr: text(64) },
  ),
} as const;

export type Request = MessageOf<typeof REQUESTS>;
export type Answer = MessageOf<typeof ANSWERS>;
export type AnswerOf<Kind extends Answer["kind"]> = Extract<Answer, { kind: Kind }>;
export type ServedTokenStatus = ValueOf<typeof TOKEN>;
export type ReaderNotice = ValueOf<typeof READER>;

/** The bytes of a message, without its frame. */
export function encodeMessage(message: Request | Answer): Uint8Array {
  return encode(message);
}

/** @throws TokenError `ERR_AGENT_PROTOCOL` */
export function decodeRequest(bytes: Uint8Array): Request {
  return decoded(bytes, REQUESTS) as Request;
}

/** @throws TokenError `ERR_AGENT_PROTOCOL` */
export function decodeAnswer(bytes: Uint8Array): Answer {
  return decoded(bytes, ANSWERS) as Answer;
}

// ── Checks ──

function decoded(bytes: Uint8Array, shapes: Readonly<Record<string, Shape>>): unknown {
  let value: unknown;
  try {
    value = plain(decode(bytes, { ...STRICT_CBOR, tokenizer: new FewTokens(bytes) }), 0);
  } catch {
    throw refused("not CBOR");
  }
  if (!isRecord(value)) throw refused("not a map");
  const { kind, ...fields } = value;
  const expected =
    typeof kind === "string" && Object.hasOwn(shapes, kind) ? shapes[kind] : undefined;
  if (expected === undefined) throw refused("an unknown kind of message");
  if (!hasShape(fields, expected)) throw refused("fields that are not as they should be");
  const again = encode(value);
  const isSame = equal(again, bytes);
  again.fill(0);
  if (!isSame) throw refused("not in its one encoding");
  return value;
}

/** Refuses what a few bytes a piece would make of a frame: objects by the million. */
class FewTokens extends Tokenizer {
  #left = MAX_TOKENS;

  constructor(bytes: Uint8Array) {
    // Slices of a Buffer would be views of it.
    super(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length), STRICT_CBOR);
  }

  override next(): Token {
    this.#left -= 1;
    if (this.#left < 0) throw new RangeError("too many values");
    return super.next();
  }
}

/** Values in a message, with the names of their fields: the longest lists have a thousand. */
const MAX_TOKENS = 65_536;

/** Objects in place of maps, which can't have odd prototypes before their keys were looked at. */
function plain(value: unknown, depth: number): unknown {
  if (depth > MAX_DEPTH) throw new RangeError("nested too deep");
  if (Array.isArray(value)) return value.map((one) => plain(one, depth + 1));
  if (!(value instanceof Map)) return value;
  const entries = [...(value as ReadonlyMap<unknown, unknown>)].map(([name, one]) => {
    if (typeof name !== "string" || name === "__proto__") throw new TypeError("not a field's name");
    return [name, plain(one, depth + 1)] as const;
  });
  return Object.fromEntries(entries);
}

/** A list of maps with lists is as deep as messages get. */
const MAX_DEPTH = 4;

function hasShape(value: unknown, { needed, optional }: Shape): boolean {
  if (!isRecord(value)) return false;
  const isWhole = Object.keys(needed).every((name) => Object.hasOwn(value, name));
  return (
    isWhole &&
    Object.entries(value).every(([name, one]) => {
      const check = own(needed, name) ?? own(optional, name);
      return check?.(one) === true;
    })
  );
}

function own(checks: Checks, name: string): Check<unknown> | undefined {
  return Object.hasOwn(checks, name) ? checks[name] : undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    !ArrayBuffer.isView(value)
  );
}

function refused(detail: string): TokenError {
  return new TokenError(
    "ERR_AGENT_PROTOCOL",
    `a message between agent and client is malformed: ${detail}`,
    {
      hint: "agent and client may be of different versions: restart the agent",
    },
  );
}
