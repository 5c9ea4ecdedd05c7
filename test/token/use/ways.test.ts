/**
 * What each return value leads to, with ways that answer as tokens do. Whatever a sender can cause
 * ends in `null`, and nothing else does.
 */
import { describe, expect, it } from "@jest/globals";
import { TokenError } from "../../../src/errors.js";
import { call } from "../../../src/token/modules/call.js";
import { returnValue } from "../../../src/token/modules/ckr.js";
import type { Token } from "../../../src/token/session/token.js";
import { type Way, WayFailed, Ways } from "../../../src/token/use/ways.js";

/** Fails as pkcs11js does. */
function fails(code: number): never {
  return call("C_UnwrapKey", () => {
    throw Object.assign(new Error("CKR_X"), { code });
  });
}

type Answer = number | Uint8Array | null;

interface Fake extends Way {
  answer: Answer;
  used: number;
  tested: number;
}

/** A way whose `use` returns or throws a code; its self-test succeeds, fails, or throws a code. */
function way(answer: Answer, selfTest: boolean | number): Fake {
  const fake: Fake = {
    name: "a way",
    answer,
    used: 0,
    tested: 0,
    use: () => {
      fake.used++;
      return settle(fake.answer);
    },
    selfTest: () => {
      fake.tested++;
      return settle(selfTest);
    },
  };
  return fake;
}

function settle<T>(answer: T | number): Promise<T> {
  return new Promise((resolve) => {
    resolve(typeof answer === "number" ? fails(answer) : answer);
  });
}

function waysOf(ways: Way[], isPresent = true, refused = new Set<string>()): Ways {
  const token = {
    info: { label: "t" },
    refused,
    isPresent: () => isPresent,
    isStillPresent: () => Promise.resolve(isPresent),
  } as unknown as Token;
  return new Ways(token, "undo it", ways, () => undefined);
}

const outcome = (ways: Ways): Promise<unknown> => told(() => ways.use(new Uint8Array(1)));
const evenly = (ways: Ways): Promise<unknown> => told(() => ways.useEvenly(new Uint8Array(1)));

async function told(use: () => ReturnType<Ways["use"]>): Promise<unknown> {
  try {
    const secret = await use();
    return secret === null ? null : Array.from(secret.expose());
  } catch (error) {
    return (error as TokenError).code;
  }
}

const GENERAL_ERROR = 0x05;
const ARGUMENTS_BAD = 0x07;
const ENCRYPTED_DATA_INVALID = 0x40;
const MECHANISM_INVALID = 0x70;
const TEMPLATE_INCONSISTENT = 0xd1;
const WRAPPED_KEY_INVALID = 0x110;
const UNKNOWN = 0x8000_1234;

