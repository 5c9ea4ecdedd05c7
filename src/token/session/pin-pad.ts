/**
 * PINs that a person types on the token's reader. The host never sees them: it calls C_Login
 * without a PIN (PKCS#11 v2.40 §5.6), which returns when the person is done. Only tokens with
 * CKF_PROTECTED_AUTHENTICATION_PATH are asked so; for others it is an error.
 */
import { TokenError } from "../../errors.js";
import { failedWith, origin } from "../modules/call.js";
import { CKU } from "../modules/constants.js";
import type { AtPad, PadRequest, PinRequest, TokenInfo } from "../values.js";
import { refusal } from "./pin-refusals.js";
import type { Module } from "../modules/module.js";
import type { Session } from "./session.js";

/**
 * Logs the user in with a PIN that is typed on the reader.
 *
 * @param use - the login for one use of a key that requires the PIN each time
 * @throws TokenError `ERR_PIN_PAD` without koffi; `ERR_PIN_CANCELED`, `ERR_PIN_PAD_TIMEOUT`,
 *   `ERR_PIN_REFUSED`, `ERR_PIN_LOCKED`, `ERR_PIN_EXPIRED`, `ERR_PIN_NOT_SET`
 */
export async function loginAtPad(
  session: Session,
  info: TokenInfo,
  atPad: AtPad,
  { use }: { readonly use: boolean },
): Promise<void> {
  const user = use ? CKU.CONTEXT_SPECIFIC : CKU.USER;
  try {
    await typedAtPad(session, info, { kind: "user", what: use ? "use" : "login" }, atPad, () =>
      session.module.runDirect("C_Login", [], (direct) =>
        direct.C_Login(session.handle, user, undefined),
      ),
    );
  } catch (error) {
    throw refusal(error, session, info);
  }
}

/**
 * Tells a person to type a PIN, and runs `work`, which waits for it.
 *
 * @throws TokenError `ERR_PIN_PAD` before anybody is told; `ERR_PIN_CANCELED`,
 *   `ERR_PIN_PAD_TIMEOUT`; what `work` throws otherwise
 */
export async function typedAtPad(
  session: Session,
  info: TokenInfo,
  what: Pick<PadRequest, "kind" | "what">,
  atPad: AtPad,
  work: () => Promise<void>,
): Promise<void> {
  await requirePads(session.module, info);
  const { label, serial, model, manufacturer, pin } = info;
  const token: PinRequest["token"] = { label, serial, model, manufacturer, pin };
  let started = performance.now();
  try {
    await atPad({ token, ...what }, () => {
      started = performance.now();
      return work();
    });
  } catch (error) {
    throw padEnded(error, info, performance.now() - started) ?? error;
  }
}

/** @throws TokenError `ERR_PIN_PAD` without koffi */
export async function requirePads(module: Module, { label }: TokenInfo): Promise<void> {
  try {
    await module.requireDirect();
  } catch (error) {
    if (!(error instanceof TokenError) || error.code !== "ERR_KOFFI_MISSING") throw error;
    throw new TokenError("ERR_PIN_PAD", `token "${label}" wants its PIN typed on the reader`, {
      hint: "asking a reader needs the package koffi: npm install koffi",
      cause: error,
    });
  }
}

/**
 * The error of a person who typed no PIN; undefined for other failures. Modules, OpenSC among
 * them, return CKR_FUNCTION_CANCELED both when the person cancelled and when the reader's time ran
 * out. How long it took tells which is likelier.
 *
 * @param tookMs - how long the reader waited, milliseconds
 */
export function padEnded(
  error: unknown,
  { label }: TokenInfo,
  tookMs: number,
): TokenError | undefined {
  if (!failedWith(error, "CKR_FUNCTION_CANCELED", "CKR_FUNCTION_REJECTED", "CKR_CANCEL")) {
    return undefined;
  }
  if (tookMs < READER_MS) {
    return new TokenError("ERR_PIN_CANCELED", `token "${label}": the PIN was cancelled`, {
      hint: "no PIN was typed on the reader, and none counts as wrong; run the command again",
      ...origin(error),
    });
  }
  const seconds = Math.round(tookMs / 1000);
  return new TokenError(
    "ERR_PIN_PAD_TIMEOUT",
    `token "${label}": the reader got no PIN within ${seconds} s`,
    {
      hint: "its time ran out, or somebody cancelled; none counts as wrong; run the command again",
      ...origin(error),
    },
  );
}

/** Readers wait for 15 seconds or more; who cancels does so sooner. */
const READER_MS = 10_000;
