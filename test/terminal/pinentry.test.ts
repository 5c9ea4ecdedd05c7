/** Pinentry programs of every kind: helpful, refusing, broken and hostile. */
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it } from "@jest/globals";
import { Cancelled, TokenError } from "../../src/errors.js";
import { askConsent, askPin, type AskOptions } from "../../src/terminal/person.js";
import { Pinentry } from "../../src/terminal/pinentry.js";
import { fakePinentry, type FakePinentry, type Replies } from "../support/pinentry.js";
import { isAlive } from "../support/processes.js";
import { temporaryFolder } from "../token/modules/temporary.js";

const folder = temporaryFolder("pinentry");
let made = 0;

function fake(replies: Replies): FakePinentry {
  made += 1;
  return fakePinentry(folder, `pinentry-${made}`, replies);
}

const env = { PATH: process.env["PATH"], LC_ALL: "C.UTF-8" };

function pinOf(
  { program }: { readonly program: string },
  options: Partial<AskOptions> = {},
  questions: readonly string[] = ['PIN for token "alice":'],
): Promise<string> {
  return askPin({ pinentry: program, terminal: "/dev/pts/7" }, questions, { env, ...options });
}

/** What a promise is rejected with. */
async function refusal(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error("it was not refused");
}

async function ended(pid: number): Promise<void> {
  for (let tries = 0; isAlive(pid) && tries < 300; tries += 1) await pause(10);
  expect(isAlive(pid)).toBe(false);
}

