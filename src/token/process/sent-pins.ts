/**
 * Answers a server's questions for PINs, and has people told to type them on readers. It remembers
 * which tokens have refused a PIN, or may have: none gets a second one, not even after a crash, to
 * spare its retry counter.
 */
import { TokenError } from "../../errors.js";
import type { PadRequest, PinReferrer, PinRequest, TokenInfo } from "../values.js";
import { type PackedError, packError, type PinAnswer } from "./wire.js";

export class SentPins {
  readonly #provide: PinReferrer;
  readonly #tell: (request: PadRequest) => unknown;
  /** PINs of tokens that refused one, or may have: no other one is sent in this run. */
  readonly #refused = new Map<string, PackedError>();
  /** Labels of tokens that got a PIN and have not answered yet. */
  readonly #trying = new Map<string, string>();

  /** @param tell - tells a person to type a PIN on the reader */
  constructor(provide: PinReferrer, tell: (request: PadRequest) => unknown) {
    this.#provide = provide;
    this.#tell = tell;
  }

  /** A PIN or where it is found; or the error that the login fails with. */
  async answer(request: PinRequest): Promise<Omit<PinAnswer, "kind" | "id">> {
    const name = pinName(request.kind, request.token);
    const refusal = request.fresh ? undefined : this.#refused.get(name);
    if (refusal !== undefined) return { error: refusal };
    try {
      const pin = await this.#provide(request);
      if (!request.fresh) this.#trying.set(name, request.token.label);
      return { pin };
    } catch (error) {
      return { error: packError(error) };
    }
  }

  /** Tells the person, and lets the reader ask; or gives the error that the login fails with. */
  async atPad(request: PadRequest): Promise<Omit<PinAnswer, "kind" | "id">> {
    const name = pinName(request.kind, request.token);
    const isFresh = request.what === "set";
    const refusal = isFresh ? undefined : this.#refused.get(name);
    if (refusal !== undefined) return { error: refusal };
    try {
      await this.#tell(request);
      if (!isFresh) this.#trying.set(name, request.token.label);
      return {};
    } catch (error) {
      return { error: packError(error) };
    }
  }

  /** The token has answered: it took the PIN, or refused it. */
  loginEnded(token: TokenInfo, whose: PinRequest["kind"], refusal: PackedError | undefined): void {
    const name = pinName(whose, token);
    this.#trying.delete(name);
    if (refusal === undefined) this.#refused.delete(name);
    else if (SPENT.has(refusal.code ?? "")) this.#refused.set(name, refusal);
  }

  /**
   * The server is gone. Whether a token had taken its PIN is unknown, and a wrong one may lock it.
   */
  serverLost(): void {
    for (const [name, label] of this.#trying) {
      const unknown = new TokenError(
        "ERR_PIN_REFUSED",
        `token "${label}" had been given its PIN when its process ended; the PIN is not sent again`,
        { hint: "run the command again if you know that the PIN is right" },
      );
      this.#refused.set(name, packError(unknown));
    }
    this.#trying.clear();
  }
}

/** Refusals after which the token's retry counter may have gone down. */
const SPENT: ReadonlySet<string> = new Set(["ERR_PIN_REFUSED", "ERR_PIN_LOCKED", "ERR_PKCS11"]);

function pinName(
  whose: PinRequest["kind"],
  { label, serial, model, manufacturer }: PinRequest["token"],
): string {
  return JSON.stringify([whose, label, serial, model, manufacturer]);
}
