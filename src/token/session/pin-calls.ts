/**
 * The calls that set PINs. koffi passes PINs as bytes, which are wiped afterwards, or none where
 * the reader asks. Without koffi, pkcs11js gets them as strings, which nobody can wipe.
 */
import type { Secret } from "../../secret.js";
import { TokenError } from "../../errors.js";
import { call } from "../modules/call.js";
import { CKU } from "../modules/constants.js";
import type { Session } from "./session.js";

/** A PIN to send; undefined where the reader asks for it. */
export type SentPin = Secret | undefined;

/** C_SetPIN: the user's own change. */
export async function setPin(session: Session, old: SentPin, fresh: SentPin): Promise<void> {
  const { module, handle } = session;
  const pins = await buffers(session, [old, fresh]);
  if (pins !== undefined) {
    return module.runDirect("C_SetPIN", pins, (direct) => direct.C_SetPIN(handle, ...pins));
  }
  call("C_SetPIN", () => {
    module.native.C_SetPIN(handle, text(old), text(fresh));
  });
}

/** C_InitPIN: a user PIN that the security officer sets. */
export async function initPin(session: Session, fresh: SentPin): Promise<void> {
  const { module, handle } = session;
  const pins = await buffers(session, [fresh]);
  if (pins !== undefined) {
    return module.runDirect("C_InitPIN", pins, (direct) => direct.C_InitPIN(handle, ...pins));
  }
  call("C_InitPIN", () => {
    module.native.C_InitPIN(handle, text(fresh));
  });
}

/** C_Login, as the user or the security officer. */
export async function logInAs(who: "user" | "so", session: Session, pin: SentPin): Promise<void> {
  const { module, handle } = session;
  const user = who === "so" ? CKU.SO : CKU.USER;
  const pins = await buffers(session, [pin]);
  if (pins !== undefined) {
    return module.runDirect("C_Login", pins, (direct) => direct.C_Login(handle, user, ...pins));
  }
  call("C_Login", () => {
    module.native.C_Login(handle, user, text(pin));
  });
}

type Buffers<Pins> = { [Index in keyof Pins]: Buffer | undefined };

/** The PINs' own memory, for koffi; undefined without koffi. */
async function buffers<const Pins extends readonly SentPin[]>(
  { module }: Session,
  pins: Pins,
): Promise<Buffers<Pins> | undefined> {
  try {
    await module.requireDirect();
  } catch (error) {
    const isMissing = error instanceof TokenError && error.code === "ERR_KOFFI_MISSING";
    if (!isMissing || pins.includes(undefined)) throw error;
    return undefined;
  }
  return pins.map((pin) => {
    if (pin === undefined) return undefined;
    const { buffer, byteOffset, length } = pin.expose();
    return Buffer.from(buffer, byteOffset, length);
  }) as Buffers<Pins>;
}

/** `buffers` has seen to it that there is one. */
function text(pin: SentPin): string {
  return pin === undefined ? "" : new TextDecoder().decode(pin.expose());
}
