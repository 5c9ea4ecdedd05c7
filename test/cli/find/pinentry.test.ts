/** `--pin-source pinentry`: a program of ours, and the real one at a pseudo-terminal. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { fakePinentry } from "../../support/pinentry.js";
import { softHsmEnvironment, type TestToken, USER_PIN } from "../../support/softhsm.js";
import { atTerminal } from "../support/at-terminal.js";
import { temporaryFolder } from "../support/folder.js";
import { tokenWithNote } from "../support/sealed-note.js";
import { type Ended, p11seal } from "../support/spawn.js";
import { itIf } from "../../support/missing.js";

const folder = temporaryFolder();
let token: TestToken;

beforeAll(async () => {
  token = await tokenWithNote("pinentry", folder);
});

const tokens = softHsmEnvironment(join(folder, "home"));
const open = (source: string, env: Record<string, string> = {}): Promise<Ended> =>
  p11seal(["open", "-i", token.uri, "--pin-source", source, "m.p11s"], {
    cwd: folder,
    env: { ...tokens, ...env },
  });

describe("a pinentry", () => {
  it("asks for the PIN of the token that it names, and sees no other PIN", async () => {
    const { program, told, environment } = fakePinentry(folder, "good", {
      GETPIN: `D ${USER_PIN}\nOK\n`,
    });
    const env = { P11SEAL_SO_PIN_SOURCE: "env:OTHER", OTHER: "other-pin" };
    const opened = await open(`pinentry:${program}`, env);
    expect(opened).toMatchObject({ status: 0, stdout: Buffer.from("meet at noon\n"), stderr: "" });
    expect(told().find((line) => line.startsWith("SETDESC"))).toMatch(
      /^SETDESC PIN for token "pinentry-[0-9a-f]+" \(serial [0-9a-f]+\):$/,
    );
    expect(environment()).not.toHaveProperty("OTHER");
  });

  it("that is cancelled ends the command as Ctrl-C does", async () => {
    const { program, told } = fakePinentry(folder, "cancelled", {
      GETPIN: "ERR 83886179 Operation cancelled <Pinentry>\n",
    });
    expect(await open(`pinentry:${program}`)).toMatchObject({ status: 130, stdout: Buffer.of() });
    expect(told().filter((line) => line === "GETPIN")).toHaveLength(1);
  });

  it.each([
    ["fails", "ERR 83918950 Inappropriate ioctl for device\n", "ERR_PIN_SOURCE_FAILED"],
    ["gives a PIN of two lines", "D 12%0A34\nOK\n", "ERR_PIN_FORMAT"],
    ["gives an empty PIN", "OK\n", "ERR_PIN_EMPTY"],
    ["gives a wrong PIN", "D 0000\nOK\n", "ERR_PIN_REFUSED"],
  ])("that %s is not followed by another source", async (what, reply, code) => {
    const { program } = fakePinentry(folder, what.replaceAll(" ", "-"), { GETPIN: reply });
    const argv = [
      "open",
      "--json",
      "-i",
      token.uri,
      "--pin-source",
      `pinentry:${program}`,
      "m.p11s",
    ];
    const env = { ...tokens, P11SEAL_PIN_SOURCE: "env:PIN", PIN: USER_PIN };
    const { status, stderr } = await p11seal(argv, { cwd: folder, env });
    expect(status).toBe(5);
    expect(stderr).toContain(code);
  });

  it.each(["pinentry:bin/pinentry", "pinentry:", "Pinentry", "pinentry:../x"])(
    "is not run from the working folder: %s",
    async (source) => {
      const { status, stderr } = await open(source);
      expect([status, stderr]).toEqual([2, expect.stringContaining("PIN source")]);
    },
  );

  it("is not run because a URI says so", async () => {
    const { program, pids } = fakePinentry(folder, "in-uri", {});
    const source = encodeURIComponent(`pinentry:${program}`);
    const argv = ["open", "-i", `${token.uri}?pin-source=${source}`, "m.p11s"];
    expect(await p11seal(argv, { cwd: folder, env: tokens })).toMatchObject({ status: 2 });
    expect(pids()).toEqual([]);
  });
});

/** Real programs, which draw at the terminal. */
describe.each(["pinentry-curses", "pinentry-tty"])("%s", (name) => {
  const isHere = spawnSync(name, ["--version"]).status === 0;
  const test = itIf(isHere, `${name} is not installed`);
  // The test process may have a display; these programs have none.
  const options = {
    cwd: folder,
    env: { ...tokens, TERM: "xterm", P11SEAL_PIN_SOURCE: `pinentry:${name}` },
  };
  const argv = ["open", "-i", "", "m.p11s"];
  beforeAll(() => {
    argv[2] = token.uri;
  });

  test("takes the PIN at the terminal, without showing it", async () => {
    const played = await atTerminal(argv, [["PIN", `${USER_PIN}\r`]], options);
    expect(played).toMatchObject({ status: 0, modesKept: true });
    expect(played.shown).toContain("meet at noon");
    expect(played.shown).not.toContain(USER_PIN);
  });

  test("leaves the terminal as it was after Ctrl-C", async () => {
    const played = await atTerminal(argv, [["PIN", "\u0003"]], options);
    // The terminal is not in raw mode here: Ctrl-C is a signal, to us as well.
    expect(played).toMatchObject({ status: -2, modesKept: true });
  });

  for (const signal of ["SIGTERM", "SIGHUP"]) {
    test(`leaves the terminal as it was after ${signal}`, async () => {
      const played = await atTerminal(argv, [["PIN", signal]], options);
      expect(played).toMatchObject({ modesKept: true });
      expect(played.status).not.toBe(0);
    });
  }
});