describe("a PIN", () => {
  it.each([
    ["plain", "D 123456\nOK\n", "123456"],
    ["with escapes", "D 1%252%09%41%c3%a9\nOK\n", "1%2\tAé"],
    ["in parts, with remarks between", "# so\nD 12\nS STATUS x\nD 34\nOK done\n", "1234"],
    ["with blanks", "D  a b \nOK\n", " a b "],
    ["after CRLF-free lines of the greatest length", `S ${"x".repeat(998)}\nD 1234\nOK\n`, "1234"],
  ])("is taken as it was typed: %s", async (_what, reply, pin) => {
    expect(await pinOf(fake({ GETPIN: reply }))).toBe(pin);
  });

  it("is asked for in words that can't break the protocol, and nothing is cached", async () => {
    const pinentry = fake({ GETPIN: "D 1234\nOK\n" });
    const about = `100 % "open"\nof\u001b[2J ${"é".repeat(900)}`;
    await pinOf(pinentry, { about, why: "the PIN was refused" });
    await ended(pinentry.pids()[0] ?? 0);
    const told = pinentry.told();
    expect(
      told.map((line) => line.split(" ")[0]?.concat(" ", line.split(/[ =]/)[1] ?? "")),
    ).toEqual([
      "OPTION ttyname",
      "OPTION lc-ctype",
      "OPTION lc-messages",
      "SETTITLE p11seal",
      "SETTIMEOUT 300",
      "SETDESC 100",
      "SETPROMPT PIN:",
      "SETERROR the",
      "GETPIN ",
      "BYE ",
    ]);
    const description = told.find((line) => line.startsWith("SETDESC")) ?? "";
    expect(description).toMatch(/^SETDESC 100 %25 "open"%0Aof\\u\{1b\}\[2J é+$/);
    expect(Buffer.byteLength(description)).toBeLessThanOrEqual(1000);
  });

  it("is asked for twice where it is new, and must be the same", async () => {
    const [same, other] = ["D 1234\nOK\n", "D 1243\nOK\n"];
    const questions = ["new PIN:", "new PIN again:"];
    expect(await pinOf(fake({ GETPIN: same }), {}, questions)).toBe("1234");
    const error = await refusal(pinOf(fake({ GETPIN: [same, other] }), {}, questions));
    expect(error).toMatchObject({ code: "ERR_PIN_MISMATCH" });
  });

  it("is asked for although the program knows no options", async () => {
    const no = "ERR 83886254 Unknown option\n";
    const pinentry = fake({ OPTION: no, SETTITLE: no, SETTIMEOUT: no, GETPIN: "D 1234\nOK\n" });
    expect(await pinOf(pinentry)).toBe("1234");
  });
});

describe("a person", () => {
  it.each([
    ["cancels", "ERR 83886179 Operation cancelled <Pinentry>\n"],
    ["closes the window", "ERR 83886278 Operation fully cancelled\n"],
    ["does not confirm", "ERR 83886194 Not confirmed\n"],
  ])("who %s is not asked again", async (_how, reply) => {
    expect(await refusal(pinOf(fake({ GETPIN: reply })))).toBeInstanceOf(Cancelled);
  });

  it("who does not answer is told of by the program", async () => {
    const error = await refusal(pinOf(fake({ GETPIN: "ERR 83886142 Timeout <Pinentry>\n" })));
    expect(error).toMatchObject({ code: "ERR_PIN_MISSING" });
  });

  it("who does not answer a program that never ends is given up", async () => {
    const pinentry = fake({ GETPIN: "hang" });
    const error = await refusal(pinOf(pinentry, { answerMs: 50 }));
    expect(error).toMatchObject({ code: "ERR_PIN_MISSING" });
    expect(pinentry.told()).toContain("SETTIMEOUT 1");
    await ended(pinentry.pids()[0] ?? 0);
  });

  it("is let go when nobody waits for the answer any more", async () => {
    const pinentry = fake({ GETPIN: "hang" });
    const withdrawal = new AbortController();
    const asked = refusal(pinOf(pinentry, { signal: withdrawal.signal }));
    while (!pinentry.told().includes("GETPIN")) await pause(10);
    withdrawal.abort();
    expect(await asked).toMatchObject({ code: "ERR_PIN_MISSING" });
    await ended(pinentry.pids()[0] ?? 0);
    const late = pinOf(fake({}), { signal: AbortSignal.abort() });
    expect(await refusal(late)).toMatchObject({ code: "ERR_PIN_MISSING" });
  });

  it.each([
    ["OK\n", true],
    ["ERR 83886194 Not confirmed\n", false],
    ["ERR 83886179 Operation cancelled\n", false],
    ["ERR 83886142 Timeout\n", false],
  ])("consents or refuses: %j", async (reply, consent) => {
    const pinentry = fake({ CONFIRM: reply });
    const asked = askConsent({ pinentry: pinentry.program }, "Open a message?", { env });
    expect(await asked).toBe(consent);
    expect(pinentry.told()).toContain("SETDESC Open a message?");
  });
});

describe("a program that", () => {
  const secret = "secret-1234";
  it.each<readonly [string, Replies]>([
    ["fails", { GETPIN: `ERR 83918950 Inappropriate ioctl for device ${secret}\n` }],
    ["refuses the description", { SETDESC: "ERR 1 no\n" }],
    ["greets with an error", { greeting: "ERR 5 no\n" }],
    ["sends garbage", { GETPIN: `${secret}\u0000\u00ff\n` }],
    ["sends a line without an end", { GETPIN: `D ${secret.repeat(200)}` }],
    ["sends a line of 1001 bytes", { GETPIN: `D ${"1".repeat(999)}\nOK\n` }],
    ["sends too much data", { GETPIN: `${`D ${"1".repeat(900)}\n`.repeat(3)}OK\n` }],
    ["sends half an escape", { GETPIN: `D ${secret}%4\nOK\n` }],
    ["sends what is no escape", { GETPIN: `D ${secret}%zz\nOK\n` }],
    ["sends remarks without end", { GETPIN: "S x\n".repeat(100) }],
    ["wants to know something", { GETPIN: "INQUIRE QUALITY 1234\n" }],
    ["answers twice", { SETDESC: "OK\nOK\n" }],
    ["sends an error that is none", { GETPIN: "ERR\n" }],
    ["sends what is not UTF-8", { GETPIN: "D \u00e9\nOK\n" }],
    ["is killed", { GETPIN: "die" }],
    ["is killed at once", { greeting: "die" }],
  ])("%s gives no PIN, and its words are not repeated", async (_what, replies) => {
    const pinentry = fake(replies);
    const error = await refusal(pinOf(pinentry));
    expect(error).toBeInstanceOf(TokenError);
    expect((error as TokenError).code).toMatch(/^ERR_PIN_(?:SOURCE_FAILED|FORMAT)$/);
    expect(JSON.stringify([error, String(error)])).not.toContain(secret);
    await ended(pinentry.pids()[0] ?? 0);
  });

  it("does not exist is reported as such", async () => {
    const error = await refusal(pinOf({ program: "/nonexistent/pinentry" }));
    expect(error).toMatchObject({ code: "ERR_PIN_SOURCE_FAILED" });
    expect(String(error)).toContain(`"/nonexistent/pinentry" cannot be run: it is not there`);
  });

  it.each([
    ["greeting", { greeting: "hang" }],
    ["description", { SETDESC: "hang" }],
  ])("hangs at the %s is given up, and ended", async (_where, replies) => {
    const pinentry = fake(replies);
    const start = async (): Promise<string> => {
      const started = await Pinentry.start({ program: pinentry.program, env, programMs: 300 });
      try {
        return await started.pin({ description: "PIN?" });
      } finally {
        started.close();
      }
    };
    expect(await refusal(start())).toMatchObject({ code: "ERR_PIN_SOURCE_FAILED" });
    await ended(pinentry.pids()[0] ?? 0);
  });
});
