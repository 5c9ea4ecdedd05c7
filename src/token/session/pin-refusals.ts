/**
 * Why a PIN is not sent to a token, and what a refused one means. The token's flags tell how far
 * down its retry counter is.
 */
import { TokenError } from "../../errors.js";
import { failedWith, origin } from "../modules/call.js";
import type { PinOwner, TokenInfo } from "../values.js";
import type { Session } from "./session.js";
import { readDetails, type TokenDetails } from "./token-info.js";

/**
 * Refuses a token to which no PIN may be sent.
 *
 * @param whose - the PIN whose state `info.pin` is
 * @throws TokenError `ERR_PIN_LOCKED`; `ERR_PIN_FINAL_TRY` unless `force`
 */
export function requireTriable(
  info: Pick<TokenInfo, "label" | "pin">,
  force: boolean,
  whose: PinOwner = "user",
): void {
  switch (info.pin) {
    case "locked":
      throw locked(info, whose);
    case "final-try":
      if (!force) {
        const name = whose === "so" ? "security officer PIN" : "PIN";
        throw new TokenError(
          "ERR_PIN_FINAL_TRY",
          `token "${info.label}" has one ${name} try left`,
          {
            hint: "another wrong PIN locks it; if you are sure of the PIN, use --force",
          },
        );
      }
      break;
    case "ok":
    case "low":
    case "not-set": // C_Login tells whether that is so.
  }
}

/**
 * A PIN of a length that the token does not accept is certainly wrong, yet some tokens count the
 * try.
 *
 * @throws TokenError `ERR_PIN_LENGTH`
 */
export function requireLength(pin: string, details: TokenDetails): void {
  requireFits(pin, details, "this one", "the PIN was not sent, to spare its counter");
}

/** As `requireLength`, for a PIN that is to be set. @throws TokenError `ERR_PIN_LENGTH` */
export function requireNewLength(pin: string, details: TokenDetails): void {
  requireFits(pin, details, "the new one", "no PIN was sent; choose another");
}

function requireFits(
  pin: string,
  { info, pinBytes: { min, max } }: TokenDetails,
  which: string,
  hint: string,
): void {
  const length = Buffer.byteLength(pin, "utf8");
  if (max === 0 || min > max || (length >= min && length <= max)) return;
  throw new TokenError(
    "ERR_PIN_LENGTH",
    `token "${info.label}" takes PINs of ${min} to ${max} bytes, ${which} has ${length}`,
    { hint },
  );
}

/** What C_Login or C_SetPIN failed with, as the user is told; other errors as they are. */
export function refusal(
  error: unknown,
  session: Session,
  info: TokenInfo,
  whose: PinOwner = "user",
): unknown {
  const name = `token "${info.label}"`;
  const pin = whose === "so" ? "security officer PIN" : "PIN";
  if (failedWith(error, "CKR_PIN_LOCKED")) return locked(info, whose, error);
  if (failedWith(error, "CKR_USER_PIN_NOT_INITIALIZED")) {
    return new TokenError("ERR_PIN_NOT_SET", `${name} has no user PIN yet`, {
      hint: "set it with the security officer's PIN: p11seal pin unblock",
      ...origin(error),
    });
  }
  if (failedWith(error, "CKR_PIN_EXPIRED")) {
    return new TokenError("ERR_PIN_EXPIRED", `the PIN of ${name} has expired`, {
      hint: "set a new one: p11seal pin change",
      ...origin(error),
    });
  }
  if (failedWith(error, "CKR_PIN_INCORRECT", "CKR_PIN_INVALID", "CKR_PIN_LEN_RANGE")) {
    return new TokenError("ERR_PIN_REFUSED", `${name} refuses the ${pin}`, {
      hint: `${triesLeft(session, whose)}the PIN was not tried again, to spare its counter`,
      ...origin(error),
    });
  }
  return error;
}

/** What the token's flags say about its retry counter now. */
function triesLeft(session: Session, whose: PinOwner): string {
  try {
    const { info, soPin } = readDetails(session.module, session.slot);
    const pin = whose === "so" ? soPin : info.pin;
    if (pin === "final-try") return "one try is left before it is locked; ";
    return pin === "locked" ? "the PIN is locked now; " : "";
  } catch {
    return "";
  }
}

function locked(
  { label }: Pick<TokenInfo, "label">,
  whose: PinOwner,
  error?: TokenError,
): TokenError {
  const isOfficer = whose === "so";
  const name = isOfficer ? "security officer PIN" : "PIN";
  return new TokenError("ERR_PIN_LOCKED", `the ${name} of token "${label}" is locked`, {
    hint: isOfficer
      ? "the token can only be made anew, without its keys, using its own tool"
      : "set a new one with the security officer's PIN (PUK): p11seal pin unblock",
    ckr: "CKR_PIN_LOCKED",
    ...origin(error),
  });
}
