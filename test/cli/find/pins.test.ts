/** Where a PIN comes from, and that no other source is tried once one was chosen. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { describe, expect, it } from "@jest/globals";
import type { Io } from "../../../src/cli/io/io.js";
import { pinReferrer, type PinSources } from "../../../src/cli/find/pins.js";
import { Report } from "../../../src/cli/io/report.js";
import { pinFromSource } from "../../../src/token/session/pin.js";
import type { PinRequest } from "../../../src/token/values.js";
import { parseUri } from "../../../src/token/uri.js";
import { temporaryFolder } from "../support/folder.js";

const folder = temporaryFolder();
const pinFile = join(folder, "pin");
writeFileSync(pinFile, "from-uri\n", { mode: 0o600 });

const REQUEST: PinRequest = {
  token: { label: "alice", serial: "12", model: "m", manufacturer: "f", pin: "ok" },
  kind: "user",
  fresh: false,
};

interface Setting {
  readonly sources?: Partial<PinSources>;
  readonly env?: Record<string, string>;
  /** A terminal and what is typed at it. */
  readonly typed?: readonly string[];
}

function setUp({ sources = {}, env = {}, typed }: Setting): {
  pin: (request?: Partial<PinRequest>) => Promise<string>;
  asked: string[];
  told: () => string;
} {
  const asked: string[] = [];
  const answers = [...(typed ?? [])];
  const stderr = new PassThrough();
  const io: Io = {
    stdin: new PassThrough(),
    stdout: new PassThrough(),
    stderr,
    env,
    terminal: () =>
      Promise.resolve(
        typed && {
          ask: (prompt, { silent }) => {
            asked.push(silent ? prompt : "not silent!");
            return Promise.resolve(answers.shift() ?? "");
          },
          close: () => undefined,
        },
      ),
  };
  const report = new Report(io, { quiet: false, verbose: false, json: false });
  const refer = pinReferrer({ user: undefined, uris: [], ...sources }, { io, report });
  return {
    // As the token's process does.
    pin: async (request = {}) => {
      const asked = { ...REQUEST, ...request };
      const answer = await refer(asked);
      if (typeof answer === "string") return answer;
      return "source" in answer ? pinFromSource(answer.source)(asked) : "";
    },
    asked,
    told: () => String(stderr.read() ?? ""),
  };
}

function codeOf(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
  return undefined;
}

const everything: Required<Setting> = {
  sources: {
    user: "env:GIVEN",
    uris: [parseUri(`pkcs11:token=alice?pin-source=file:${pinFile}`)],
  },
  env: { GIVEN: "from-option", P11SEAL_PIN_SOURCE: "env:AMBIENT", AMBIENT: "from-environment" },
  typed: ["from-terminal"],
};

describe("a PIN comes", () => {
  it("from --pin-source before all others", async () => {
    await expect(setUp(everything).pin()).resolves.toBe("from-option");
  });

  it("from the URI's pin-source next", async () => {
    const { sources, ...rest } = everything;
    const { pin } = setUp({ ...rest, sources: { ...sources, user: undefined } });
    await expect(pin()).resolves.toBe("from-uri");
  });

  it("not from the pin-source of another token's URI", async () => {
    const uris = [parseUri(`pkcs11:token=bob?pin-source=file:${pinFile}`)];
    const { pin } = setUp({ sources: { uris }, typed: ["from-terminal"] });
    await expect(pin()).resolves.toBe("from-terminal");
  });

  it("from the source that P11SEAL_PIN_SOURCE names next", async () => {
    const { env, typed } = everything;
    await expect(setUp({ env, typed }).pin()).resolves.toBe("from-environment");
  });

  it("from the terminal last, asked without echo", async () => {
    const { pin, asked } = setUp({ typed: ["from-terminal"] });
    await expect(pin()).resolves.toBe("from-terminal");
    expect(asked).toEqual(['PIN for token "alice" (serial 12):']);
  });

  it("from its own source for the security officer", async () => {
    const env = { SO: "officer", USER: "user", P11SEAL_SO_PIN_SOURCE: "env:AMBIENT" };
    const { pin } = setUp({ sources: { user: "env:USER", so: "env:SO" }, env });
    await expect(pin({ kind: "so" })).resolves.toBe("officer");
    const ambient = setUp({ env: { P11SEAL_SO_PIN_SOURCE: "env:AMBIENT", AMBIENT: "officer-2" } });
    await expect(ambient.pin({ kind: "so" })).resolves.toBe("officer-2");
  });
});

describe("a PIN source that fails", () => {
  it("is not replaced by the next: nobody knows which PIN that would send where", async () => {
    const { pin, asked } = setUp({ ...everything, env: {} });
    await expect(pin()).rejects.toMatchObject({ code: "ERR_PIN_SOURCE_FAILED" });
    expect(asked).toEqual([]);
  });

  it("is a fault of usage, before any token is touched, when it can't be one", () => {
    expect(codeOf(() => setUp({ sources: { user: "1234" } }))).toBe("ERR_PIN_SOURCE");
    expect(codeOf(() => setUp({ env: { P11SEAL_PIN_SOURCE: "1234" } }))).toBe("ERR_PIN_SOURCE");
  });
});

describe("at the terminal", () => {
  it("an empty PIN is not a PIN", async () => {
    await expect(setUp({ typed: [""] }).pin()).rejects.toMatchObject({ code: "ERR_PIN_EMPTY" });
  });

  it("a new PIN is asked for twice", async () => {
    const { pin, asked } = setUp({ typed: ["one", "one"] });
    await expect(pin({ fresh: true })).resolves.toBe("one");
    expect(asked).toEqual(['new PIN for token "alice" (serial 12):', "new PIN again:"]);
  });

  it("a new PIN that is typed differently is refused", async () => {
    const { pin } = setUp({ typed: ["one", "two"] });
    await expect(pin({ fresh: true })).rejects.toMatchObject({ code: "ERR_PIN_MISMATCH" });
  });

  it("it is said when a wrong PIN was tried before, and when this is the last try", async () => {
    const low = setUp({ typed: ["p"] });
    await low.pin({ token: { ...REQUEST.token, pin: "low" } });
    expect(low.told()).toContain("a wrong PIN was tried");
    const final = setUp({ typed: ["p"] });
    await final.pin({ token: { ...REQUEST.token, pin: "final-try" } });
    expect(final.told()).toContain("last try");
  });

  it("that is not there, the PIN is missing, and it is said how to give it", async () => {
    await expect(setUp({}).pin()).rejects.toMatchObject({
      code: "ERR_PIN_MISSING",
      hint: expect.stringContaining("--pin-source") as unknown,
    });
  });
});
