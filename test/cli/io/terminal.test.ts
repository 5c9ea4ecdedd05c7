/** At a terminal: questions without echo, Ctrl-C, binary output, the progress bar. */
import { createPrivateKey, randomBytes } from "node:crypto";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { processIo } from "../../../src/cli/io/io.js";
import { progress } from "../../../src/cli/io/progress.js";
import { TEST_KEYS } from "../../support/keys.js";
import { temporaryFolder, writeKeys } from "../support/folder.js";
import { atTerminal } from "../support/at-terminal.js";
import { run } from "../support/run.js";
import { p11seal } from "../support/spawn.js";

const folder = temporaryFolder();
const PASSPHRASE = "correct horse";
const QUESTION = "passphrase for locked.key:";

beforeAll(async () => {
  writeKeys(folder);
  const locked = createPrivateKey(TEST_KEYS.p256).export({
    type: "pkcs8",
    format: "pem",
    cipher: "aes-256-cbc",
    passphrase: PASSPHRASE,
  });
  writeFileSync(join(folder, "locked.key"), locked, { mode: 0o600 });
  writeFileSync(join(folder, "text"), "plain words, naïve\nand a second line\n");
  writeFileSync(join(folder, "binary"), randomBytes(1000));
  writeFileSync(join(folder, "escape"), "harmless \u001b]0;title\u0007 text\n");
  for (const name of ["text", "binary", "escape"]) {
    const argv = ["seal", "-r", "bob.pem", "-o", `${name}.p11s`, name];
    expect(await p11seal(argv, { cwd: folder })).toMatchObject({ status: 0 });
  }
});

describe("a secret that is asked for", () => {
  it("is read from the terminal while stdin is the message, and not shown", async () => {
    const { shown, status, modesKept } = await atTerminal(
      ["open", "-i", "locked.key", "-o", "opened"],
      [[QUESTION, `${PASSPHRASE}\r`]],
      { cwd: folder, stdin: join(folder, "text.p11s") },
    );
    expect({ status, modesKept }).toEqual({ status: 0, modesKept: true });
    expect(shown).toContain(QUESTION);
    expect(shown).not.toMatch(/correct|horse|[*]/);
    expect(shown.endsWith("\r\n")).toBe(true);
    expect(readFileSync(join(folder, "opened"))).toEqual(readFileSync(join(folder, "text")));
  });

  it("is asked for in words that play no tricks, whatever name is in them", async () => {
    const name = "lo\u001b[2Jcked.key";
    copyFileSync(join(folder, "locked.key"), join(folder, name));
    const question = "passphrase for lo\\u{1b}[2Jcked.key:";
    const { status } = await atTerminal(
      ["open", "-i", name, "-o", "opened-too", "text.p11s"],
      [[question, `${PASSPHRASE}\r`]],
      { cwd: folder },
    );
    expect(status).toBe(0);
  });

  it("is asked for once when it is wrong", async () => {
    const { shown, status } = await atTerminal(
      ["open", "-i", "locked.key", "text.p11s"],
      [[QUESTION, "wrong\r"]],
      { cwd: folder },
    );
    expect(status).toBe(5);
    expect(shown.split(QUESTION)).toHaveLength(2);
    expect(shown).not.toContain("wrong\r");
  });

  it.each([
    ["Ctrl-C", "\u0003", 130],
    ["Ctrl-D", "\u0004", 5],
  ])("may be refused with %s, and the terminal is as it was", async (_key, typed, expected) => {
    const { shown, status, modesKept } = await atTerminal(
      ["open", "-i", "locked.key", "text.p11s"],
      [[QUESTION, typed]],
      { cwd: folder },
    );
    expect({ status, modesKept }).toEqual({ status: expected, modesKept: true });
    expect(shown).not.toMatch(/^\s+at /m);
  });

  it.each([
    ["SIGTERM", -15],
    ["SIGHUP", -1],
  ])("may be cut short by %s, and the terminal is as it was", async (signal, expected) => {
    const { status, modesKept } = await atTerminal(
      ["open", "-i", "locked.key", "text.p11s"],
      [[QUESTION, signal]],
      { cwd: folder },
    );
    expect({ status, modesKept }).toEqual({ status: expected, modesKept: true });
  });

  it("is a failure where there is no terminal to ask at", async () => {
    const argv = ["open", "-i", join(folder, "locked.key"), join(folder, "text.p11s")];
    const { status, stderr } = await run(argv);
    expect(status).toBe(5);
    expect(stderr).toContain("there is no terminal to ask at");
  });
});

