/** A new PIN for a token, on the command line: SoftHSM, NSS softoken, a reader with a PIN pad. */
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import type { WrappedModule } from "../../../../src/testing/index.js";
import { countedCalls, type SetFaults, softHsmBehind } from "../../../support/behind-shim.js";
import { TOKEN_FLAG } from "../../../../src/token/modules/constants.js";
import { describeNss, freshNssToken } from "../../../support/nss.js";
import { Pad, RETURNS } from "../../../support/pad/module.js";
import {
  freshToken,
  SO_PIN,
  SOFTHSM_MODULE,
  type TestToken,
  USER_PIN,
} from "../../../support/softhsm.js";
import { atTerminal } from "../../support/at-terminal.js";
import { temporaryFolder } from "../../support/folder.js";
import { type Ended, p11seal } from "../../support/spawn.js";

const folder = temporaryFolder();
const NEW = "new-7291";

let token: TestToken;

beforeEach(async () => {
  token = await freshToken("pin-set");
});

interface Sources {
  readonly old?: string;
  readonly fresh?: string;
  readonly so?: string;
}

/** PINs from variables of their own. */
function environment(
  { old, fresh, so }: Sources,
  module: string,
  more: Readonly<Record<string, string | undefined>> = {},
): Record<string, string | undefined> {
  return {
    ...{ P11SEAL_HOME: join(folder, "home"), P11SEAL_SYSTEM_MODULES: "0", P11SEAL_MODULE: module },
    ...{ OLD: old, NEW: fresh, SO: so },
    P11SEAL_PIN_SOURCE: old === undefined ? undefined : "env:OLD",
    P11SEAL_NEW_PIN_SOURCE: fresh === undefined ? undefined : "env:NEW",
    P11SEAL_SO_PIN_SOURCE: so === undefined ? undefined : "env:SO",
    ...more,
  };
}

async function pin(
  what: "change" | "unblock",
  sources: Sources,
  { module = SOFTHSM_MODULE, env = {}, uri = token.uri, more = [] as readonly string[] } = {},
): Promise<Ended> {
  const argv = ["pin", what, "--token", uri, ...more];
  const ended = await p11seal(argv, { env: environment(sources, module, env) });
  for (const secret of Object.values(sources) as string[]) {
    expect(String(ended.stdout) + ended.stderr).not.toContain(secret);
  }
  return ended;
}

/** Whether the token takes this PIN. In this process SoftHSM remembers the old one. */
async function accepts(candidate: string): Promise<boolean> {
  const env = environment({ old: candidate }, SOFTHSM_MODULE);
  return (await p11seal(["keys", "audit", token.uri], { env })).status === 0;
}

function codeOf({ stderr }: Ended): string | undefined {
  const line = stderr.split("\n").find((one) => one.startsWith("{")) ?? "{}";
  return (JSON.parse(line) as { error?: { code: string } }).error?.code;
}

