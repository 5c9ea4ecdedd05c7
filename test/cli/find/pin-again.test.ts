/**
 * A wrong PIN at a terminal: another may be typed while the token does not say that its counter is
 * low, and none is sent twice. The token is SoftHSM behind a module that can hide its flags.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, expect, it } from "@jest/globals";
import { TOKEN_FLAG } from "../../../src/token/modules/constants.js";
import type { WrappedModule } from "../../../src/testing/index.js";
import { countedCalls, type SetFaults, softHsmBehind } from "../../support/behind-shim.js";
import { publicPem, TEST_KEYS } from "../../support/keys.js";
import { fakePinentry } from "../../support/pinentry.js";
import { freshToken, importKey, type TestToken, USER_PIN } from "../../support/softhsm.js";
import { atTerminal, type Played } from "../support/at-terminal.js";
import { temporaryFolder } from "../support/folder.js";
import { run } from "../support/run.js";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const FIRST = "PIN for token";
const AGAIN = "the PIN was refused; PIN for token";
const SAME = "that PIN was refused before, and was not sent again; PIN for token";
/** SoftHSM sets it at the first wrong PIN, and never locks. */
const HIDDEN: number = TOKEN_FLAG.USER_PIN_COUNT_LOW;

/** Hides the flag. */
let hiding: WrappedModule;
/** Shows it. */
let showing: WrappedModule;
/** The one that was used last. */
let used: WrappedModule;
let token: TestToken;

interface Given {
  readonly fault?: SetFaults;
  readonly behind?: WrappedModule;
  readonly pin?: string;
  /** By default the terminal, or the PIN that is given. */
  readonly source?: string;
}

function environment({
  fault,
  behind = hiding,
  pin,
  source,
}: Given): Record<string, string | null> {
  used = behind;
  used.faults.clear();
  fault?.(used.faults);
  return {
    P11SEAL_HOME: at("home"),
    P11SEAL_SYSTEM_MODULES: "0",
    P11SEAL_MODULE: used.module,
    P11SEAL_PIN_SOURCE: source ?? (pin === undefined ? null : "env:PIN"),
    PIN: pin ?? null,
  };
}

const open = (steps: readonly (readonly [string, string])[], given: Given = {}): Promise<Played> =>
  atTerminal(["open", "-i", token.uri, "m.p11s"], steps, { cwd: folder, env: environment(given) });

const logins = (): number | undefined => countedCalls(used, "C_Login")[0];

const questions = ({ shown }: Played): number => shown.split(FIRST).length - 1;

beforeAll(async () => {
  hiding = await softHsmBehind(undefined, { shows: { hiddenFlags: HIDDEN } });
  showing = await softHsmBehind();
  token = await freshToken("pin-again");
  const privateHalf = { DERIVE: true, SIGN: false };
  await importKey(token, TEST_KEYS.p256, { label: "k", id: Uint8Array.of(1), privateHalf });
  writeFileSync(at("k.pem"), publicPem(TEST_KEYS.p256));
  writeFileSync(at("note"), "meet at noon\n");
  const sealed = await run(["seal", "-r", at("k.pem"), "-o", at("m.p11s"), at("note")]);
  expect(sealed.status).toBe(0);
});

beforeEach(async () => {
  // A login that succeeds clears the flags that a wrong PIN sets.
  expect(await open([], { pin: USER_PIN })).toMatchObject({ status: 0 });
  hiding.forgetCalls();
  showing.forgetCalls();
});

it("that was mistyped is typed again, and opens", async () => {
  const played = await open([
    [FIRST, "wrong\r"],
    [AGAIN, `${USER_PIN}\r`],
  ]);
  expect(played).toMatchObject({ status: 0, modesKept: true });
  expect(played.shown).toContain("meet at noon");
  expect(played.shown).not.toMatch(/wrong|[*]/);
  expect(logins()).toBe(2);
});

it("is asked for three times at most", async () => {
  const played = await open([
    [FIRST, "wrong\r"],
    [AGAIN, "1111\r"],
    [AGAIN, "2222\r"],
  ]);
  expect(played.status).toBe(5);
  expect([questions(played), logins()]).toEqual([3, 3]);
  expect(played.shown).toContain("refuses the PIN");
});

it("that was refused is not sent again when it is typed again", async () => {
  const played = await open([
    [FIRST, "wrong\r"],
    [AGAIN, "wrong\r"],
    [SAME, `${USER_PIN}\r`],
  ]);
  expect(played.status).toBe(0);
  expect(logins()).toBe(2);
});

it.each([
  ["an empty line", "\r", 5],
  ["one that no token can have", "1\r", 5],
  ["Ctrl-D", "\u0004", 5],
  ["Ctrl-C", "\u0003", 130],
])("is given up with %s", async (_how, typed, status) => {
  const played = await open([
    [FIRST, "wrong\r"],
    [AGAIN, typed],
  ]);
  expect(played).toMatchObject({ status, modesKept: true });
  expect([questions(played), logins()]).toEqual([2, 1]);
});

it("is not asked for again once the token says that its counter is low", async () => {
  const played = await open([[FIRST, "wrong\r"]], { behind: showing });
  expect(played.status).toBe(5);
  expect([questions(played), logins()]).toEqual([1, 1]);
});

it.each<[string, SetFaults]>([
  ["the module crashes", (faults) => faults.crash("C_Login")],
  ["the device fails", (faults) => faults.fail("C_Login", { rv: "CKR_DEVICE_ERROR" })],
  [
    "the token says that it is locked",
    (faults) => faults.fail("C_Login", { rv: "CKR_PIN_LOCKED" }),
  ],
])("is not asked for again where %s", async (_what, fault) => {
  const played = await open([[FIRST, `${USER_PIN}\r`]], { fault });
  expect(played.status).not.toBe(0);
  expect([questions(played), logins()]).toEqual([1, 1]);
});

it("that was mistyped in a pinentry is typed again there, and opens", async () => {
  const { program, told } = fakePinentry(folder, "pinentry", {
    GETPIN: ["D wrong\nOK\n", `D ${USER_PIN}\nOK\n`],
  });
  const played = await open([], { source: `pinentry:${program}` });
  expect(played).toMatchObject({ status: 0, modesKept: true });
  expect(logins()).toBe(2);
  expect(told().filter((line) => line.startsWith("SETERROR"))).toEqual([
    "SETERROR the PIN was refused",
  ]);
});

it("of a source is never asked for again", async () => {
  const played = await open([], { pin: "wrong" });
  expect(played.status).toBe(5);
  expect([questions(played), logins()]).toEqual([0, 1]);
});
