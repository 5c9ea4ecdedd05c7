/** What a client may ask for: the methods of `TokenService`, with private keys used by name. */
import { defined } from "../../defined.js";
import { TokenError } from "../../errors.js";
import type { Using } from "../../keys/key.js";
import { TokenAccess } from "../access.js";
import { pinText } from "../session/login.js";
import { initDevelopmentToken } from "../session/softhsm.js";
import type { AtPad, KeyInfo, PinAsker, PinProvider } from "../values.js";
import { KeyOperations } from "./key-operations.js";
import {
  type FromServer,
  packError,
  type PackedError,
  type Request,
  type Start,
  unpack,
  unpackError,
} from "./wire.js";

export interface OperationsOptions {
  readonly env: Record<string, string | undefined>;
  readonly pin: PinAsker;
  readonly atPad: AtPad;
  readonly say: (message: FromServer) => void;
}

export class Operations {
  readonly #access: TokenAccess;
  readonly #keys: KeyOperations;
  readonly #own: Readonly<Record<string, (...args: never[]) => unknown>>;
  /** Keys that the client sent, by URI. From then on it names them by that alone. */
  readonly #known = new Map<string, KeyInfo>();

  constructor(start: Start, { env, pin, atPad, say }: OperationsOptions) {
    const { modules, home, force, traced, faulty } = start;
    this.#access = new TokenAccess({
      ...{ modules, home, force, env, pin, atPad },
      faulty: new Map(faulty.flatMap(([path, packed]) => faultOf(path, packed))),
      trace: (line) => {
        if (traced) say({ kind: "trace", line });
      },
      trying: (path, phase) => {
        say({ kind: "trying", path, phase });
      },
      loginEnded: (token, refusal, whose) => {
        say({
          ...{ kind: "login", token, whose },
          ...defined({ refusal: refusal === undefined ? undefined : packError(refusal) }),
        });
      },
    });
    const plainPin: PinProvider = async (request) => pinText(await pin(request));
    this.#keys = new KeyOperations(this.#access);
    this.#own = {
      rescan: () => {
        this.#keys.forget();
        return this.#access.rescan();
      },
      initDevelopmentToken: (options: { label: string; module?: string }) =>
        initDevelopmentToken({ ...options, ...{ home, env, pin: plainPin, soPin: plainPin } }),
    };
  }

  /** Runs a method and returns its result, or a promise of it. */
  run({ method, key, args: packed }: Request, using: Using): unknown {
    const args = unpack(packed) as unknown[];
    const { byMethod } = this.#keys;
    if (Object.hasOwn(byMethod, method)) {
      return byMethod[method]?.(this.#named(key), using, ...(args as never[]));
    }
    if (Object.hasOwn(this.#own, method)) return this.#own[method]?.(...(args as never[]));
    if (!PASSED_ON.has(method)) throw new TypeError(`no such method: ${method}`);
    const access = this.#access as unknown as Record<string, (...args: unknown[]) => unknown>;
    return access[method]?.(...args);
  }

  /** Ends logins and modules; waits for operations that run. */
  close(): Promise<void> {
    return this.#access.close();
  }

  #named(key: unknown): KeyInfo {
    if (typeof key !== "string") {
      const sent = unpack(key) as KeyInfo;
      this.#known.set(sent.uri, sent);
      return sent;
    }
    const known = this.#known.get(key);
    if (known === undefined) throw new TypeError(`the key was never sent: ${key}`);
    return known;
  }
}

/** Methods of `TokenAccess` that are called as they stand: they take and return plain values. */
const PASSED_ON: ReadonlySet<string> = new Set([
  "modules",
  "tokens",
  "findToken",
  "keys",
  "troubles",
  "findKey",
  "findCopies",
  "logIn",
  "isLoggedIn",
  "obstacle",
  "pinPolicy",
  "changePin",
  "unblockPin",
  "withPublicHalf",
  "generate",
  "probeOaep",
  "storeCertificate",
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
