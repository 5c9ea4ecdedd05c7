/**
 * New user PINs: the user changes theirs (C_SetPIN), or the security officer sets one when it was
 * forgotten or locked (C_InitPIN; PKCS#11 v2.40 §5.5). Every PIN is asked for and checked before
 * the first is sent, and each is sent once.
 */
import { equal } from "../../bytes.js";
import { TokenError } from "../../errors.js";
import { Secret } from "../../secret.js";
import { failedWith, origin } from "../modules/call.js";
import type { AtPad, PinAsker, PinRequest, TokenInfo } from "../values.js";
import { pinText } from "./login.js";
import { checkPin } from "./pin.js";
import { initPin, logInAs, type SentPin, setPin } from "./pin-calls.js";
import { typedAtPad } from "./pin-pad.js";
import { refusal, requireLength, requireNewLength, requireTriable } from "./pin-refusals.js";
import type { Session } from "./session.js";
import type { TokenDetails } from "./token-info.js";

export interface PinChange {
  readonly ask: PinAsker;
  readonly atPad: AtPad;
  /** Send a PIN also where a wrong one would lock the token. */
  readonly force: boolean;
}

/**
 * Changes the user PIN.
 *
 * @param session - for reading and writing, with no login
 * @throws TokenError before a PIN is sent: `ERR_PIN_LOCKED`, `ERR_PIN_FINAL_TRY`, those of the
 *   provider, `ERR_PIN_LENGTH`, `ERR_PIN_UNCHANGED`, `ERR_PIN_PAD`; after: `ERR_PIN_REFUSED`,
 *   `ERR_PIN_LOCKED`, `ERR_NEW_PIN_REFUSED`, `ERR_PIN_CANCELED`, `ERR_PIN_PAD_TIMEOUT`
 */
export async function changePin(
  session: Session,
  details: TokenDetails,
  how: PinChange,
): Promise<void> {
  const { info } = details;
  requireTriable(info, how.force);
  if (info.pinPad) {
    await setAtPad(session, details, how);
    return;
  }
  const old = await asked(details, how, { kind: "user", fresh: false });
  try {
    requireLength(old.text, details);
    const fresh = await newPin(details, how, old.pin);
    try {
      await setWithLogin(session, old.pin, fresh);
    } finally {
      fresh.wipe();
    }
  } catch (error) {
    throw newPinRefusal(error, details) ?? refusal(error, session, info);
  } finally {
    old.pin.wipe();
  }
}

/**
 * Sets a new user PIN with the security officer's, which some cards call PUK.
 *
 * @param session - for reading and writing, with no login; no other session with the token is open
 * @throws TokenError as `changePin`; `ERR_PIN_UNBLOCK` where the token has no security officer
 */
export async function unblockPin(
  session: Session,
  details: TokenDetails,
  how: PinChange,
): Promise<void> {
  const officer = { ...details.info, pin: details.soPin };
  requireTriable(officer, how.force, "so");
  if (details.info.pinPad) {
    await unblockAtPad(session, details, how);
    return;
  }
  const so = await asked({ ...details, info: officer }, how, { kind: "so", fresh: false });
  try {
    const fresh = await newPin(details, how, undefined);
    try {
      await asOfficer(session, details.info, () => logInAs("so", session, so.pin));
      await initPin(session, fresh);
    } finally {
      fresh.wipe();
    }
  } catch (error) {
    throw newPinRefusal(error, details) ?? error;
  } finally {
    so.pin.wipe();
  }
}

/** Some modules change a PIN only after a login, others only without: one with an expired PIN. */
async function setWithLogin(session: Session, old: SentPin, fresh: SentPin): Promise<void> {
  try {
    await setPin(session, old, fresh);
  } catch (error) {
    if (!failedWith(error, "CKR_USER_NOT_LOGGED_IN")) throw error;
    await logInAs("user", session, old);
    await setPin(session, old, fresh);
  }
}

async function setAtPad(session: Session, details: TokenDetails, how: PinChange): Promise<void> {
  const { info } = details;
  try {
    await typedAtPad(session, info, { kind: "user", what: "change" }, how.atPad, () =>
      setWithLogin(session, undefined, undefined),
    );
  } catch (error) {
    throw newPinRefusal(error, details) ?? refusal(error, session, info);
  }
}

async function unblockAtPad(
  session: Session,
  details: TokenDetails,
  { atPad }: PinChange,
): Promise<void> {
  const { info, soPin } = details;
  const officer = { ...info, pin: soPin };
  try {
    await asOfficer(session, info, () =>
      typedAtPad(session, officer, { kind: "so", what: "login" }, atPad, () =>
        logInAs("so", session, undefined),
      ),
    );
    await typedAtPad(session, info, { kind: "user", what: "set" }, atPad, () =>
      initPin(session, undefined),
    );
  } catch (error) {
    throw newPinRefusal(error, details) ?? error;
  }
}

/** @throws TokenError as `refusal`; `ERR_PIN_UNBLOCK` */
async function asOfficer(
  session: Session,
  info: TokenInfo,
  logIn: () => Promise<void>,
): Promise<void> {
  try {
    await logIn();
  } catch (error) {
    if (failedWith(error, "CKR_USER_TYPE_INVALID", "CKR_FUNCTION_NOT_SUPPORTED")) {
      throw new TokenError("ERR_PIN_UNBLOCK", `token "${info.label}" has no security officer`, {
        hint: "the token's own tool may set a new PIN in another way",
        ...origin(error),
      });
    }
    throw refusal(error, session, info, "so");
  }
}

async function newPin(
  details: TokenDetails,
  how: PinChange,
  old: Secret | undefined,
): Promise<Secret> {
  const { pin, text } = await asked(details, how, { kind: "user", fresh: true });
  try {
    requireNewLength(text, details);
    if (old === undefined || !equal(old.expose(), pin.expose())) return pin;
    throw new TokenError("ERR_PIN_UNCHANGED", "the new PIN is the old one", {
      hint: "no PIN was sent; choose another",
    });
  } catch (error) {
    pin.wipe();
    throw error;
  }
}

async function asked(
  { info }: TokenDetails,
  { ask }: PinChange,
  what: Pick<PinRequest, "kind" | "fresh">,
): Promise<{ readonly pin: Secret; readonly text: string }> {
  const { label, serial, model, manufacturer, pin } = info;
  const answer = await ask({ token: { label, serial, model, manufacturer, pin }, ...what });
  const text = checkPin(pinText(answer));
  return { pin: new Secret(new TextEncoder().encode(text)), text };
}

/** Undefined if the error is about something else than the new PIN. */
function newPinRefusal(error: unknown, { info, pinBytes }: TokenDetails): TokenError | undefined {
  const isNew = failedWith(error, "CKR_PIN_INVALID", "CKR_PIN_LEN_RANGE", "CKR_PIN_TOO_WEAK");
  if (!isNew || error.fn === "C_Login") return undefined;
  const { min, max } = pinBytes;
  const lengths = max > 0 && min <= max ? `; it takes ${min} to ${max} bytes` : "";
  const typed = info.pinPad ? ", or two different ones were typed" : "";
  return new TokenError("ERR_NEW_PIN_REFUSED", `token "${info.label}" refuses the new PIN`, {
    hint: `nothing was changed${lengths}${typed}`,
    ...origin(error),
  });
}
