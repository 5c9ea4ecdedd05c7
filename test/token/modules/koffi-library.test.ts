/** koffi and pkcs11js call one and the same instance of a library, with the same handles. */
import { beforeAll, describe, expect, it } from "@jest/globals";
import { CKU, SESSION_FLAG } from "../../../src/token/modules/constants.js";
import { isCalling } from "../../../src/token/modules/koffi-library.js";
import { type Module, openModule } from "../../../src/token/modules/module.js";
import {
  freshToken,
  SO_PIN,
  SOFTHSM_MODULE,
  type TestToken,
  USER_PIN,
} from "../../support/softhsm.js";

let module: Module;
let token: TestToken;

beforeAll(async () => {
  token = await freshToken("koffi");
  module = await openModule({ path: SOFTHSM_MODULE, source: "test", explicit: true });
});

function session(): Buffer {
  const { native } = module;
  const slot = native
    .C_GetSlotList(true)
    .find((one) => native.C_GetTokenInfo(one).label.trimEnd() === token.label);
  if (slot === undefined) throw new Error("no token");
  return native.C_OpenSession(slot, SESSION_FLAG.SERIAL | SESSION_FLAG.READ_WRITE);
}

async function login(pin: Buffer | undefined, user: number = CKU.USER): Promise<Buffer> {
  const handle = session();
  await module.runDirect("C_Login", [pin], (direct) => direct.C_Login(handle, user, pin));
  return handle;
}

describe("koffi", () => {
  it("logs in a session of pkcs11js, and sets PINs in it, from buffers", async () => {
    const handle = await login(Buffer.from(USER_PIN));
    expect(module.native.C_GetSessionInfo(handle)).toMatchObject({ state: 3 });
    const pins = [Buffer.from(USER_PIN), Buffer.from("new pin")] as const;
    await module.runDirect("C_SetPIN", pins, (direct) => direct.C_SetPIN(handle, ...pins));
    module.native.C_Logout(handle);
    expect(() => {
      module.native.C_Login(handle, CKU.USER, USER_PIN);
    }).toThrow("CKR_PIN_INCORRECT");
    module.native.C_CloseSession(handle);

    const so = await login(Buffer.from(SO_PIN), CKU.SO);
    const pin = Buffer.from(USER_PIN);
    await module.runDirect("C_InitPIN", [pin], (direct) => direct.C_InitPIN(so, pin));
    module.native.C_Logout(so);
    module.native.C_CloseSession(so);
    const again = await login(Buffer.from(USER_PIN));
    module.native.C_Logout(again);
    module.native.C_CloseSession(again);
  });

  it("passes no PIN as NULL, and names the function and what it returned", async () => {
    await expect(login(undefined)).rejects.toMatchObject({
      code: "ERR_PKCS11",
      fn: "C_Login",
      ckr: "CKR_ARGUMENTS_BAD",
    });
    await expect(login(Buffer.from("wrong"))).rejects.toMatchObject({ ckr: "CKR_PIN_INCORRECT" });
  });

  it("tells while a call is under way", async () => {
    expect(isCalling()).toBe(false);
    const under = login(undefined).catch(() => undefined);
    await module
      .runDirect("C_Login", [], (direct) => {
        const call = direct.C_Login(session(), CKU.USER, undefined);
        expect(isCalling()).toBe(true);
        return call;
      })
      .catch(() => undefined);
    await under;
    expect(isCalling()).toBe(false);
  });
});
