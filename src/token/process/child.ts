/**
 * The token's process: it loads the vendor's module, keeps the login, and does as `TokenProcess` asks
 * until its channel closes. A PIN that is typed, read from a file or printed by a command is fetched
 * here and never leaves. A crash of the module ends this process and nothing else.
 */
import nodeModule from "node:module";
import { Worker } from "node:worker_threads";
import type { CapiPrivateKey } from "../../capi/private-key.js";
import type { CapiSigningKey } from "../../capi/hash-signature.js";
import { TokenError } from "../../errors.js";
import type { EcPrivateKey, OaepHash, PrivateKey, RsaPrivateKey, Using } from "../../keys/key.js";
import type { SigningKey } from "../../keys/signing.js";
import { restore } from "../../terminal/interrupts.js";
import { TokenAccess } from "../access.js";
import { setSideBySide } from "../modules/operating.js";
import { checkPin, pinFromSource } from "../session/pin.js";
import { initDevelopmentToken } from "../session/softhsm.js";
import type { KeyInfo, PinProvider, PinReference, PinRequest } from "../values.js";
import { restoreEnvironment } from "./environment.js";
import {
  COMMAND_STDERR,
  type FromChild,
  type FromParent,
  pack,
  packError,
  type PackedError,
  type PinAnswer,
  type Request,
  type Start,
  unpack,
  unpackError,
} from "./wire.js";

/** What `TokenProcess` may ask for: `TokenService`, with keys used by name. */
class Operations {
  readonly #start: Start;
  readonly #access: TokenAccess;
  readonly #unlocked = new Map<string, Promise<PrivateKey>>();
  readonly #signing = new Map<string, Promise<SigningKey>>();
  readonly #capi = new Map<string, Promise<CapiPrivateKey>>();
  readonly #capiSigning = new Map<string, Promise<CapiSigningKey>>();
  /** Keys that were sent, by URI: from then on they are spoken of by that. */
  readonly #sent = new Map<string, KeyInfo>();

