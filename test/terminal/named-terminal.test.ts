/** A terminal that another process works at: asked at by its name, and left as it was. */
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "@jest/globals";
import { isTerminalNamed, terminalNamed } from "../../src/terminal/named-terminal.js";
import { commandAtTerminal, type Played, type Steps } from "../cli/support/at-terminal.js";
import { temporaryFolder } from "../token/modules/temporary.js";
import { itAsRoot } from "../support/missing.js";

const folder = temporaryFolder("named-terminal");
const dist = fileURLToPath(new URL("../../dist", import.meta.url));
const program = fileURLToPath(new URL("./ask-elsewhere.mjs", import.meta.url));
const QUESTION = 'PIN for token "alice":';

async function asked(how: string, steps: Steps): Promise<{ played: Played; result: unknown }> {
  const path = join(folder, `${how}.json`);
  // The shell is at the terminal; the program that asks is in a session of its own.
  const argv = `"${program}" "${dist}" "$(tty)" "${path}" ${how}`;
  const line = `setsid -w "${process.execPath}" ${argv} 2>/dev/null`;
  const played = await commandAtTerminal(["sh", "-c", `${line}; echo the end`], steps, {
    cwd: folder,
  });
  return { played, result: JSON.parse(readFileSync(path, "utf8")) as unknown };
}

describe("a terminal that is named", () => {
  it("takes a PIN without showing it, and stays the other process's", async () => {
    const { played, result } = await asked("pin", [[QUESTION, "1234\r"]]);
    expect(result).toEqual({ answer: "1234", had: false, has: false, held: 0 });
    expect(played).toMatchObject({ status: 0, modesKept: true });
    expect(played.shown).not.toContain("1234");
    expect(played.shown).toContain("open\\u{1b}[2J wants it\r\nprocess 12\r\n");
  });

  it.each([
    ["yes\r", true],
    ["y\r", false],
    ["\u0003", false],
    ["\u0004", false],
  ])("takes %j for consent or refusal", async (typed, answer) => {
    const { played, result } = await asked("consent", [["Type yes:", typed]]);
    expect(result).toMatchObject({ answer });
    expect(played.modesKept).toBe(true);
  });

  it("takes Ctrl-C for a refusal, which stops nobody", async () => {
    const { played, result } = await asked("pin", [[QUESTION, "\u0003"]]);
    expect(result).toMatchObject({ constructor: "Cancelled" });
    expect(played).toMatchObject({ status: 0, modesKept: true });
  });

  it("has its echo again once the question is withdrawn", async () => {
    const { played, result } = await asked("withdraw", [["the end", ""]]);
    expect(result).toMatchObject({ code: "ERR_PIN_MISSING" });
    expect(played.modesKept).toBe(true);
  });

  it("has its echo again after a signal", async () => {
    const { played, result } = await asked("signal", [["the end", ""]]);
    expect(result).toBe("stopped");
    expect(played.modesKept).toBe(true);
  });
});

describe("not opened as a terminal", () => {
  writeFileSync(join(folder, "file"), "");
  symlinkSync("/dev/pts/0", join(folder, "link"));
  it.each([
    join(folder, "file"),
    join(folder, "link"),
    "/dev/null",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/pts/ptmx",
    "/dev/pts/../null",
    "/dev/pts/999999999",
    "/dev/pts/",
    "pts/0",
    "",
  ])("%j", (name) => {
    expect(isTerminalNamed(name)).toBe(false);
    expect(() => terminalNamed(name)).toThrow(expect.objectContaining({ code: "ERR_PIN_MISSING" }));
  });

  itAsRoot("another user's", async () => {
    const path = join(folder, "others.json");
    const check = `const { isTerminalNamed } = await import("${dist}/terminal/named-terminal.js");
      const { chownSync, writeFileSync } = await import("node:fs");
      const own = isTerminalNamed(process.argv[1]);
      chownSync(process.argv[1], 65534, 65534);
      writeFileSync("${path}", JSON.stringify([own, isTerminalNamed(process.argv[1])]));`;
    const line = `"${process.execPath}" --input-type=module -e '${check}' "$(tty)"`;
    await commandAtTerminal(["sh", "-c", line], [], { cwd: folder });
    expect(JSON.parse(readFileSync(path, "utf8"))).toEqual([true, false]);
  });
});
