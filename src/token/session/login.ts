/**
 * Login, with care for the PIN's retry counter: the token's flags are read first, a PIN of an
 * impossible length is not sent, and a wrong PIN is sent only once. A person who mistyped it may
 * type another, as long as the token does not say that its counter is low.
 */
import { equal } from "../../bytes.js";
import { TokenError } from "../../errors.js";
import { Secret } from "../../secret.js";
import { call, failedWith, origin } from "../modules/call.js";
import { CKO, CKU } from "../modules/constants.js";
import { mayHideKeys } from "../hiding.js";
import { checkPin } from "./pin.js";
import type { Session } from "./session.js";
import { readDetails, type TokenDetails } from "./token-info.js";
import type { PinAsker, TokenInfo, TypedPin } from "../values.js";

/**
 * Logs the user in through `session`. Returns the accepted PIN; undefined when none was needed.
 *
 * A token without CKF_LOGIN_REQUIRED needs none if it shows private keys, has no PIN, or if
 * `forNewKey`: one without keys may be NSS without a password, which takes no PIN at all.
 *
 * @throws TokenError before a PIN is asked for: `ERR_PIN_LOCKED`, `ERR_PIN_PAD`,
 * `ERR_PIN_FINAL_TRY` unless `force`; before it is sent: those of the provider, `ERR_PIN_EMPTY`,
 * `ERR_PIN_LENGTH`; after: `ERR_PIN_REFUSED`, `ERR_PIN_LOCKED`, `ERR_PIN_EXPIRED`,
 * `ERR_PIN_NOT_SET`.
 */
export async function login(
  session: Session,
  details: TokenDetails,
  ask: PinAsker,
  { force, forNewKey = false }: { force: boolean; forNewKey?: boolean | undefined },
): Promise<Secret | undefined> {
  const { info } = details;
  if (!info.loginRequired && (forNewKey || !hidesPrivateKeys(session, info))) return undefined;
  const { pin: first, again } = await askedPin(details, ask, force);
  const chances = new Chances(session, details, again);
  let pin = first;
  try {
    for (;;) {
      try {
        send(session, CKU.USER, pin);
        return pin;
      } catch (error) {
        chances.refused(pin);
        // Other code in this process has logged in; a login holds for the whole process.
        if (failedWith(error, "CKR_USER_ALREADY_LOGGED_IN")) return undefined;
        const refused = refusal(error, session, info);
        const next = failedWith(error, "CKR_PIN_INCORRECT") ? await chances.next() : undefined;
        if (next === undefined) throw refused;
        pin = next;
      }
    }
  } finally {
    chances.wipe();
  }
}

/** Further PINs from a person whose first one was refused. No PIN is sent twice. */
class Chances {
  readonly #session: Session;
  readonly #details: TokenDetails;
  readonly #again: TypedPin["again"] | undefined;
  readonly #refused: Secret[] = [];
  #left: number;

  constructor(session: Session, details: TokenDetails, again: TypedPin["again"] | undefined) {
    this.#session = session;
    this.#details = details;
    this.#again = again;
    // Many cards lock at the third wrong PIN, and some modules don't show the counter.
    this.#left = details.slot.removable ? 1 : 2;
  }

  refused(pin: Secret): void {
    this.#refused.push(pin);
  }

