/** An agent's questions: in turn, with pauses after refusals, and about what is known. */
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it } from "@jest/globals";
import { Cancelled, TokenError } from "../../src/errors.js";
import { Asking } from "../../src/agent/asking.js";
import type { KnownMessage } from "../../src/agent/use.js";
import type { ReaderNotice } from "../../src/agent/protocol.js";
import type { Client } from "../../src/agent/server.js";
import type { SenderInfo } from "../../src/envelope/message-info.js";
import type { KeyInfo, PadRequest, PinRequest } from "../../src/token/values.js";
import { fakePinentry, type FakePinentry, type Replies } from "../support/pinentry.js";
import { temporaryFolder } from "../token/modules/temporary.js";

const folder = temporaryFolder("asking");
const ID = "00112233445566778899aabbccddeeff";
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

/** What was told to whoever watches the agent. */
const watched: string[] = [];
const fixed = {
  env,
  signedBy: ({ keyId }: SenderInfo): Promise<string> => Promise.resolve(`signed by ${keyId}`),
  atReader: ({ token }: PadRequest, about: string): void => {
    watched.push(`${token.label}: ${about}`);
  },
};

let made = 0;

function setUp(replies: Replies, answerMs?: number): Setting {
  made += 1;
  const pinentry = fakePinentry(folder, `pinentry-${made}`, replies);
  const clock = { nowMs: 0 };
  const nowMs = (): number => clock.nowMs;
  const { program } = pinentry;
  return {
    ...{ pinentry, clock },
    asking: new Asking({ pinentry: program, hasTerminal: false, nowMs, answerMs, ...fixed }),
  };
}

interface Asker {
  readonly client: Client;
  readonly act: "open";
  readonly message: KnownMessage;
  readonly gone: AbortController;
  readonly waits: boolean[];
  /** What the client was told to tell its person. */
  readonly readers: ReaderNotice[];
}

