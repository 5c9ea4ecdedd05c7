import { Writable } from "node:stream";
import { describe, expect, it } from "@jest/globals";
import {
  Cancelled,
  AuthenticationError,
  FileError,
  FormatError,
  NoMatchError,
  PolicyError,
  TokenError,
  UnsupportedError,
  UsageError,
} from "../../../src/errors.js";
import { BrokenPipe } from "../../../src/cli/io/io.js";
import { exitStatus, Report } from "../../../src/cli/io/report.js";

function reporting(
  tell: (report: Report) => void,
  options: { quiet?: boolean; verbose?: boolean; json?: boolean; debug?: boolean } = {},
): string {
  let told = "";
  const stderr = new Writable({
    write(chunk: Buffer, _encoding, done) {
      told += chunk.toString();
      done();
    },
  });
  const env = options.debug === true ? { P11SEAL_DEBUG: "1" } : {};
  const { quiet = false, verbose = false, json = false } = options;
  tell(new Report({ stderr, env }, { quiet, verbose, json }));
  return told;
}

describe("exit statuses", () => {
  it.each([
    [new UsageError("ERR_USAGE", "m"), 2],
    [new FormatError("ERR_X", "m"), 1],
    [new UnsupportedError("ERR_X", "m"), 1],
    [new FileError("ERR_X", "m"), 1],
    [new NoMatchError("ERR_X", "m"), 3],
    [new AuthenticationError("ERR_X", "m"), 4],
    [new TokenError("ERR_X", "m"), 5],
    [new PolicyError("ERR_X", "m"), 6],
    [new TypeError("the program is wrong"), 1],
    ["not even an error", 1],
    [new Cancelled(), 130],
    [new BrokenPipe(), 1],
  ])("follow the class of the error: %p is %p", (error, status) => {
    expect(exitStatus(error)).toBe(status);
  });
});

describe("the report of an error", () => {
  const refused = new TokenError("ERR_PIN_INCORRECT", "wrong PIN", {
    hint: "it was not tried again",
    fn: "C_Login",
    ckr: "CKR_PIN_INCORRECT",
  });

  it("is a line for the fact and a line for the advice, and no stack", () => {
    expect(reporting((report) => report.failure(refused))).toBe(
      "p11seal: wrong PIN\nhint: it was not tried again\n",
    );
  });

  it("names the file it is about, where there are several", () => {
    expect(reporting((report) => report.failure(refused, "a.p11s"))).toContain("p11seal: a.p11s: ");
  });

  it("is one object with --json", () => {
    const told = reporting((report) => report.failure(refused), { json: true });
    expect(JSON.parse(told)).toEqual({
      error: {
        code: "ERR_PIN_INCORRECT",
        message: "wrong PIN",
        hint: "it was not tried again",
        fn: "C_Login",
        ckr: "CKR_PIN_INCORRECT",
        exit: 5,
      },
    });
  });

  it("says of an error nobody foresaw that it is one, without a stack", () => {
    const told = reporting((report) => report.failure(new TypeError("x is not a function")));
    expect(told).toBe("p11seal: unexpected: x is not a function\n");
  });

  it("has a stack with P11SEAL_DEBUG=1, causes included", () => {
    const error = new FileError("ERR_WRITE", "m", { cause: new TypeError("the reason") });
    const told = reporting((report) => report.failure(error), { debug: true });
    expect(told).toContain("report.test");
    expect(told).toContain("the reason");
  });

  it("never shows a PIN that was given in this run, not even in a stack", () => {
    const told = reporting(
      (report) => {
        report.conceal("hunter22");
        report.failure(new TypeError("bad argument: hunter22"));
      },
      { debug: true },
    );
    expect(told).toContain("bad argument: [secret]");
    expect(told).not.toContain("hunter22");
  });

  it("is silence when the reader of stdout went away", () => {
    expect(reporting((report) => report.failure(new BrokenPipe()))).toBe("");
  });
});

describe("notes and traces", () => {
  it("are kept apart from results, and kept quiet with --quiet", () => {
    const tell = (report: Report): void => {
      report.note("a note");
    };
    expect(reporting(tell)).toBe("p11seal: a note\n");
    expect(reporting(tell, { quiet: true })).toBe("");
  });

  it("tell of token calls only with --verbose", () => {
    const tell = (report: Report): void => {
      report.trace("C_UnwrapKey");
    };
    expect(reporting(tell)).toBe("");
    expect(reporting(tell, { verbose: true })).toBe("p11seal: C_UnwrapKey\n");
  });
});

describe("foreign text", () => {
  it("is made safe in errors too", () => {
    const error = new FileError("ERR_READ", 'cannot read "\u001b]0;x\u0007"');
    expect(reporting((report) => report.failure(error))).not.toMatch(/[^\P{Cc}\n]/u);
  });

  it("is made safe in an error's JSON, and stays the same value", () => {
    const error = new FileError("ERR_READ", 'cannot read "\u009b2J\u202e"');
    const told = reporting((report) => report.failure(error), { json: true });
    expect(told).toMatch(/^[\n -~]*$/);
    expect(JSON.parse(told)).toMatchObject({ error: { message: error.message } });
  });
});
