/**
 * Login, with care for the PIN's retry counter: the token's flags are read first, a PIN of an
 * impossible length is not sent, and a wrong PIN is sent only once. A person who mistyped it may
 * type another, as long as the token does not say that its counter is low.
 */
import { equal } from "../../bytes.js";
import { TokenError } from "../../errors.js";
import { Secret } from "../../secret.js";
import { call, failedWith } from "../modules/call.js";
import { CKO, CKU } from "../modules/constants.js";
import { mayHideKeys } from "../hiding.js";
import { checkPin } from "./pin.js";
import { loginAtPad } from "./pin-pad.js";
import { refusal, requireLength, requireTriable } from "./pin-refusals.js";
import type { Session } from "./session.js";
import { readDetails, type TokenDetails } from "./token-info.js";
import type { AtPad, PinAsker, TokenInfo, TypedPin } from "../values.js";

/**
 * Logs the user in through `session`. Returns the accepted PIN; undefined when none was needed, or
 * the reader got it.
 *
 * A token without CKF_LOGIN_REQUIRED needs none if it shows private keys, has no PIN, or if
 * `forNewKey`: one without keys may be NSS without a password, which takes no PIN at all.
 *
 * @throws TokenError before a PIN is asked for: `ERR_PIN_LOCKED`, `ERR_PIN_PAD`,
 * `ERR_PIN_FINAL_TRY` unless `force`; before it is sent: those of the provider, `ERR_PIN_EMPTY`,
 * `ERR_PIN_LENGTH`; after: `ERR_PIN_REFUSED`, `ERR_PIN_LOCKED`, `ERR_PIN_EXPIRED`,
 * `ERR_PIN_NOT_SET`; at a reader, also those of `loginAtPad`.
 */
export async function login(
  session: Session,
  details: TokenDetails,
  ask: PinAsker,
  { force, forNewKey = false, atPad }: LoginOptions,
): Promise<Secret | undefined> {
  const { info } = details;
  if (!info.loginRequired && (forNewKey || !hidesPrivateKeys(session, info))) return undefined;
  if (info.pinPad) {
    requireTriable(info, force);
    await unlessLoggedIn(() => loginAtPad(session, info, atPad, { use: false }));
    return undefined;
  }
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
        if (isLoggedIn(error)) return undefined;
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

export interface LoginOptions {
  /** Use the last try. */
  readonly force: boolean;
  readonly forNewKey?: boolean | undefined;
  readonly atPad: AtPad;
}

async function unlessLoggedIn(logIn: () => Promise<void>): Promise<void> {
  try {
    await logIn();
  } catch (error) {
    if (!isLoggedIn(error)) throw error;
  }
}

/** Other code in this process has logged in; a login holds for the whole process. */
function isLoggedIn(error: unknown): boolean {
  return failedWith(error, "CKR_USER_ALREADY_LOGGED_IN");
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
    if (lacksContextLogin(error)) return false;
    throw refusal(error, session, details.info);
  }
}

/**
 * As `contextLogin`, with the PIN typed on the reader.
 *
 * @throws TokenError as `requireTriable` and `loginAtPad`
 */
export async function contextLoginAtPad(
  session: Session,
  info: TokenInfo,
  { force, atPad }: LoginOptions,
): Promise<boolean> {
  requireTriable(info, force);
  try {
    await loginAtPad(session, info, atPad, { use: true });
    return true;
  } catch (error) {
    if (lacksContextLogin(error)) return false;
    throw error;
  }
}

function lacksContextLogin(error: unknown): boolean {
  return failedWith(error, "CKR_USER_TYPE_INVALID", "CKR_USER_ALREADY_LOGGED_IN");
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

/** The PIN goes to the binding as it lies in memory: no copy of it is left behind here. */
function send(session: Session, user: number, pin: Secret): void {
  call("C_Login", () => {
    const { buffer, byteOffset, length } = pin.expose();
    session.module.native.C_Login(session.handle, user, Buffer.from(buffer, byteOffset, length));
  });
}