describe("pin change", () => {
  it("sets the new PIN, and tells what the token takes before it asks", async () => {
    const ended = await pin("change", { old: USER_PIN, fresh: NEW });
    expect(ended).toMatchObject({ status: 0, stdout: Buffer.of() });
    expect(ended.stderr.split("\n")).toEqual([
      `p11seal: token "${token.label}" takes PINs of 4 to 255 bytes`,
      `p11seal: token "${token.label}" has a new PIN`,
      "",
    ]);
    expect([await accepts(NEW), await accepts(USER_PIN)]).toEqual([true, false]);
  });

  it("asks at the terminal for the old PIN, and twice for the new one", async () => {
    const played = await atTerminal(
      ["pin", "change", "--token", token.uri],
      [
        [`PIN for token "${token.label}"`, `${USER_PIN}\r`],
        [`new PIN for token "${token.label}"`, `${NEW}\r`],
        ["new PIN again", `${NEW}\r`],
      ],
      { cwd: folder, env: nullable(environment({}, SOFTHSM_MODULE)) },
    );
    expect(played).toMatchObject({ status: 0, modesKept: true });
    expect(played.shown).not.toContain(NEW);
    expect(await accepts(NEW)).toBe(true);
  });

  it("does nothing when the new PIN was typed differently the second time", async () => {
    const played = await atTerminal(
      ["pin", "change", "--token", token.uri],
      [
        [`PIN for token "${token.label}"`, `${USER_PIN}\r`],
        [`new PIN for token "${token.label}"`, `${NEW}\r`],
        ["new PIN again", "another\r"],
      ],
      { cwd: folder, env: nullable(environment({}, SOFTHSM_MODULE)) },
    );
    expect(played.status).toBe(5);
    expect(played.shown).toContain("the two PINs differ");
    expect(await accepts(USER_PIN)).toBe(true);
  });

  it("prints JSON: what the token says afterwards", async () => {
    // A wrong PIN, which SoftHSM tells of until the right one comes.
    expect(await accepts("another")).toBe(false);
    const ended = await pin("change", { old: USER_PIN, fresh: NEW }, { more: ["--json"] });
    expect(JSON.parse(String(ended.stdout))).toEqual({
      token: expect.stringContaining(token.label),
      pin: {
        length: { min: 4, max: 255 },
        ...{ user: "ok", securityOfficer: "ok", toBeChanged: false, pinPad: false },
      },
    });
  });

  it("never takes the new PIN from the source of the old one", async () => {
    const ended = await pin("change", { old: USER_PIN }, { more: ["--json"] });
    expect([ended.status, codeOf(ended)]).toEqual([5, "ERR_PIN_MISSING"]);
    expect(ended.stderr).toContain("use --new-pin-source or P11SEAL_NEW_PIN_SOURCE");
    expect(await accepts(USER_PIN)).toBe(true);
  });

  it.each([
    ["a wrong old PIN", { old: "0000", fresh: NEW }, "ERR_PIN_REFUSED"],
    ["an old PIN that no token has", { old: "xyz", fresh: NEW }, "ERR_PIN_LENGTH"],
    ["a new PIN that is too short", { old: USER_PIN, fresh: "QZ" }, "ERR_PIN_LENGTH"],
    ["a new PIN that is the old one", { old: USER_PIN, fresh: USER_PIN }, "ERR_PIN_UNCHANGED"],
  ])("with %s leaves the old one", async (_what, sources, code) => {
    const ended = await pin("change", sources, { more: ["--json"] });
    expect([ended.status, codeOf(ended)]).toEqual([5, code]);
    expect(await accepts(USER_PIN)).toBe(true);
  });

  it("says of which PIN the length is wrong", async () => {
    expect((await pin("change", { old: USER_PIN, fresh: "QZ" })).stderr).toContain(
      "the new one has 2\nhint: no PIN was sent; choose another",
    );
  });
});

describe("pin unblock", () => {
  it("names the source of the security officer's PIN where nobody can be asked", async () => {
    const ended = await pin("unblock", { fresh: NEW }, { more: ["--json"] });
    expect([ended.status, codeOf(ended)]).toEqual([5, "ERR_PIN_MISSING"]);
    expect(ended.stderr).toContain("use --so-pin-source or P11SEAL_SO_PIN_SOURCE");
  });

  it("sets a new PIN with the security officer's", async () => {
    const ended = await pin("unblock", { so: SO_PIN, fresh: NEW });
    expect(ended.status).toBe(0);
    expect([await accepts(NEW), await accepts(USER_PIN)]).toEqual([true, false]);
  });

  it("with a wrong one leaves the PIN", async () => {
    const ended = await pin("unblock", { so: "00000000", fresh: NEW }, { more: ["--json"] });
    expect([ended.status, codeOf(ended)]).toEqual([5, "ERR_PIN_REFUSED"]);
    expect(ended.stderr).toContain("refuses the security officer PIN");
    expect(await accepts(USER_PIN)).toBe(true);
  });
});

