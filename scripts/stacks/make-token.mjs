/**
 * Makes a token: C_InitToken, then the user's PIN. A process of its own, as modules read their
 * environment when a process starts, and may crash it. What is wanted comes as JSON on standard
 * input, see `makeToken` in stack.mjs.
 */
import fs from "node:fs";
import pkcs11js from "pkcs11js";

const {
  module,
  parameters,
  slot,
  label,
  pin,
  soPin,
  newSoPin,
  firstPin = pin,
} = JSON.parse(fs.readFileSync(0, "utf8"));

const TOKEN_INITIALIZED = 0x400;
const READ_WRITE = 6;
const [SO, USER] = [0, 1];

const native = new pkcs11js.PKCS11();
native.load(module);
// CKF_OS_LOCKING_OK. The last byte of the parameters gets lost on the way.
const libraryParameters = parameters === undefined ? {} : { libraryParameters: `${parameters} ` };
native.C_Initialize({ flags: 2, ...libraryParameters });
const slots = native.C_GetSlotList(true);
const chosen =
  slot === undefined
    ? slots.find((one) => (native.C_GetTokenInfo(one).flags & TOKEN_INITIALIZED) === 0)
    : slots[slot];
if (chosen === undefined) throw new Error(`no free slot among ${slots.length}`);
// NSS's database is a token from the start, with its name and an empty SO PIN.
if (label !== undefined) native.C_InitToken(chosen, soPin, label.padEnd(32));
const session = native.C_OpenSession(chosen, READ_WRITE);
native.C_Login(session, SO, soPin);
if (newSoPin !== undefined) native.C_SetPIN(session, soPin, newSoPin);
native.C_InitPIN(session, firstPin);
native.C_Logout(session);
if (firstPin !== pin) {
  native.C_Login(session, USER, firstPin);
  native.C_SetPIN(session, firstPin, pin);
  native.C_Logout(session);
}
native.C_CloseSession(session);
native.C_Finalize();
