/**
 * The tokens of one run: opened when first needed, closed at the end, one login each. Loading the native
 * part waits until then, so that commands which need no token need no module either.
 */
import { resolve } from "node:path";
import { UsageError } from "../errors.js";
import type { TokenProcess } from "../token/process/token-process.js";
import type { PinReferrer } from "../token/types.js";
import { parseUri, type Pkcs11Uri } from "../token/uri.js";
import type { Arguments } from "./arguments.js";
import { homeFolder } from "./home.js";
import { pinReferrer } from "./pins.js";
import type { Context } from "./usage.js";

export interface TokenOptions {
  readonly modules: readonly string[];
  readonly pinSource: string | undefined;
  /** Use a token's last PIN try. */
  readonly force: boolean;
}

export class Tokens {
  readonly #options: TokenOptions;
  readonly #context: Context;
  readonly #uris: Pkcs11Uri[] = [];
  readonly #pin: PinReferrer;
  #access: Promise<TokenProcess> | undefined;
  #unwrapPath: string | undefined;

  constructor(options: TokenOptions, context: Context) {
    this.#options = options;
    this.#context = context;
    this.#pin = pinReferrer({ user: options.pinSource, uris: this.#uris }, context);
  }

  /** A URI that was given in this run: its `pin-source` counts from now on. */
  uri(text: string): Pkcs11Uri {
    const uri = parseUri(text);
    this.#uris.push(uri);
    return uri;
  }

  /** How the last session key was reached on a token, as in `C_UnwrapKey …`. */
  get unwrapPath(): string | undefined {
    return this.#unwrapPath;
  }

  /** For the next message: nothing was unwrapped yet. */
  forgetUnwrapPath(): void {
    this.#unwrapPath = undefined;
  }

  access(): Promise<TokenProcess> {
    this.#access ??= this.#open();
    return this.#access;
  }

  async close(): Promise<void> {
    if (this.#access === undefined) return;
    const access = await this.#access.catch(() => undefined);
    await access?.close();
  }

  async #open(): Promise<TokenProcess> {
    const { io, report } = this.#context;
    const { TokenProcess } = await import("../token/process/token-process.js");
    return new TokenProcess({
      modules: this.#options.modules.map((path) => resolve(path)),
      home: homeFolder(io.env),
      env: io.env,
      pin: this.#pin,
      force: this.#options.force,
      ...timeoutFrom(io.env["P11SEAL_TOKEN_TIMEOUT"]),
      trace: (line) => {
        this.#unwrapPath = /^unwrap: (.+) on token "/.exec(line)?.[1] ?? this.#unwrapPath;
        report.trace(line);
      },
    });
  }
}

/** @throws UsageError `ERR_TOKEN_TIMEOUT_VALUE` */
function timeoutFrom(seconds: string | undefined): { timeoutMs?: number } {
  if (seconds === undefined || seconds === "") return {};
  if (/^[1-9]\d{0,3}$/.test(seconds)) return { timeoutMs: Number(seconds) * 1000 };
  throw new UsageError(
    "ERR_TOKEN_TIMEOUT_VALUE",
    `P11SEAL_TOKEN_TIMEOUT is "${seconds}", not a number of seconds from 1 to 9999`,
  );
}

/** Runs `use` with the tokens that a command's options speak of. */
export async function withTokens<T>(
  args: Arguments,
  context: Context,
  use: (tokens: Tokens) => Promise<T>,
): Promise<T> {
  const options = {
    modules: args.has("module") ? args.texts("module") : [],
    pinSource: args.has("pin-source") ? args.text("pin-source") : undefined,
    force: args.has("force") && args.flag("force"),
  };
  const tokens = new Tokens(options, context);
  try {
    return await use(tokens);
  } finally {
    await tokens.close();
  }
}