  constructor(start: Start) {
    this.#start = start;
    const { modules, home, force, faulty } = start;
    this.#access = new TokenAccess({
      ...{ modules, home, force, env: process.env, pin: askForPin, trace },
      faulty: new Map(faulty.flatMap(([path, packed]) => faultOf(path, packed))),
      trying: (path, phase) => {
        say({ kind: "trying", path, phase });
      },
      loginEnded: (token, refusal) => {
        say({
          ...{ kind: "login", token },
          ...(refusal === undefined ? {} : { refusal: packError(refusal) }),
        });
      },
    });
  }

  /** Runs a method of `TokenAccess` that takes and returns plain values, or one of ours. */
  run({ method, key, args: packed }: Request, using: Using): unknown {
    const args = unpack(packed) as unknown[];
    if (Object.hasOwn(this.#withKey, method)) {
      return this.#withKey[method]?.(this.#named(key), using, ...(args as never[]));
    }
    if (Object.hasOwn(this.#own, method)) return this.#own[method]?.(...(args as never[]));
    if (!PASSED_ON.has(method)) throw new TypeError(`no such method: ${method}`);
    const access = this.#access as unknown as Record<string, (...args: unknown[]) => unknown>;
    return access[method]?.(...args);
  }

  #named(key: unknown): KeyInfo {
    if (typeof key !== "string") {
      const sent = unpack(key) as KeyInfo;
      this.#sent.set(sent.uri, sent);
      return sent;
    }
    const known = this.#sent.get(key);
    if (known === undefined) throw new TypeError(`a key that was not sent: ${key}`);
    return known;
  }

  readonly #withKey: Readonly<
    Record<string, (key: KeyInfo, using: Using, ...args: never[]) => unknown>
  > = {
    /** Logs in and finds the private key. */
    unlock: async (key): Promise<unknown> => {
      const found = await this.#privateKey(key);
      return found.type === "rsa"
        ? { type: found.type, oaepHashes: found.oaepHashes }
        : { type: found.type };
    },
    decryptOaep: async (key, using, ciphertext: Uint8Array, hash: OaepHash) => {
      const found = (await this.#privateKey(key)) as RsaPrivateKey;
      return taken(await found.decryptOaep(ciphertext, hash, using));
    },
    agree: async (key, using, peer: Uint8Array) => {
      const found = (await this.#privateKey(key)) as EcPrivateKey;
      return taken(await found.agree(peer, using));
    },
    unlockSigner: async (key): Promise<void> => {
      await this.#signingKey(key);
    },
    sign: async (key, _using, message: Uint8Array) => (await this.#signingKey(key)).sign(message),
    unlockCapi: async (key): Promise<void> => {
      await this.#capiKey(key);
    },
    capiDecrypt: async (
      key,
      using,
      how: "decryptPkcs1v15" | "decryptOaepSha1",
      ciphertext: Uint8Array,
    ) => taken(await (await this.#capiKey(key))[how](ciphertext, using)),
    unlockCapiSigner: async (key): Promise<void> => {
      await this.#capiSigningKey(key);
    },
    capiSign: async (key, _using, payload: Uint8Array) =>
      (await this.#capiSigningKey(key)).signPkcs1v15(payload),
  };

  readonly #own: Readonly<Record<string, (...args: never[]) => unknown>> = {
    rescan: () => {
      const kept = [this.#unlocked, this.#signing, this.#capi, this.#capiSigning];
      for (const map of kept) map.clear();
      return this.#access.rescan();
    },
    initDevelopmentToken: (options: { label: string; module?: string }) =>
      initDevelopmentToken({
        ...options,
        ...{ home: this.#start.home, env: process.env, pin: askForPin, soPin: askForPin },
      }),
  };

  /** The token may have been pulled and be back since: its objects have other handles then. */
  async #forgetIfPulled<T>(map: Map<string, Promise<T>>, key: KeyInfo): Promise<void> {
    if (map.has(key.uri) && !(await this.#access.isLoggedIn(key.token))) map.delete(key.uri);
  }

  /** Asked for each use, since the token may be pulled between two. */
  async #privateKey(key: KeyInfo): Promise<PrivateKey> {
    await this.#forgetIfPulled(this.#unlocked, key);
    return remembered(this.#unlocked, key.uri, () => this.#access.identity(key).unlock());
  }

  async #signingKey(key: KeyInfo): Promise<SigningKey> {
    await this.#forgetIfPulled(this.#signing, key);
    return remembered(this.#signing, key.uri, () => this.#access.signingIdentity(key).unlock());
  }

  #capiKey(key: KeyInfo): Promise<CapiPrivateKey> {
    return remembered(this.#capi, key.uri, () => this.#access.capiKey(key).unlock());
  }

  #capiSigningKey(key: KeyInfo): Promise<CapiSigningKey> {
    return remembered(this.#capiSigning, key.uri, () => this.#access.capiSigningKey(key).unlock());
  }
}

/** Methods of `TokenAccess` that are called as they stand. */
const PASSED_ON: ReadonlySet<string> = new Set([
  "modules",
  "tokens",
  "findToken",
  "keys",
  "findKey",
  "generate",
  "probeOaep",
  "deleteKey",
  "audit",
  "mechanisms",
  "plan",
  "diagnose",
  "close",
]);

function faultOf(path: string, packed: PackedError): [string, TokenError][] {
  const error = unpackError(packed);
  return error instanceof TokenError ? [[path, error]] : [];
}

/** One attempt for all who ask at once; a failed one is forgotten. */
function remembered<T>(
  map: Map<string, Promise<T>>,
  name: string,
  make: () => Promise<T>,
): Promise<T> {
  const known = map.get(name);
  if (known !== undefined) return known;
  const made = make();
  map.set(name, made);
  made.catch(() => map.delete(name));
  return made;
}

/** The secret's bytes, for one message to the parent. */
function taken(secret: { expose(): Uint8Array } | null): Uint8Array | null {
  return secret === null ? null : secret.expose();
}

// ── PINs ────────────────────────────────────────────────────────────────────────────────────────

const questions = new Map<number, (answer: PinAnswer) => void>();
let asked = 0;
/** Sources give the same PIN throughout a run, since a pipe can be read once. */
const sources = new Map<string, PinProvider>();

async function askForPin(request: PinRequest): Promise<string> {
  asked += 1;
  const id = asked;
  const answered = new Promise<PinAnswer>((resolve) => questions.set(id, resolve));
  say({ kind: "ask", id, request });
  const { pin, error } = await answered;
  if (error !== undefined) throw unpackError(error);
  if (typeof pin === "string") return concealed(checkPin(pin));
  if (pin === undefined) throw new TypeError("an answer without a PIN");
  const atTerminal = "questions" in pin;
  say({ kind: "person", waiting: true, atTerminal });
  try {
    return concealed(await fetchPin(pin, request));
  } finally {
    say({ kind: "person", waiting: false, atTerminal });
  }
}

async function fetchPin(reference: PinReference, request: PinRequest): Promise<string> {
  if ("source" in reference) {
    const { source } = reference;
    const provide = sources.get(source) ?? pinFromSource(source, process.env, COMMAND_STDERR);
    sources.set(source, provide);
    return provide(request);
  }
  const { askAlike, controllingTerminal } = await import("../../terminal/terminal.js");
  const terminal = controllingTerminal();
  if (terminal === undefined) throw new TokenError("ERR_PIN_MISSING", "the terminal is gone");
  try {
    return checkPin(await askAlike(terminal, reference.questions));
  } finally {
    terminal.close();
  }
}

/** PINs of this run, blotted out of what nobody foresaw. */
const secrets = new Set<string>();

function concealed(pin: string): string {
  secrets.add(pin);
  return pin;
}

function blotted(error: PackedError): PackedError {
  if (error.code !== undefined) return error;
  const blot = (text: string): string =>
    [...secrets].reduce((rest, secret) => rest.replaceAll(secret, "[secret]"), text);
  const { name, message, stack } = error;
  return { name, message: blot(message), ...(stack === undefined ? {} : { stack: blot(stack) }) };
}

// ── The channel ─────────────────────────────────────────────────────────────────────────────────

function trace(line: string): void {
  if (isTraced) say({ kind: "trace", line });
}

let isTraced = false;

function say(message: FromChild): void {
  // The parent may be gone, and then nobody wants to know.
  if (process.connected) process.send?.(message, undefined, undefined, ignore);
}

/** Requests under way. */
let underWay = 0;

/** Of Node from 22.1 on, which does it only where a program ends by itself. */
const { flushCompileCache } = nodeModule as { flushCompileCache?: () => void };

/** No module has anything left to do. */
let isFinalized = false;

async function serve(operations: Operations, request: Request): Promise<void> {
  const { id } = request;
  let told: { readonly path?: string } = {};
  underWay += 1;
  try {
    const value = await operations.run(request, (path) => {
      told = { path };
    });
    isFinalized ||= request.method === "close";
    say({ kind: "result", id, value: pack(value), ...told });
  } catch (error) {
    say({ kind: "failure", id, error: blotted(packError(error)), ...told });
  } finally {
    underWay -= 1;
  }
}

function ignore(): void {
  // Nothing to do about it.
}

/**
 * Ends this process when the parent is gone, even while a native call never returns: the event loop
 * stands still then, this thread does not. A process that hangs would hold a card for everybody.
 */
function watchParent(parent: number): void {
  const watch = `setInterval(() => {
    if (process.ppid !== ${parent}) process.kill(process.pid, "SIGKILL");
  }, 1000);`;
  new Worker(watch, { eval: true }).unref();
}

function main(): void {
  let operations: Operations | undefined;
  setSideBySide(() => underWay > 1);
  process.title = "p11seal token";
  restoreEnvironment(process.env);
  // Ctrl-C reaches the whole group; what it means is the parent's to say, and a terminal that is
  // asked for a PIN has a way of its own to tell.
  process.on("SIGINT", ignore);
  for (const signal of ["SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => {
      restore();
      process.exit(1);
    });
  }
  process.once("disconnect", () => {
    restore();
    flushCompileCache?.();
    // Without what modules do when a program ends: nobody waits any more, and one that hangs would stay.
    if (isFinalized) process.kill(process.pid, "SIGKILL");
    process.exit(0);
  });
  process.on("message", (message: FromParent) => {
    switch (message.kind) {
      case "start":
        isTraced = message.traced;
        // Who died before `watchParent` looked is not watched, and what it asked for not begun.
        if (process.ppid !== message.parent) process.exit(0);
        operations = new Operations(message);
        break;
      case "request":
        if (operations !== undefined) void serve(operations, message);
        break;
      case "pin":
        questions.get(message.id)?.(message);
        questions.delete(message.id);
        break;
    }
  });
  // Loading the binding takes a while, and may as well happen before it is needed.
  import("pkcs11js").catch(ignore);
  watchParent(process.ppid);
}

if (process.send !== undefined) main();