  /** Another PIN to send; undefined when there are no more chances, or the person gave up. */
  async next(): Promise<Secret | undefined> {
    let why = "the PIN was refused";
    while (this.#again !== undefined && this.#left > 0 && hasTriesLeft(this.#session)) {
      this.#left -= 1;
      const typed = await soundPin(this.#again(why), this.#details);
      if (typed === undefined) return undefined;
      if (!this.#refused.some((pin) => equal(pin.expose(), typed.expose()))) return typed;
      typed.wipe();
      why = "that PIN was refused before, and was not sent again";
    }
    return undefined;
  }

  wipe(): void {
    for (const pin of this.#refused) pin.wipe();
  }
}

/** What was typed; undefined if no token has such a PIN: then the first refusal is reported. */
async function soundPin(
  typed: Promise<string>,
  details: TokenDetails,
): Promise<Secret | undefined> {
  try {
    const pin = checkPin(await typed);
    requireLength(pin, details);
    return new Secret(new TextEncoder().encode(pin));
  } catch (error) {
    if (error instanceof TokenError) return undefined;
    throw error;
  }
}

/** False where another wrong PIN might lock the token, or the token is gone. */
function hasTriesLeft(session: Session): boolean {
  try {
    const { pin } = readDetails(session.module, session.slot).info;
    return pin === "ok" || pin === "not-set";
  } catch {
    return false;
  }
}

/**
 * The login between C_DecryptInit or C_SignInit and the operation, which keys with
 * CKA_ALWAYS_AUTHENTICATE require each time (PKCS#11 v2.40 §4.9, §5.6). Returns false when the
 * token does not support it, whatever the key's attribute says.
 *
 * @throws TokenError as `login` does once the PIN is sent.
 */
export function contextLogin(session: Session, details: TokenDetails, pin: Secret): boolean {
  try {
    send(session, CKU.CONTEXT_SPECIFIC, pin);
    return true;
  } catch (error) {
    if (failedWith(error, "CKR_USER_TYPE_INVALID", "CKR_USER_ALREADY_LOGGED_IN")) return false;
    throw refusal(error, session, details.info);
  }
}

function hidesPrivateKeys(session: Session, info: TokenInfo): boolean {
  return mayHideKeys(info) && session.find({ CLASS: CKO.PRIVATE_KEY }).length === 0;
}

/** Asks for a PIN that may be sent. Throws as `login` does before it sends one. */
export async function askPin(
  details: TokenDetails,
  ask: PinAsker,
  force: boolean,
): Promise<Secret> {
  return (await askedPin(details, ask, force)).pin;
}

async function askedPin(
  details: TokenDetails,
  ask: PinAsker,
  force: boolean,
): Promise<{ readonly pin: Secret; readonly again?: TypedPin["again"] }> {
  requireTriable(details.info, force);
  const { label, serial, model, manufacturer, pin: state } = details.info;
  const token = { label, serial, model, manufacturer, pin: state };
  const answer = await ask({ token, kind: "user", fresh: false });
  const text = checkPin(pinText(answer));
  requireLength(text, details);
  const pin = new Secret(new TextEncoder().encode(text));
  return typeof answer === "string" ? { pin } : { pin, again: answer.again };
}

/** The PIN alone. */
export function pinText(answer: string | TypedPin): string {
  return typeof answer === "string" ? answer : answer.typed;
}

/** pkcs11js takes a string, which cannot be wiped, so it is made only for the call. */
function send(session: Session, user: number, pin: Secret): void {
  call("C_Login", () => {
    const text = new TextDecoder().decode(pin.expose());
    session.module.native.C_Login(session.handle, user, text);
  });
}

/** Refuses a token to which no PIN may be sent. Throws as `login`. */
export function requireTriable(info: TokenInfo, force: boolean): void {
  const name = `token "${info.label}"`;
  switch (info.pin) {
    case "locked":
      throw locked(info);
    case "final-try":
      if (!force) {
        throw new TokenError("ERR_PIN_FINAL_TRY", `${name} has one PIN try left`, {
          hint: "another wrong PIN locks it; if you are sure of the PIN, use --force",
        });
      }
      break;
    case "ok":
    case "low":
    case "not-set": // C_Login tells whether that is so.
  }
  if (info.pinPad) {
    throw new TokenError("ERR_PIN_PAD", `${name} wants its PIN typed on the reader`, {
      hint: "pkcs11js cannot ask a reader for the PIN; use a reader without a PIN pad",
    });
  }
}

/**
 * A PIN of a length that the token does not accept is certainly wrong, yet some tokens count the
 * try.
 */
export function requireLength(pin: string, { info, pinBytes }: TokenDetails): void {
  const length = Buffer.byteLength(pin, "utf8");
  const { min, max } = pinBytes;
  if (max === 0 || min > max || (length >= min && length <= max)) return;
  throw new TokenError(
    "ERR_PIN_LENGTH",
    `token "${info.label}" takes PINs of ${min} to ${max} bytes, this one has ${length}`,
    { hint: "the PIN was not sent, to spare its counter" },
  );
}

function refusal(error: unknown, session: Session, info: TokenInfo): unknown {
  const name = `token "${info.label}"`;
  if (failedWith(error, "CKR_PIN_LOCKED")) return locked(info);
  if (failedWith(error, "CKR_USER_PIN_NOT_INITIALIZED")) {
    return new TokenError("ERR_PIN_NOT_SET", `${name} has no user PIN yet`, {
      hint: "set it with the SO PIN, using the token's own tool",
      ...origin(error),
    });
  }
  if (failedWith(error, "CKR_PIN_EXPIRED")) {
    return new TokenError("ERR_PIN_EXPIRED", `the PIN of ${name} has expired`, {
      hint: "set a new one with the token's own tool",
      ...origin(error),
    });
  }
  if (failedWith(error, "CKR_PIN_INCORRECT", "CKR_PIN_INVALID", "CKR_PIN_LEN_RANGE")) {
    return new TokenError("ERR_PIN_REFUSED", `${name} refuses the PIN`, {
      hint: `${triesLeft(session)}the PIN was not tried again, to spare its counter`,
      ...origin(error),
    });
  }
  return error;
}

/** What the token's flags say about its retry counter now. */
function triesLeft(session: Session): string {
  try {
    const { pin } = readDetails(session.module, session.slot).info;
    if (pin === "final-try") return "one try is left before it is locked; ";
    return pin === "locked" ? "the PIN is locked now; " : "";
  } catch {
    return "";
  }
}

function locked(info: TokenInfo): TokenError {
  return new TokenError("ERR_PIN_LOCKED", `the PIN of token "${info.label}" is locked`, {
    hint: "unlock it with the SO PIN or PUK, using the token's own tool",
    ckr: "CKR_PIN_LOCKED",
  });
}
