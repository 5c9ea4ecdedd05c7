/** An agent's questions: in turn, with pauses after refusals, and about what is known. */
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it } from "@jest/globals";
import { Asking } from "../../src/agent/asking.js";
import type { Client } from "../../src/agent/server.js";
import type { KeyInfo, PinRequest } from "../../src/token/values.js";
import { fakePinentry, type FakePinentry, type Replies } from "../support/pinentry.js";
import { temporaryFolder } from "../token/modules/temporary.js";

const folder = temporaryFolder("asking");
const env = { PATH: process.env["PATH"] };
const YES = "OK\n";
const NO = "ERR 83886194 Not confirmed\n";
const request: PinRequest = {
  token: { label: "alice", serial: "42", model: "", manufacturer: "", pin: "low" },
  kind: "user",
  fresh: false,
};
const key = (label: string): KeyInfo =>
  ({ label, uri: `pkcs11:object=${label}`, token: request.token }) as unknown as KeyInfo;

interface Setting {
  readonly asking: Asking;
  readonly pinentry: FakePinentry;
  readonly clock: { nowMs: number };
}

let made = 0;

function setUp(replies: Replies, answerMs?: number): Setting {
  made += 1;
  const pinentry = fakePinentry(folder, `pinentry-${made}`, replies);
  const clock = { nowMs: 0 };
  const nowMs = (): number => clock.nowMs;
  const { program } = pinentry;
  return {
    ...{ pinentry, clock },
    asking: new Asking({ pinentry: program, hasTerminal: false, env, nowMs, answerMs }),
  };
}

interface Asker {
  readonly client: Client;
  readonly act: "open";
  readonly messageId: string;
  readonly gone: AbortController;
  readonly waits: boolean[];
}

function asker(): Asker {
  const gone = new AbortController();
  const waits: boolean[] = [];
  const client = {
    peer: { pid: process.pid, uid: 0 },
    gone: gone.signal,
    awaitsPerson: (waiting: boolean) => waits.push(waiting),
  };
  return { client, gone, waits, act: "open", messageId: "00112233445566778899aabbccddeeff" };
}

const confirms = ({ pinentry }: Setting): number =>
  pinentry.told().filter((line) => line === "CONFIRM").length;

const CANCELLED = { code: "ERR_AGENT_CANCELLED" };

describe("consent", () => {
  it("is asked for in words that say who wants what", async () => {
    const setting = setUp({ CONFIRM: YES });
    const one = asker();
    await setting.asking.consent(key("exchange"), one);
    expect(one.waits).toEqual([true, false]);
    const said = setting.pinentry.told().find((line) => line.startsWith("SETDESC")) ?? "";
    expect(said).toContain(`(process ${process.pid}) wants to open message 0011223344556677`);
    expect(said).toContain('Use key "exchange" of token "alice"?');
    await setting.asking.consent(key("exchange"), { ...one, remote: "far\u001b[2Jaway" });
    expect(setting.pinentry.told().join("\n")).toContain('host "far\\u{1b}[2Jaway", by way of');
  });

  it("that was refused is not asked for again at once, and later each time", async () => {
    const setting = setUp({ CONFIRM: [NO, NO, YES, NO] });
    const { asking, clock } = setting;
    const consent = (label = "k"): Promise<void> => asking.consent(key(label), asker());
    await expect(consent()).rejects.toMatchObject(CANCELLED);
    clock.nowMs = 4_999;
    await expect(consent()).rejects.toMatchObject(CANCELLED);
    expect(confirms(setting)).toBe(1);
    clock.nowMs = 5_000;
    await expect(consent()).rejects.toMatchObject(CANCELLED);
    clock.nowMs = 14_999;
    await expect(consent()).rejects.toMatchObject(CANCELLED);
    expect(confirms(setting)).toBe(2);
    clock.nowMs = 15_000;
    await consent();
    // Consent ends it: the next refusal counts as the first.
    await expect(consent()).rejects.toMatchObject(CANCELLED);
    clock.nowMs = 20_000;
    await expect(consent()).rejects.toMatchObject(CANCELLED);
    expect(confirms(setting)).toBe(5);
  });

  it("is asked for one key at a time, and not twice for what was refused meanwhile", async () => {
    const setting = setUp({ CONFIRM: NO });
    const wanted = ["a", "a", "a", "b"].map((label) =>
      setting.asking
        .consent(key(label), asker())
        .catch((error: unknown) => (error as { code: string }).code),
    );
    expect(await Promise.all(wanted)).toEqual(Array(4).fill("ERR_AGENT_CANCELLED"));
    expect(confirms(setting)).toBe(2);
  });

  it("is not asked for by more than a few at once", async () => {
    const { asking } = setUp({ CONFIRM: YES });
    const many = Array.from({ length: 40 }, (_, n) =>
      asking.consent(key(`${n}`), asker()).then(
        () => "used",
        () => "refused",
      ),
    );
    const results = await Promise.all(many);
    expect(results.filter((result) => result === "used")).toHaveLength(16);
  });

  it.each([
    ["has gone", undefined],
    ["gets no answer in time", 50],
  ])("counts as refused where whoever wants it %s", async (_how, answerMs) => {
    const setting = setUp({ CONFIRM: "hang" }, answerMs);
    const one = asker();
    const wanted = setting.asking.consent(key("k"), one);
    const outcome = expect(wanted).rejects.toMatchObject(CANCELLED);
    while (confirms(setting) === 0) await pause(10);
    if (answerMs === undefined) one.gone.abort();
    await outcome;
    expect(one.waits).toEqual([true, false]);
  });
});

describe("a PIN", () => {
  it("is asked for where a person is, about the message, with a warning", async () => {
    const { asking, pinentry } = setUp({});
    const found = await asking.pin(request, asker());
    expect(found).toMatchObject({
      fromPerson: true,
      pin: {
        questions: ['PIN for token "alice" (serial 42):'],
        place: { pinentry: pinentry.program },
        about: expect.stringMatching(/wants to open message .*\na wrong PIN was tried/s) as unknown,
        answerMs: 120_000,
      },
    });
    found.settled?.(undefined);
  });

  it("keeps the next question waiting until its login has ended", async () => {
    const setting = setUp({ CONFIRM: YES });
    const found = await setting.asking.pin(request, asker());
    const consent = setting.asking.consent(key("k"), asker());
    await pause(100);
    expect(confirms(setting)).toBe(0);
    found.settled?.(new Error("a wrong PIN"));
    await consent;
    expect(confirms(setting)).toBe(1);
  });

  it("is asked for at the terminal of whoever asks only if it is one", async () => {
    const options = { pinentry: undefined, env, nowMs: () => 0 };
    const none = new Asking({ ...options, hasTerminal: false });
    for (const terminal of [undefined, "/dev/null", "/etc/passwd", "/dev/pts/999999"]) {
      await expect(none.pin(request, { ...asker(), terminal })).rejects.toMatchObject({
        code: "ERR_PIN_MISSING",
      });
    }
    const own = new Asking({ ...options, hasTerminal: true });
    const { pin, settled } = await own.pin(request, { ...asker(), terminal: "/dev/null" });
    expect(pin).toMatchObject({ place: "controlling-terminal" });
    settled?.(undefined);
    expect([none.where, own.where]).toEqual([
      "the terminal of whoever opens a message",
      "the terminal of whoever opens a message, or the agent's own",
    ]);
  });
});