describe("a module that goes wrong while a PIN is set", () => {
  let faulty: WrappedModule;
  const sentIn = (fn: string): number | undefined => countedCalls(faulty, fn)[0];

  beforeAll(async () => {
    faulty = await softHsmBehind();
  });

  beforeEach(() => {
    faulty.forgetCalls();
  });

  async function ended(what: "change" | "unblock", fault: SetFaults): Promise<unknown> {
    faulty.faults.clear();
    fault(faulty.faults);
    const sources = { old: USER_PIN, so: SO_PIN, fresh: NEW };
    const given = what === "change" ? { old: sources.old } : { so: sources.so };
    const all = { ...given, fresh: NEW };
    return codeOf(await pin(what, all, { module: faulty.module, more: ["--json"] }));
  }

  it("gets each PIN once, also when it crashes", async () => {
    expect(await ended("change", (faults) => faults.crash("C_SetPIN"))).toBe("ERR_TOKEN_CRASHED");
    expect(sentIn("C_SetPIN")).toBe(1);
    expect(await ended("unblock", (faults) => faults.crash("C_Login"))).toBe("ERR_TOKEN_CRASHED");
    expect(sentIn("C_Login")).toBe(1);
    expect(await ended("unblock", (faults) => faults.crash("C_InitPIN"))).toBe("ERR_TOKEN_CRASHED");
    expect(sentIn("C_InitPIN")).toBe(1);
  });

  it.each([
    ["change", "C_SetPIN", 0xa4, "ERR_PIN_LOCKED"],
    ["change", "C_SetPIN", 0xa2, "ERR_NEW_PIN_REFUSED"],
    ["change", "C_SetPIN", 0x1b8, "ERR_NEW_PIN_REFUSED"],
    ["change", "C_SetPIN", 0x54, "ERR_PKCS11"],
    ["unblock", "C_Login", 0xa4, "ERR_PIN_LOCKED"],
    ["unblock", "C_Login", 0x103, "ERR_PIN_UNBLOCK"],
    ["unblock", "C_InitPIN", 0xa1, "ERR_NEW_PIN_REFUSED"],
  ] as const)("%s, when %s returns 0x%x: %s", async (what, fn, how, code) => {
    expect(await ended(what, (faults) => faults.fail(fn, { rv: how }))).toBe(code);
    expect(sentIn(fn)).toBe(1);
    expect(await accepts(USER_PIN)).toBe(true);
  });
});

