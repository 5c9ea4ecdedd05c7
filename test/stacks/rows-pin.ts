/** Rows about the PIN. They come last: the second one locks the PIN if it can be locked. */
import { expect } from "@jest/globals";
import type { TokenError } from "../../src/errors.js";
import { parseUri } from "../../src/token/uri.js";
import { type Bench, Lacking } from "./bench.js";
import { row, type Row } from "./row.js";

export const pinRows: readonly Row[] = [
  row("wrong-pin-once", async (bench) => {
    const { codes, asked, state } = await tryWrongPin(bench, 3);
    expect(codes).toEqual(["ERR_PIN_REFUSED", "ERR_PIN_REFUSED", "ERR_PIN_REFUSED"]);
    expect(asked).toBe(1);
    // On tokens that count, a second try would show here.
    expect(["ok", "low"]).toContain(state);
  }),

  row("locked-pin", async (bench) => {
    let isLocked = false;
    for (let i = 0; i < 5 && !isLocked; i++) {
      const { codes } = await tryWrongPin(bench, 1);
      isLocked = codes[0] === "ERR_PIN_LOCKED";
    }
    if (!isLocked) throw new Lacking("NEVER_LOCKS");
    const { codes, asked } = await tryWrongPin(bench, 1);
    expect(codes).toEqual(["ERR_PIN_LOCKED"]);
    if (asked > 0) throw new Lacking("LOCK_NOT_TOLD");
  }),
];

/** Logs in with a wrong PIN through a separate connection, and tries again through it. */
async function tryWrongPin(bench: Bench, times: number) {
  await bench.reopen();
  let asked = 0;
  const pin = (): Promise<string> => {
    asked++;
    return Promise.resolve("571904");
  };
  const door = bench.open({ pin, force: true });
  const codes: string[] = [];
  for (let i = 0; i < times; i++) {
    try {
      await door.logIn(parseUri(bench.uri));
      codes.push("logged in");
    } catch (error) {
      codes.push((error as TokenError).code);
    }
  }
  const { pin: state } = await bench.token(door);
  await door.close();
  return { codes, asked, state };
}
