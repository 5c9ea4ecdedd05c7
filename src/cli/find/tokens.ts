/**
 * The tokens of one run. Their process is started when first needed and ended with the run, and
 * each token is logged in to once. Commands that need no token load no module.
 */
import { resolve } from "node:path";
import { defined } from "../../defined.js";
import { TokenError, UsageError } from "../../errors.js";
import { around } from "../../keys/around.js";
import type { ExchangePublicKey, Identity, KnownPublicKey, PublicKey } from "../../keys/key.js";
import { mayHideKeys } from "../../token/hiding.js";
import type { TokenProcess, TokenProcessOptions } from "../../token/process/token-process.js";
import type { TokenService } from "../../token/service.js";
import { isOffered } from "../../token/use/plan.js";
import type { KeyInfo, PinReferrer, TokenInfo } from "../../token/values.js";
import { parseUri, parseUriInFile, type Pkcs11Uri } from "../../token/uri.js";
import type { Arguments } from "../arguments/arguments.js";
import { canGetPin, padTeller, pinReferrer, type PinSources } from "./pins.js";
import type { Context } from "../command.js";
import { homeOf } from "../io/home.js";
import { uriArgument } from "./uri-argument.js";
import type { Patience } from "./waiting.js";

export interface TokenOptions {
  readonly modules: readonly string[];
  readonly pinSources: Omit<PinSources, "uris">;
  /** Use a token's last PIN try. */
  readonly force: boolean;
  readonly patience: Patience;
  /** The command takes a PIN. Others only look at what shows without one. */
  readonly takesPin: boolean;
  /** `--public`: files with public halves of keys that show none. */
  readonly publicHalves: readonly string[];
}

/**
 * What may be done to see more of the token that a URI names: log in; for a command that takes no
 * PIN, say that others would; or nothing, with the reason if the token may hide something.
 */
export type Depth =
  | { readonly kind: "login"; readonly token: TokenInfo }
  | { readonly kind: "would"; readonly token: TokenInfo; readonly reason: string }
  | { readonly kind: "none"; readonly reason?: string };

export class Tokens {
  readonly #options: TokenOptions;
  readonly #context: Context;
  readonly #uris: Pkcs11Uri[] = [];
  readonly #pin: PinReferrer;
  readonly #pinSources: PinSources;
  #access: Promise<TokenProcess> | undefined;
  #halves: Promise<PublicKey[]> | undefined;
  /** The keys of the identities given out. */
  readonly #keys = new WeakMap<Identity<KnownPublicKey>, KeyInfo>();
  readonly #endings: (() => void)[] = [];
  /** The token whose key was last unlocked. */
  #inUse: TokenInfo | undefined;

  constructor(options: TokenOptions, context: Context) {
    this.#options = options;
    this.#context = context;
    this.#pinSources = { ...options.pinSources, uris: this.#uris };
    this.#pin = pinReferrer(this.#pinSources, context);
  }

  /**
   * Parses a URI. The `pin-source` of one from the command line counts from now on.
   *
   * @param inFile - the file it stands in, and the line, if it is not from the command line.
   * @throws as `uriArgument`, `parseUriInFile`
   */
  uri(text: string, inFile?: string): Pkcs11Uri {
    if (inFile !== undefined) return parseUriInFile(text, inFile);
    const uri = uriArgument(text);
    this.#uris.push(uri);
    return uri;
  }