describe("a reader with a PIN pad", () => {
  let pad: Pad;

  beforeAll(async () => {
    pad = await Pad.start();
  });

  function onPad(what: "change" | "unblock", flags = 0, ...more: string[]): Promise<Ended> {
    pad.flags(flags);
    return pin(what, { fresh: NEW }, { module: pad.module, more: ["--json", ...more] });
  }

  it("asks for the old PIN and the new one by itself", async () => {
    pad.person([0, `types ${USER_PIN} ${NEW}`]);
    const ended = await onPad("change");
    expect(ended.status).toBe(0);
    expect(ended.stderr).toContain("type the old PIN, and then the new one, for token");
    expect(pad.calls()).toEqual(["C_SetPIN"]);
    expect(await accepts(NEW)).toBe(true);
  });

  it.each([
    ["change", TOKEN_FLAG.USER_PIN_LOCKED, "ERR_PIN_LOCKED", "the PIN of token"],
    ["change", TOKEN_FLAG.USER_PIN_FINAL_TRY, "ERR_PIN_FINAL_TRY", "has one PIN try left"],
    ["unblock", TOKEN_FLAG.SO_PIN_LOCKED, "ERR_PIN_LOCKED", "the security officer PIN of token"],
    [
      ...(["unblock", TOKEN_FLAG.SO_PIN_FINAL_TRY, "ERR_PIN_FINAL_TRY"] as const),
      "has one security officer PIN try left",
    ],
  ] as const)("%s: asks for nothing where the flags are 0x%x", async (what, flags, code, text) => {
    pad.person([0, `types ${USER_PIN} ${NEW}`]);
    const ended = await onPad(what, flags);
    expect([ended.status, codeOf(ended)]).toEqual([5, code]);
    expect(ended.stderr).toContain(text);
    expect(pad.calls()).toEqual([]);
  });

  it("asks for a last try if forced, and says so", async () => {
    pad.person([0, `types ${USER_PIN} ${NEW}`]);
    const ended = await onPad("change", TOKEN_FLAG.USER_PIN_FINAL_TRY, "--force");
    expect(ended.status).toBe(0);
    expect(ended.stderr).toContain("this is the last try before the PIN is locked");
  });

  it("of a token whose PIN is locked, or is to be changed, says so before it asks", async () => {
    pad.person([0, `types ${SO_PIN}`], [0, `types ${NEW}`]);
    const { USER_PIN_LOCKED, USER_PIN_TO_BE_CHANGED } = TOKEN_FLAG;
    const ended = await onPad("unblock", USER_PIN_LOCKED | USER_PIN_TO_BE_CHANGED);
    expect(ended.status).toBe(0);
    expect(ended.stderr).toMatch(/its PIN is to be changed\n[^]*its PIN is locked\n[^]*type the/);
    expect(JSON.parse(String(ended.stdout))).toMatchObject({
      pin: { user: "locked", toBeChanged: true, pinPad: true },
    });
  });

  it("asks for the security officer's PIN, and then for the new one", async () => {
    pad.person([0, `types ${SO_PIN}`], [0, `types ${NEW}`]);
    const ended = await onPad("unblock");
    expect(ended.status).toBe(0);
    expect(ended.stderr).toMatch(/type the security officer PIN for [^]*type the new PIN for/);
    expect(pad.calls()).toEqual(["C_Login SO", "C_InitPIN"]);
    expect(await accepts(NEW)).toBe(true);
  });

  it.each([
    ["change", [RETURNS.cancelled], "ERR_PIN_CANCELED", ["C_SetPIN"]],
    ["change", ["types 0000 1111"], "ERR_PIN_REFUSED", ["C_SetPIN"]],
    ["change", ["CKR_PIN_INVALID"], "ERR_NEW_PIN_REFUSED", ["C_SetPIN"]],
    ["unblock", [RETURNS.cancelled], "ERR_PIN_CANCELED", ["C_Login SO"]],
    ["unblock", ["types 00000000"], "ERR_PIN_REFUSED", ["C_Login SO"]],
    [
      "unblock",
      [`types ${SO_PIN}`, RETURNS.cancelled],
      "ERR_PIN_CANCELED",
      ["C_Login SO", "C_InitPIN"],
    ],
  ] as const)("%s: %j ends it with %s", async (what, acts, code, calls) => {
    pad.person(...acts.map((act) => [0, act] as const));
    const ended = await onPad(what);
    expect([ended.status, codeOf(ended)]).toEqual([5, code]);
    expect(pad.calls()).toEqual(calls);
    expect(await accepts(USER_PIN)).toBe(true);
  });
});

describeNss("NSS softoken", () => {
  it("changes its PIN, after a login; a wrong one leaves it", async () => {
    const nss = await freshNssToken();
    const on = { module: nss.module, env: nss.env, uri: nss.uri, more: ["--json"] };
    expect(codeOf(await pin("change", { old: "wrong pin", fresh: NEW }, on))).toBe(
      "ERR_PIN_REFUSED",
    );
    expect(await pin("change", { old: USER_PIN, fresh: NEW }, on)).toMatchObject({ status: 0 });
    expect(await pin("change", { old: NEW, fresh: USER_PIN }, on)).toMatchObject({ status: 0 });
  });
});

function nullable(
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string | null> {
  return Object.fromEntries(Object.entries(env).map(([name, value]) => [name, value ?? null]));
}
