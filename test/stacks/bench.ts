/**
 * A stack under test: its token, keys that are made on it once and used by many rows, and
 * connections to it, which are closed at the end.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import type { PrivateKey, RsaPrivateKey } from "../../src/keys/key.js";
import { TokenProcess } from "../../src/token/process/token-process.js";
import type { TokenService } from "../../src/token/service.js";
import type {
  GeneratedKey,
  KeyInfo,
  KeyType,
  PinProvider,
  TokenInfo,
} from "../../src/token/values.js";
import { formatUri, parseUri } from "../../src/token/uri.js";
import { CHILD_PROGRAM } from "../support/child-program.js";
import { type RawResult, rawSteps, type RawStep, type RawToken } from "../support/raw-token.js";
import { type StackName, stated, type StatedStack } from "./stated.js";

export interface Stack extends RawToken {
  readonly name: StackName;
  readonly versions: string;
}

/** Thrown if a token does not keep a promise and no project error says so. */
export class Lacking extends Error {
  readonly code: string;

  constructor(code: string, message: string = code) {
    super(message);
    this.code = code;
  }
}

/** A stack as `npm test` set it up, or the reason why it could not. */
export function findStack(name: StackName): Stack | { readonly reason: string } {
  const file = process.env["TEST_STACKS"];
  if (file === undefined) return { reason: "no stack was started; `npm test` does" };
  const found = (
    JSON.parse(readFileSync(file, "utf8")) as Partial<
      Record<
        StackName,
        (Omit<Stack, "name" | "parameters"> & { reason?: never }) | { reason: string }
      >
    >
  )[name];
  if (found === undefined) return { reason: "this stack was not asked for" };
  if (found.reason !== undefined) return { reason: found.reason };
  const database = found.env["P11SEAL_NSS_DIR"];
  const parameters = `configdir='sql:${database ?? ""}' certPrefix='' keyPrefix='' secmod='secmod.db' flags=`;
  return { ...found, name, ...(database === undefined ? {} : { parameters }) };
}

/** A key's purpose: RSA keys may only unwrap, or may decrypt too. */
export type Purpose = "exchange" | "decrypt" | "sign";

/** Options of a connection. */
interface DoorOptions {
  readonly pin?: PinProvider;
  /** Sends a PIN even if a wrong one would lock the token. */
  readonly force?: boolean;
}

/** As in listings. */
export const KINDS: Readonly<Record<KeyType, string>> = {
  "rsa:2048": "RSA-2048",
  "rsa:3072": "RSA-3072",
  "rsa:4096": "RSA-4096",
  "ec:p256": "P-256",
  "ec:p384": "P-384",
  "ec:p521": "P-521",
  x25519: "X25519",
  ed25519: "Ed25519",
};

export class Bench {
  readonly stack: Stack;
  readonly stated: StatedStack;
  readonly #trace: string[] = [];
  readonly #doors: TokenService[] = [];
  readonly #keys = new Map<string, Promise<GeneratedKey>>();
  #door: TokenService | undefined;

  constructor(stack: Stack) {
    this.stack = stack;
    this.stated = stated.stacks[stack.name];
  }

  /** The connection that most rows share; it has the right PIN. */
  get door(): TokenService {
    this.#door ??= this.open({});
    return this.#door;
  }

  /** A separate connection: a process with the stack's environment and its module. */
  open(options: DoorOptions): TokenService {
    const { module, env, pin } = this.stack;
    const door = new TokenProcess({
      modules: [module],
      home: "/nonexistent",
      env: { ...process.env, ...env },
      pin: () => Promise.resolve(pin),
      trace: (line) => void this.#trace.push(line),
      program: CHILD_PROGRAM,
      ...options,
    });
    this.#doors.push(door);
    return door;
  }

  /** Closes the shared connection: the next one sees what other processes have made since. */
  async reopen(): Promise<void> {
    await this.#door?.close();
    this.#door = undefined;
  }

  async close(): Promise<void> {
    for (const door of this.#doors) await door.close();
  }

  get uri(): string {
    return formatUri({ token: this.stack.tokenLabel });
  }

  token(door: TokenService = this.door): Promise<TokenInfo> {
    return door.findToken(parseUri(this.uri));
  }

  /** Types of keys of this kind that the token holds. */
  types<T extends KeyType>(...among: readonly T[]): T[] {
    return among.filter((type) => this.stated.holds.includes(type));
  }

  /** True unless the row is stated as not offered. */
  offers(row: string): boolean {
    return this.stated.lacks[row] === undefined;
  }

  /** A key of this type and purpose, generated or preloaded; the same one each time. */
  async key(type: KeyType, purpose: Purpose = "exchange"): Promise<KeyInfo> {
    if (this.stated.given) return this.#givenKey(type, purpose);
    return (await this.made(type, purpose)).key;
  }

  /** A key that the token generated, with its report; the same one each time. */
  made(type: KeyType, purpose: Purpose = "exchange"): Promise<GeneratedKey> {
    const name = `${type} ${purpose}`;
    const known = this.#keys.get(name);
    if (known !== undefined) return known;
    const made = this.newKey(type, purpose);
    this.#keys.set(name, made);
    return made;
  }

  /** The preloaded key. */
  async #givenKey(type: KeyType, purpose: Purpose): Promise<KeyInfo> {
    const listed = await this.door.keys(parseUri(this.uri));
    const found = listed.filter(
      ({ kind, uses }) => kind === KINDS[type] && uses.includes("sign") === (purpose === "sign"),
    );
    const [key] = found;
    if (key === undefined || found.length > 1) throw new Lacking("NO_SUCH_KEY");
    return key;
  }

  /** A new key for one row. */
  async newKey(type: KeyType, purpose: Purpose, label = freshLabel(type)): Promise<GeneratedKey> {
    return this.door.generate(await this.token(), {
      type,
      label,
      use: purpose === "sign" ? "sign" : "exchange",
      allowDecrypt: purpose === "decrypt",
    });
  }

  async privateKey(key: KeyInfo): Promise<PrivateKey> {
    return this.door.identity(key).unlock();
  }

  async rsaKey(key: KeyInfo): Promise<RsaPrivateKey> {
    const privateKey = await this.privateKey(key);
    if (privateKey.publicKey.type !== "rsa") throw new Error("not an RSA key");
    return privateKey as RsaPrivateKey;
  }

  /** The way that the last private key operation used, from the trace. */
  lastWay(): string {
    const line = this.#trace.findLast(
      (one) => one.startsWith("unwrap: ") && one.includes(" on token"),
    );
    return line?.replace(/^unwrap: /, "").replace(/ on token .*$/, "") ?? "no way";
  }

  raw(steps: readonly RawStep[]): Promise<RawResult[]> {
    return rawSteps(this.stack, steps);
  }

  /** Puts objects on the token. @throws Lacking `NO_IMPORT` if nothing can be imported. */
  async put(steps: readonly RawStep[]): Promise<void> {
    const results = await this.raw(steps);
    const failed = results.find((one) => "error" in one);
    if (failed !== undefined) throw new Lacking("NO_IMPORT", failed.error);
    await this.reopen();
  }
}

/** A label that no other key has. */
export function freshLabel(name: string): string {
  return `${name} ${randomBytes(4).toString("hex")}`;
}