function asker(): Asker {
  const gone = new AbortController();
  const waits: boolean[] = [];
  const readers: ReaderNotice[] = [];
  const client: Client = {
    peer: { pid: process.pid, uid: 0 },
    gone: gone.signal,
    awaitsPerson: (waiting, reader) => {
      waits.push(waiting);
      if (reader !== undefined) readers.push(reader);
    },
  };
  const message = { messageId: ID, sender: undefined };
  return { client, gone, waits, readers, act: "open", message };
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
    expect(said).toContain("%0Anobody signed it%0A");
    await setting.asking.consent(key("exchange"), { ...one, remote: "far\u001b[2Jaway" });
    expect(setting.pinentry.told().join("\n")).toContain('host "far\\u{1b}[2Jaway", by way of');
  });

  it("is about a key, whatever names the token and the client have: none pushes it out", async () => {
    const long = "\u200b".repeat(256);
    const { asking, pinentry } = setUp({ CONFIRM: YES });
    const token = { ...request.token, label: long };
    const named = { ...key("%".repeat(300)), token } as unknown as KeyInfo;
    await asking.consent(named, { ...asker(), remote: long });
    const said = pinentry.told().find((line) => line.startsWith("SETDESC")) ?? "";
    expect(said).toMatch(/wants to open message 0011223344556677%0Anobody signed it%0A%0AUse key /);
    expect(said.endsWith('…"?')).toBe(true);
  });

  it("to a signature says that it is one, and whom the message is for", async () => {
    const { asking, pinentry } = setUp({ CONFIRM: YES });
    const one = asker();
    const addressees = 'for 2 recipients: "zoe", 1 without a name here';
    const message = { ...one.message, addressees };
    await asking.consent(key("mine"), { ...one, act: "sign", message });
    const said = pinentry.told().find((line) => line.startsWith("SETDESC")) ?? "";
    expect(said).toContain(
      `wants to sign message 0011223344556677%0A${addressees}%0A%0ASign with key "mine" of token`,
    );
  });

  it("to a custodian's record says who signed the message, who comes and who goes", async () => {
    const { asking, pinentry } = setUp({ CONFIRM: YES });
    const one = asker();
    const sender = { keyId: "bob" } as unknown as SenderInfo;
    const message = { ...one.message, sender, addressees: 'adds "zoe"; removes "al"' };
    await asking.consent(key("office"), { ...one, act: "pass on", message });
    const said = pinentry.told().find((line) => line.startsWith("SETDESC")) ?? "";
    expect(said).toContain(
      'wants to pass on message 0011223344556677%0Asigned by bob%0Aadds "zoe"; removes "al"%0A%0ASign with',
    );
  });

  it("is about a key and a signature, however many names there are", async () => {
    const long = "%".repeat(300);
    const { asking, pinentry } = setUp({ CONFIRM: YES });
    const named = { ...key(long), token: { ...request.token, label: long } } as unknown as KeyInfo;
    const sender = { keyId: long } as unknown as SenderInfo;
    const message = { messageId: ID, sender, addressees: long };
    await asking.consent(named, { ...asker(), act: "pass on", message });
    const said = pinentry.told().find((line) => line.startsWith("SETDESC")) ?? "";
    expect(said).toContain("%0A%0ASign with key ");
    expect(said.endsWith('…"?')).toBe(true);
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

  it("of other hosts has a few places of its own, and takes none from programs here", async () => {
    const { asking } = setUp({ CONFIRM: YES });
    // Whatever comes next waits.
    const first = await asking.pin(request, asker());
    let asked = 0;
    const ask = (remote?: string): Promise<string> =>
      asking.consent(key(`${(asked += 1)}`), { ...asker(), ...(remote && { remote }) }).then(
        () => "used",
        (error: unknown) => (error as Error).message,
      );
    const hosts = Array.from({ length: 40 }, (_, n) => ask(n % 2 === 0 ? "build" : "mail"));
    const here = Array.from({ length: 17 }, () => ask());
    first.settled?.(undefined);
    const used = (count: number): string[] => Array<string>(count).fill("used");
    expect(await Promise.all(hosts)).toEqual([
      ...used(4),
      ...Array<string>(36).fill("too many questions of other hosts are waiting"),
    ]);
    expect(await Promise.all(here)).toEqual([...used(16), "too many questions are waiting"]);
    // Their places are free again.
    expect(await Promise.all([ask("build"), ask()])).toEqual(used(2));
  });

  it("of somebody who has gone waits no longer, and its place is free at once", async () => {
    const { asking } = setUp({ CONFIRM: YES });
    const first = await asking.pin(request, asker());
    const gone = Array.from({ length: 4 }, asker);
    const lost = gone.map((one) => asking.consent(key("host"), { ...one, remote: "build" }));
    await pause(0);
    for (const { gone: signal } of gone) signal.abort();
    const outcomes = await Promise.allSettled(lost);
    expect(outcomes.map((one) => (one as PromiseRejectedResult).reason as unknown)).toEqual(
      Array(4).fill(expect.objectContaining(CANCELLED)),
    );
    const next = asking.consent(key("host"), { ...asker(), remote: "build" });
    first.settled?.(undefined);
    await expect(next).resolves.toBeUndefined();
  });

  it("of other hosts has its places also while all those of programs here are taken", async () => {
    const { asking } = setUp({ CONFIRM: YES });
    const first = await asking.pin(request, asker());
    const here = Array.from({ length: 16 }, (_, n) => asking.consent(key(`${n}`), asker()));
    const host = asking.consent(key("host"), { ...asker(), remote: "build" });
    first.settled?.(undefined);
    await expect(Promise.all([...here, host])).resolves.toHaveLength(17);
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

describe("the sender", () => {
  const sender = { keyId: "abc\u001b]0;\nnobody signed it" } as SenderInfo;

  it("of a signed message is named in each question, whatever the name says in one line", async () => {
    const setting = setUp({ CONFIRM: YES });
    const one = { ...asker(), message: { messageId: ID, sender } };
    await setting.asking.consent(key("exchange"), one);
    const said = setting.pinentry.told().find((line) => line.startsWith("SETDESC")) ?? "";
    expect(said).toMatch(/%0Asigned by abc\\u\{1b\}\]0;\\nnobody signed it%0A/);
    const { pin, settled } = await setting.asking.pin(request, one);
    settled?.(undefined);
    expect((pin as { about: string }).about.split("\n")).toEqual([
      expect.stringContaining("wants to open message"),
      "signed by abc\\u{1b}]0;\\nnobody signed it",
      "a wrong PIN was tried on this token before",
    ]);
  });

  it("can't be made up by a name on a token", async () => {
    const setting = setUp({ CONFIRM: YES });
    await setting.asking.consent(key("x\nsigned by alice"), asker());
    const said = setting.pinentry.told().find((line) => line.startsWith("SETDESC")) ?? "";
    expect(said).toContain('Use key "x\\nsigned by alice"');
    const token = { ...request.token, label: "x\nsigned by alice" };
    const { pin, settled } = await setting.asking.pin({ ...request, token }, asker());
    settled?.(undefined);
    expect(pin).toMatchObject({ questions: [expect.stringMatching(/^PIN for .*x\\nsigned/)] });
  });
});

describe("a reader with a PIN pad", () => {
  const onPad: PadRequest = { token: request.token, kind: "user", what: "login" };

  it("is told of at the client and at the agent, and keeps other questions waiting", async () => {
    const setting = setUp({ CONFIRM: YES });
    const one = asker();
    watched.length = 0;
    const settled = await setting.asking.pad(onPad, one);
    expect(one.readers).toEqual([{ label: "alice", serial: "42", pin: "low", what: "login" }]);
    expect(watched).toEqual([
      expect.stringMatching(/^alice: .* wants to open message .*; nobody signed it$/),
    ]);
    const consent = setting.asking.consent(key("k"), asker());
    await pause(100);
    expect(confirms(setting)).toBe(0);
    settled(undefined);
    await consent;
    expect(one.waits).toEqual([true, false]);
  });

  it.each(["ERR_PIN_CANCELED", "ERR_PIN_PAD_TIMEOUT"])(
    "is not asked again at once after %s, but after another failure it is",
    async (code) => {
      const { asking, clock } = setUp({});
      (await asking.pad(onPad, asker()))(new TokenError("ERR_PIN_REFUSED", "a wrong PIN"));
      (await asking.pad(onPad, asker()))(new TokenError(code, "no PIN"));
      await expect(asking.pad(onPad, asker())).rejects.toMatchObject(CANCELLED);
      // Nor is the person asked elsewhere for the same token's PIN.
      await expect(asking.pin(request, asker())).rejects.toMatchObject(CANCELLED);
      clock.nowMs = 5_000;
      (await asking.pad(onPad, asker()))(undefined);
    },
  );
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

  it("that was cancelled, or not typed in time, is not asked for again at once", async () => {
    const { asking, clock } = setUp({});
    const ends = async (error: unknown): Promise<void> => {
      (await asking.pin(request, asker())).settled?.(error);
    };
    // A wrong PIN is an answer.
    await ends(new TokenError("ERR_PIN_REFUSED", "a wrong PIN"));
    await ends(new Cancelled());
    await expect(asking.pin(request, asker())).rejects.toMatchObject(CANCELLED);
    clock.nowMs = 4_999;
    await expect(asking.pin(request, asker())).rejects.toMatchObject(CANCELLED);
    clock.nowMs = 5_000;
    await ends(new TokenError("ERR_PIN_MISSING", "nobody answered in time"));
    clock.nowMs = 14_999;
    await expect(asking.pin(request, asker())).rejects.toMatchObject(CANCELLED);
    // Another token's PIN is another question.
    const other = { ...request, token: { ...request.token, serial: "43" } };
    (await asking.pin(other, asker())).settled?.(undefined);
    clock.nowMs = 15_000;
    await ends(undefined);
    await ends(undefined);
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
    const options = { pinentry: undefined, nowMs: () => 0, ...fixed };
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