describe("a way that", () => {
  it("works gives the secret, without a self-test", async () => {
    const only = way(Uint8Array.of(1), true);
    expect(await outcome(waysOf([only]))).toEqual([1]);
    expect(only.tested).toBe(0);
  });

  it.each([
    GENERAL_ERROR,
    0x06,
    ARGUMENTS_BAD,
    0x20,
    0x21,
    0x30,
    ENCRYPTED_DATA_INVALID,
    0x41,
    0x62,
    0x63,
    MECHANISM_INVALID,
    0x71,
    0x13,
    TEMPLATE_INCONSISTENT,
    WRAPPED_KEY_INVALID,
    0x112,
    0x150,
    0x91,
    UNKNOWN,
  ])("works on our own ciphertext and fails on another's with 0x%x says null", async (code) => {
    const next = way(Uint8Array.of(9), true);
    expect(await outcome(waysOf([way(code, true), next]))).toBeNull();
    expect(next.used).toBe(0);
  });

  it.each([
    GENERAL_ERROR,
    ARGUMENTS_BAD,
    MECHANISM_INVALID,
    TEMPLATE_INCONSISTENT,
    ENCRYPTED_DATA_INVALID,
  ])(
    "fails with 0x%x also on our own ciphertext is passed over, from then on without a try",
    async (code) => {
      const first = way(code, code);
      const second = way(Uint8Array.of(9), true);
      const ways = waysOf([first, second]);
      expect(await outcome(ways)).toEqual([9]);
      expect(await outcome(ways)).toEqual([9]);
      expect([first.used, first.tested, second.used]).toEqual([1, 1, 2]);
    },
  );

  it.each([0x31, 0x32, 0x50, 0x60, 0x82, 0xb0, 0xb3, 0xe0, 0xf0, 0x101, 0x190])(
    "fails with 0x%x is a fault of the token, and told",
    async (code) => {
      expect(await outcome(waysOf([way(code, true)]))).toMatch(/^ERR_(PKCS11|TOKEN_REMOVED)$/);
    },
  );

  it("worked once is asked the same after each failure: does it still?", async () => {
    const fake = way(Uint8Array.of(1), true);
    const ways = waysOf([fake]);
    await outcome(ways);
    for (const answer of [null, GENERAL_ERROR, TEMPLATE_INCONSISTENT, ENCRYPTED_DATA_INVALID]) {
      fake.answer = answer;
      fake.tested = 0;
      expect(await outcome(ways)).toBeNull();
      expect(fake.tested).toBe(1);
    }
  });

  it.each([false, GENERAL_ERROR])(
    "worked once and no more is the token's fault, not the ciphertext's",
    async (selfTest) => {
      const fake = way(Uint8Array.of(1), selfTest);
      const next = way(Uint8Array.of(9), true);
      const ways = waysOf([fake, next]);
      await outcome(ways);
      fake.answer = GENERAL_ERROR;
      expect(await outcome(ways)).toBe("ERR_PKCS11");
      expect(next.used).toBe(0);
    },
  );

  it("gives a secret of the wrong form says null when it works on our own", async () => {
    expect(await outcome(waysOf([way(null, true)]))).toBeNull();
    expect(await outcome(waysOf([way(null, false)]))).toBe("ERR_MECHANISM");
  });

  it("fails because the token went away is a fault of the token", async () => {
    expect(await outcome(waysOf([way(GENERAL_ERROR, GENERAL_ERROR)], false))).toBe(
      "ERR_TOKEN_REMOVED",
    );
    expect(await outcome(waysOf([way(WRAPPED_KEY_INVALID, true)], false))).toBe(
      "ERR_TOKEN_REMOVED",
    );
  });
});

describe("a way that is used evenly", () => {
  it("is settled with our own input before it sees the sender's", async () => {
    const first = way(Uint8Array.of(1), false);
    const second = way(Uint8Array.of(2), true);
    const ways = waysOf([first, second]);
    expect(await evenly(ways)).toEqual([2]);
    expect([first.used, first.tested, second.used, second.tested]).toEqual([0, 1, 1, 1]);
    expect(await evenly(ways)).toEqual([2]);
    expect([first.used, first.tested, second.used, second.tested]).toEqual([0, 1, 2, 1]);
  });

  it.each([null, GENERAL_ERROR, ENCRYPTED_DATA_INVALID, UNKNOWN])(
    "answers %j with null, and no try after it",
    async (answer) => {
      const only = way(answer, true);
      const ways = waysOf([only]);
      for (let i = 1; i <= 2; i++) {
        expect(await evenly(ways)).toBeNull();
        expect([only.used, only.tested]).toEqual([i, 1]);
      }
    },
  );

  it("and tries itself is not tried besides; its failure leads to the next", async () => {
    const first = { ...way(null, true), useEvenly: () => Promise.reject(new WayFailed()) };
    const second = { ...way(null, true), useEvenly: () => Promise.resolve(Uint8Array.of(3)) };
    expect(await evenly(waysOf([first, second]))).toEqual([3]);
    expect([first.tested, second.tested, first.used, second.used]).toEqual([0, 0, 0, 0]);
    expect(await evenly(waysOf([first]))).toBe("ERR_MECHANISM");
  });

  it.each([Uint8Array.of(1), null])("gives nothing of a token that is gone: %j", async (answer) => {
    const itself = { ...way(null, true), useEvenly: () => Promise.resolve(answer) };
    expect(await evenly(waysOf([itself], false))).toBe("ERR_TOKEN_REMOVED");
  });
});

