/** A card that was pulled ends its login, also if it is back before anybody looked. */
import { createECDH } from "node:crypto";
import { appendFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import { TokenProcess } from "../../../src/token/process/token-process.js";
import { parseUri } from "../../../src/token/uri.js";
import { softHsmBehind } from "../../support/behind-shim.js";
import { buildModule } from "../../support/build-module.js";
import { TEST_KEYS } from "../../support/keys.js";
import { agree } from "../../support/private-key.js";
import {
  freshToken,
  importKey,
  SOFTHSM_MODULE,
  type TestToken,
  USER_PIN,
} from "../../support/softhsm.js";
import { temporaryFolder } from "../modules/temporary.js";

const REMOVABLE = 0x02;
const events = join(temporaryFolder("events"), "events");
let token: TestToken;
let tokens: TokenProcess;
let pins: number;

beforeAll(async () => {
  token = await freshToken("events");
  const privateHalf = { DERIVE: true };
  await importKey(token, TEST_KEYS.p256, { label: "ec", id: Uint8Array.of(1), privateHalf });
});

afterEach(() => tokens.close());

/** Logs in through a module. */
async function logIn(module: string, env: Record<string, string> = {}): Promise<void> {
  pins = 0;
  tokens = new TokenProcess({
    ...{ modules: [module], home: "/nonexistent", env: { ...process.env, ...env } },
    pin: () => {
      pins += 1;
      return Promise.resolve(USER_PIN);
    },
  });
  await tokens.logIn(parseUri(token.uri));
}

/** As an agent looks, every other second. */
async function lasts(): Promise<boolean> {
  return tokens.isLoggedIn(await tokens.findToken(parseUri(token.uri)));
}

describe.each([
  ["a reader", REMOVABLE],
  ["a slot of its own", 0],
])("a token in %s", (_where, slotFlags) => {
  it("that is pulled and put back between two looks is not logged in any more", async () => {
    const wrapped = await softHsmBehind(() => undefined, { shows: { slotFlags } });
    await logIn(wrapped.module);
    expect([await lasts(), await lasts()]).toEqual([true, true]);
    wrapped.faults.pull();
    wrapped.faults.insert();
    expect(await lasts()).toBe(false);
    // The PIN is needed once more, and then the login lasts.
    await tokens.logIn(parseUri(token.uri));
    expect([await lasts(), await lasts(), pins]).toEqual([true, true, 2]);
    await wrapped.close();
  });
});

describe("a module whose sessions outlast the card", () => {
  const source = new URL("../../support/events/module.cc", import.meta.url);
  let module: string;
  const env = (): Record<string, string> => ({
    ...{ EVENTS_MODULE: SOFTHSM_MODULE, EVENTS_FILE: events, EVENTS_TOKEN: token.label },
  });

  beforeAll(() => {
    module = buildModule(fileURLToPath(source), "events");
  });

  it("tells of it by an event, which ends the login", async () => {
    // What happened before the login is no concern of it.
    writeFileSync(events, "..");
    await logIn(module, env());
    expect([await lasts(), await lasts()]).toEqual([true, true]);
    appendFileSync(events, "..");
    expect([await lasts(), await lasts()]).toEqual([false, false]);
    await tokens.logIn(parseUri(token.uri));
    expect([await lasts(), await lasts(), pins]).toEqual([true, true, 2]);
  });

  it("tells also of other slots, which ends no login", async () => {
    writeFileSync(events, "");
    await logIn(module, env());
    appendFileSync(events, "xxx");
    expect([await lasts(), pins]).toEqual([true, 1]);
  });

  it("does not make a key be used without a new PIN", async () => {
    writeFileSync(events, "");
    await logIn(module, env());
    const key = await tokens.findKey({ ...parseUri(token.uri), object: "ec" });
    const unlocked = await tokens.identity(key).unlock();
    const peer = createECDH("prime256v1").generateKeys();
    expect((await agree(unlocked, peer))?.expose()).toHaveLength(32);
    expect(pins).toBe(1);
    appendFileSync(events, ".");
    expect((await agree(unlocked, peer))?.expose()).toHaveLength(32);
    expect(pins).toBe(2);
  });

  it.each([
    ["tells none", "0x54"],
    ["fails to", "0x05"],
  ])("lasts for as long as its session where the module %s", async (_how, rv) => {
    writeFileSync(events, "..");
    await logIn(module, { ...env(), EVENTS_RV: rv });
    appendFileSync(events, "..");
    expect([await lasts(), await lasts(), pins]).toEqual([true, true, 1]);
  });

  it("that never runs out of events can't make the look go on for ever", async () => {
    writeFileSync(events, "x".repeat(100_000));
    await logIn(module, env());
    expect(await lasts()).toBe(true);
  });
});
