import { describe, expect, it } from "@jest/globals";
import { loadBinding } from "../../../src/token/modules/load-binding.js";

describe("the binding", () => {
  it.each([
    [{}, "pkcs11js"],
    [{ P11SEAL_BINDING: "" }, "pkcs11js"],
    [{ P11SEAL_BINDING: "pkcs11js" }, "pkcs11js"],
    [{ P11SEAL_BINDING: "koffi" }, "koffi"],
  ])("with %j is %s", async (env, name) => {
    expect(await loadBinding(env)).toMatchObject({ name });
  });

  it.each(["graphene", "KOFFI", "constructor"])("can't be %s", async (name) => {
    await expect(loadBinding({ P11SEAL_BINDING: name })).rejects.toMatchObject({
      code: "ERR_BINDING",
      message: expect.stringContaining(`"${name}"`),
    });
  });
});