describe("a way that the token does not list", () => {
  const unlisted = (answer: Answer, selfTest: boolean | number): Fake => ({
    ...way(answer, selfTest),
    unlisted: "C_DeriveKey CKM_X",
  });
  const counted = (answer: Answer, selfTest: boolean | number): [Fake, () => number[]] => {
    const inner = way(answer, selfTest);
    const fake = { ...inner, unlisted: "C_DeriveKey CKM_X" };
    return [fake, () => [inner.tested, inner.used]];
  };

  it.each([["use", outcome] as const, ["useEvenly", evenly] as const])(
    "sees the sender's input only after our own, once it works (%s)",
    async (_name, use) => {
      const [works, calls] = counted(Uint8Array.of(4), true);
      const ways = waysOf([works]);
      expect(await use(ways)).toEqual([4]);
      expect(await use(ways)).toEqual([4]);
      expect(calls()).toEqual([1, 2]);
    },
  );

  it.each([MECHANISM_INVALID, GENERAL_ERROR, 0x54, false] as const)(
    "and does not have either (%s) is tried once, and never sees the sender's input",
    async (selfTest) => {
      const [fails, calls] = counted(Uint8Array.of(4), selfTest);
      const ways = waysOf([fails]);
      for (const use of [outcome, evenly, outcome]) expect(await use(ways)).toBe("ERR_MECHANISM");
      expect(calls()).toEqual([1, 0]);
    },
  );

  it("is not asked for again with another key, once the token said that it does not have it", async () => {
    const refused = new Set<string>();
    await outcome(waysOf([unlisted(null, GENERAL_ERROR)], true, refused));
    expect([...refused]).toEqual([]);
    await outcome(waysOf([unlisted(null, MECHANISM_INVALID)], true, refused));
    const [later, calls] = counted(Uint8Array.of(4), true);
    expect(await outcome(waysOf([later], true, refused))).toBe("ERR_MECHANISM");
    expect(calls()).toEqual([0, 0]);
  });

  it("stands in the error beside what the token lists", async () => {
    const hintOf = (ways: Way[]): Promise<unknown> =>
      waysOf(ways)
        .use(new Uint8Array())
        .catch((error: unknown) => (error as TokenError).hint);
    const last = { ...unlisted(null, false), name: "another" };
    expect(await hintOf([way(MECHANISM_INVALID, false), last])).toBe(
      "tried a way; tried what it does not list, without success: another",
    );
    expect(await hintOf([last])).toBe(
      "the token lists no way to do it; tried what it does not list, without success: another",
    );
  });
});

describe("no way at all", () => {
  it("is a fault of the token, and names what was tried", async () => {
    expect(await outcome(waysOf([]))).toBe("ERR_MECHANISM");
    const ways = waysOf([way(MECHANISM_INVALID, MECHANISM_INVALID)]);
    await expect(ways.use(new Uint8Array())).rejects.toMatchObject({
      code: "ERR_MECHANISM",
      hint: expect.stringContaining("a way"),
    });
    expect(await ways.isPossible()).toBe(false);
  });
});

describe("a return value", () => {
  it("has the function's name and its own, also where pkcs11js loses them", () => {
    for (const native of [
      Object.assign(new Error("CKR_VENDOR_DEFINED"), { code: 0x1b, method: "" }),
      new Error("CKR_VENDOR_DEFINED:27"),
    ]) {
      expect(() =>
        call("C_SetAttributeValue", () => {
          throw native;
        }),
      ).toThrow(
        expect.objectContaining({
          code: "ERR_PKCS11",
          fn: "C_SetAttributeValue",
          ckr: "CKR_ACTION_PROHIBITED",
          message: "C_SetAttributeValue: the object's policy forbids this (CKR_ACTION_PROHIBITED)",
        }),
      );
    }
  });

  it("that no table knows keeps its number", () => {
    expect(returnValue(UNKNOWN).name).toBe("CKR_0x80001234");
    expect(returnValue(0x999).name).toBe("CKR_0x00000999");
  });

  it("is not made out of a mistake of the program", () => {
    expect(() =>
      call("C_Login", () => {
        throw new TypeError("Argument 2 has wrong type. Should be a String");
      }),
    ).toThrow(TypeError);
  });
});
