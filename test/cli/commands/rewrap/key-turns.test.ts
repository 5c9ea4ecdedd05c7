/** How many files of a run use keys at a time, and when that ends. */
import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, expect, it } from "@jest/globals";
import type { Context } from "../../../../src/cli/command.js";
import { KeyTurns, Left, type Used } from "../../../../src/cli/commands/rewrap/key-turns.js";
import type { Identities } from "../../../../src/cli/find/identities.js";
import type { ExchangeIdentity } from "../../../../src/cli/find/identity-source.js";
import type { Tokens } from "../../../../src/cli/find/tokens.js";
import { AuthenticationError, TokenError } from "../../../../src/errors.js";
import { recipientOf } from "../../../support/identities.js";

const identity: ExchangeIdentity = {
  publicKey: recipientOf("p256").publicKey,
  name: "pkcs11:object=exchange",
  unlock: () => Promise.reject(new Error("not needed")),
};
let turns: KeyTurns;
/** How many uses there were at a time, at each one's begin. */
let atATime: number[];
let inside: number;

beforeEach(() => {
  const tokens = { isBack: () => Promise.resolve(false) } as unknown as Tokens;
  const context = { report: { note: () => undefined } } as unknown as Context;
  turns = new KeyTurns({} as Identities, tokens, context);
  [atATime, inside] = [[], 0];
});

/** One file's use of the key, which fails if there is an error for the how-manieth it is. */
async function use(errors: Readonly<Record<number, Error>> = {}): Promise<void> {
  const used: Used = {};
  await turns.patiently(() =>
    turns.take(async () => {
      used.identity = identity;
      const nth = atATime.length;
      atATime.push(++inside);
      await sleep(5);
      inside--;
      if (errors[nth] !== undefined) throw errors[nth];
    }, used),
  );
}

const many = (count: number, errors?: Readonly<Record<number, Error>>): Promise<unknown> =>
  Promise.allSettled(Array.from({ length: count }, () => use(errors)));

const pulled = (): TokenError => new TokenError("ERR_TOKEN_REMOVED", "the token was removed");
const forged = (): AuthenticationError => new AuthenticationError("ERR_NOT_AUTHENTIC", "forged");

it("lets one file use keys until it has succeeded, and then two", async () => {
  await many(8);
  expect(atATime).toHaveLength(8);
  expect(atATime.slice(0, 2)).toEqual([1, 1]);
  expect(Math.max(...atATime)).toBe(2);
});

it("does again alone what failed at the token beside another, and goes on one by one", async () => {
  const ended = await many(8, { 3: pulled() });
  expect(ended).toEqual(
    Array.from({ length: 8 }, () => ({ status: "fulfilled", value: undefined })),
  );
  // One more than there are files.
  expect(atATime).toHaveLength(9);
  expect(atATime.slice(-4)).toEqual([1, 1, 1, 1]);
});

it("uses keys no more once the token has failed twice, alone", async () => {
  const errors = Object.fromEntries(Array.from({ length: 20 }, (_, nth) => [nth + 2, pulled()]));
  const ended = (await many(8, errors)) as PromiseSettledResult<void>[];
  const reasons = ended.flatMap((one) => (one.status === "rejected" ? [one.reason as Error] : []));
  expect(reasons.filter((one) => one instanceof TokenError)).toHaveLength(2);
  expect(reasons.filter((one) => one instanceof Left)).toHaveLength(4);
  // Two that succeed, two side by side, and both again; or one of them and the next.
  expect(atATime).toHaveLength(6);
});

it("goes on one by one once a header did not open: somebody may be guessing", async () => {
  await many(8, { 2: forged() });
  expect(atATime.slice(-4)).toEqual([1, 1, 1, 1]);
  expect(atATime).toHaveLength(8);
});

it("tries a key no more often than it may fail, also where the first one opened", async () => {
  let unlocked = 0;
  const guess = async (nth: number): Promise<void> => {
    const used: Used = {};
    const watched = turns.watched(
      {
        ...identity,
        unlock: () => {
          unlocked++;
          return Promise.reject(nth === 0 ? new Error("any") : forged());
        },
      },
      used,
    );
    await turns.take(() => watched.unlock().then(() => undefined), used);
  };
  await use();
  await use();
  await Promise.allSettled(Array.from({ length: 20 }, (_, at) => guess(at + 1)));
  expect(unlocked).toBe(5);
});