  /**
   * Whether to log in to look for what `uri` names. The PIN is sent to no token but the only one
   * that matches.
   */
  async depth(uri: Pkcs11Uri): Promise<Depth> {
    let token: TokenInfo;
    try {
      token = await (await this.access()).findToken(uri);
    } catch (error) {
      if (isAbsence(error)) return { kind: "none" };
      if (!(error instanceof TokenError) || error.code !== "ERR_TOKEN_NOT_UNIQUE") throw error;
      const reason = "several tokens match, and none was logged in to; add token= or serial=";
      return { kind: "none", reason };
    }
    if (!mayHideKeys(token)) return { kind: "none" };
    const name = `token "${token.label}"`;
    if (!this.#uris.includes(uri)) {
      const reason = `${name} may hide it until login, which a URI in a file never starts`;
      return { kind: "none", reason };
    }
    const remedy = this.#options.takesPin
      ? "say where its PIN is with --pin-source"
      : "this command takes no PIN; p11seal keys list and keys export do";
    const reason = `${name} may hide it until login; ${remedy}`;
    if (!(await canGetPin(this.#pinSources, token, this.#context))) return { kind: "none", reason };
    if (!this.#options.takesPin) return { kind: "would", token, reason };
    return { kind: "login", token };
  }

  /** Public keys that may be missing on a token: from `--public` and the directory. */
  candidateHalves(): Promise<PublicKey[]> {
    this.#halves ??= import("./public-halves.js").then(({ candidateHalves }) =>
      candidateHalves(this.#options.publicHalves, this.#context),
    );
    return this.#halves;
  }

  access(): Promise<TokenProcess> {
    this.#access ??= this.#open(this.#pin);
    return this.#access;
  }

  /** Makes processes of their own for tokens, with a way to a PIN each; the caller closes them. */
  processes(): Promise<(pin: PinReferrer, pad: PadTeller) => TokenProcess> {
    return this.#maker();
  }

  /**
   * What `find` finds on tokens. If no token matches `uri`, one is waited for, as `--wait` says.
   *
   * @throws as `find`
   */
  async find<T>(uri: Pkcs11Uri, find: (access: TokenService) => Promise<T>): Promise<T> {
    const access = await this.access();
    for (;;) {
      try {
        return await find(access);
      } catch (error) {
        if (!isAbsence(error) || !(await this.#await(uri))) throw error;
        // It is there, but some modules see new tokens only after they are started anew.
        if (!(await isSeen(uri, access))) await access.rescan();
      }
    }
  }

  /** A key to open with. */
  identity(access: TokenService, key: KeyInfo): Identity<ExchangePublicKey> {
    const identity = around(access.identity(key), {
      before: () => {
        this.#inUse = key.token;
      },
    });
    this.#keys.set(identity, key);
    return identity;
  }

  /** Notes that `identity` uses the key of `half`, if that is a token's. */
  standsFor(identity: Identity, half: Identity): void {
    const key = this.#keys.get(half);
    if (key !== undefined) this.#keys.set(identity, key);
  }

  /** The token's key that an identity stands for, or uses. */
  keyOf(identity: Identity<KnownPublicKey>): KeyInfo | undefined {
    return this.#keys.get(identity);
  }

  /** True for a key that its token lists no way to open with: others are tried, and their PINs. */
  async isDoubtful(identity: Identity<KnownPublicKey>): Promise<boolean> {
    const key = this.keyOf(identity);
    if (key === undefined) return false;
    const access = await this.access();
    // A fault of its token is told when the key's turn comes.
    const plan = await access.plan(key, "open").catch(() => undefined);
    return plan !== undefined && !isOffered(plan);
  }

  /**
   * After a failure: whether the token in use was pulled, and is back. If it is missing it is
   * waited for, as `--wait` says.
   */
  async isBack(error: unknown): Promise<boolean> {
    if (this.#inUse === undefined || !(error instanceof TokenError)) return false;
    const uri = parseUri(this.#inUse.uri);
    // A module that hung or crashed for another reason would do so again: then don't wait.
    const isGone = GONE.has(error.code) && !(await isSeen(uri, await this.access()));
    if (error.code !== "ERR_TOKEN_REMOVED" && !isGone) return false;
    try {
      return await this.#await(uri);
    } catch (fault) {
      // The first error is the one to report.
      if (fault instanceof TokenError) return false;
      throw fault;
    }
  }

  async #await(uri: Pkcs11Uri): Promise<boolean> {
    const { awaitToken } = await import("./waiting.js");
    return awaitToken(uri, this.#options.patience, this.#context, () => this.#open(NO_PIN));
  }

  /** Called when the run ends. */
  atEnd(ending: () => void): void {
    this.#endings.push(ending);
  }

  async close(): Promise<void> {
    for (const ending of this.#endings) ending();
    if (this.#access === undefined) return;
    const access = await this.#access.catch(() => undefined);
    await access?.close();
  }

  async #open(pin: PinReferrer): Promise<TokenProcess> {
    return (await this.#maker())(pin, padTeller(this.#pinSources, this.#context));
  }

  async #maker(): Promise<(pin: PinReferrer, pad: PadTeller) => TokenProcess> {
    const { io, report } = this.#context;
    const trace = report.verbose ? report.trace.bind(report) : undefined;
    const timeoutMs = timeoutFrom(io.env["P11SEAL_TOKEN_TIMEOUT"]);
    const { TokenProcess } = await import("../../token/process/token-process.js");
    const options = {
      modules: this.#options.modules.map((path) => resolve(path)),
      home: homeOf(io),
      env: io.env,
      force: this.#options.force,
      ...defined({ timeoutMs, trace }),
    };
    return (pin, pad) => new TokenProcess({ ...options, pin, pad });
  }
}

/** @throws UsageError `ERR_TOKEN_TIMEOUT_VALUE` */
function timeoutFrom(seconds: string | undefined): number | undefined {
  if (seconds === undefined || seconds === "") return undefined;
  if (/^[1-9]\d{0,3}$/.test(seconds)) return Number(seconds) * 1000;
  throw new UsageError(
    "ERR_TOKEN_TIMEOUT_VALUE",
    `P11SEAL_TOKEN_TIMEOUT is "${seconds}", not a number of seconds from 1 to 9999`,
  );
}

function isAbsence(error: unknown): boolean {
  return error instanceof TokenError && error.code === "ERR_TOKEN_NOT_FOUND";
}

async function isSeen(uri: Pkcs11Uri, access: TokenService): Promise<boolean> {
  try {
    await access.findToken(uri);
    return true;
  } catch (error) {
    if (error instanceof TokenError) return false;
    throw error;
  }
}

/** @throws UsageError when `--wait` is not a number of seconds */
function secondsOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new UsageError("ERR_USAGE", `--wait takes a whole number of seconds, not "${text}"`);
}

/** Errors after which a token may turn out to be missing. */
const GONE: ReadonlySet<string> = new Set([
  "ERR_TOKEN_REMOVED",
  "ERR_TOKEN_NOT_FOUND",
  "ERR_TOKEN_TIMEOUT",
  "ERR_TOKEN_CRASHED",
]);

type PadTeller = NonNullable<TokenProcessOptions["pad"]>;

/** Looking for a token needs no login. */
const NO_PIN: PinReferrer = () => Promise.reject(new TypeError("a PIN was asked for"));

/**
 * Runs `use` with tokens as a command's options say, and closes them.
 *
 * @param how - `takesPin`: false where this run of a command that takes PINs takes none
 */
export async function withTokens<T>(
  args: Arguments,
  context: Context,
  use: (tokens: Tokens) => Promise<T>,
  how: { readonly takesPin?: boolean } = {},
): Promise<T> {
  const options = {
    modules: args.has("module") ? args.texts("module") : [],
    pinSources: {
      user: args.has("pin-source") ? args.text("pin-source") : undefined,
      so: args.has("so-pin-source") ? args.text("so-pin-source") : undefined,
      ...(args.has("new-pin-source") ? { fresh: { source: args.text("new-pin-source") } } : {}),
    },
    force: args.has("force") && args.flag("force"),
    takesPin: how.takesPin ?? args.has("pin-source"),
    publicHalves: args.has("public") ? args.texts("public") : [],
    patience: {
      seconds: args.has("wait") ? secondsOf(args.text("wait")) : 0,
      json: args.reporting.json,
    },
  };
  const tokens = new Tokens(options, context);
  try {
    return await use(tokens);
  } finally {
    await tokens.close();
  }
}
