import { describe, expect, it } from "@jest/globals";
import { initDevelopmentToken } from "../../../src/token/index.js";
import { SOFTHSM_MODULE } from "../../support/softhsm.js";
import { runInPlainNode } from "../modules/plain-node/run.js";
import { temporaryFolder } from "../modules/temporary.js";

describe("a development token", () => {
  it("is made, found and used without any configuration by hand, and the environment stays as it was", () => {
    const home = temporaryFolder("home");
    const { status, stderr, output } = runInPlainNode(
      "development-token.ts",
      [home, SOFTHSM_MODULE],
      // Other modules that happen to be installed may have tokens too.
      { P11SEAL_SOFTHSM2: SOFTHSM_MODULE, P11SEAL_SYSTEM_MODULES: "0" },
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(output).toEqual({
      codes: { again: "ERR_TOKEN_EXISTS", long: "ERR_TOKEN_LABEL", empty: "ERR_TOKEN_LABEL" },
      labels: ["first", "zweites Stück"],
      oaep: ["sha1"],
      second: expect.stringContaining("pkcs11:token=zweites%20St%C3%BCck;serial="),
      opened: true,
      softhsmConf: null,
      broken: 0,
      modes: ["700", "700", "600"],
    });
  });

  it("is not begun when a PIN has a length that SoftHSM never takes", async () => {
    const make = initDevelopmentToken({
      home: temporaryFolder("home"),
      label: "short-pin",
      module: SOFTHSM_MODULE,
      env: process.env,
      pin: () => Promise.resolve("1"),
      soPin: () => Promise.resolve("12345678"),
    });
    await expect(make).rejects.toMatchObject({ code: "ERR_PIN_LENGTH" });
  });
});