/** What `open` notes when it was given one file, and no name for what is in it. */
const ONE_FILE =
  "p11seal: one file is opened to stdout; -o FOLDER writes it to a file, as with several\n";

describe("output to a terminal", () => {
  const at = (...argv: string[]): Promise<{ shown: string; status: number }> =>
    atTerminal(argv, [], { cwd: folder });

  it("may be text", async () => {
    const { shown, status } = await at("open", "-i", "bob.key", "text.p11s");
    expect(status).toBe(0);
    expect(shown.replaceAll("\r\n", "\n")).toBe(
      ONE_FILE + readFileSync(join(folder, "text"), "utf8"),
    );
  });

  it.each(["binary", "escape"])("may not be %s data", async (name) => {
    const { shown, status } = await at("open", "-i", "bob.key", `${name}.p11s`);
    expect(status).toBe(2);
    expect(shown).toBe(
      ONE_FILE.replace("\n", "\r\n") +
        "p11seal: binary content would go to the terminal\r\n" +
        "hint: name a file with -o, redirect stdout, or insist with -o -\r\n",
    );
  });

  it("may be anything when insisted on with -o -", async () => {
    const { shown, status } = await at("open", "-i", "bob.key", "-o", "-", "escape.p11s");
    expect(status).toBe(0);
    expect(shown).toContain("\u001b]0;title\u0007");
  });

  it("may not be a sealed message, and nothing is read before that is said", async () => {
    const { shown, status } = await at("seal", "-r", "bob.pem");
    expect(status).toBe(2);
    expect(shown).toContain("a sealed message would go to the terminal");
  });

  it("may be a sealed message when insisted on with -o -", async () => {
    const { shown, status } = await at("seal", "-r", "bob.pem", "-o", "-", "text");
    expect(status).toBe(0);
    expect(shown).toContain("P11");
  });

  it("is checked across the borders of segments, for text that is cut within a character", async () => {
    const long = "é".repeat(262_144);
    writeFileSync(join(folder, "long"), long);
    await p11seal(["seal", "-r", "bob.pem", "-o", "long.p11s", "long"], { cwd: folder });
    const opened = await run(["open", "-i", join(folder, "bob.key"), join(folder, "long.p11s")], {
      tty: ["stdout"],
    });
    expect(opened.status).toBe(0);
    expect(opened.stdout.toString("utf8") === long).toBe(true);
  });
});

describe("the progress bar", () => {
  /** Ten chunks of a kilobyte, the first three of them slow: one before a bar is due, one after. */
  async function* chunks(delayMs: number): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < 10; i++) {
      if (i < 3) await new Promise((resolve) => setTimeout(resolve, delayMs));
      yield new Uint8Array(1024);
    }
  }

  async function shownDuring(
    delayMs: number,
    given: { size?: number | undefined; quiet?: boolean; tty?: boolean } = {},
  ): Promise<string> {
    const stderr = Object.assign(new PassThrough(), { isTTY: given.tty ?? true, columns: 80 });
    const io = { ...processIo(), stderr };
    const size = "size" in given ? given.size : 10_240;
    const meter = progress(io, { size, quiet: given.quiet ?? false });
    let passed = 0;
    meter.start();
    for await (const chunk of meter.through(chunks(delayMs))) passed += chunk.length;
    meter.stop();
    expect(passed).toBe(10_240);
    return String(stderr.read() ?? "");
  }

  it("is shown for long work and taken away again", async () => {
    const shown = await shownDuring(500);
    expect(shown).toContain("% of 10.0 KiB");
    // Line wrapping is on again, and the line is empty.
    expect(shown).toContain("\u001b[?7h");
    expect(shown.endsWith("\u001b[2K")).toBe(true);
  });

  it.each([
    ["work that is done soon", 1, {}],
    ["--quiet", 500, { quiet: true }],
    ["a stderr that is no terminal", 500, { tty: false }],
    ["an input of unknown size", 500, { size: undefined }],
  ])("is not shown with %s", async (_what, delayMs, given) => {
    expect(await shownDuring(delayMs, given)).toBe("");
  });
});
