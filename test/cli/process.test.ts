/** What only a separate process can show: exit statuses, signals, pipes, full disks. */
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { temporaryFolder, writeKeys } from "./support/folder.js";
import { run, type Outcome } from "./support/run.js";
import { MESSAGE_COMMANDS } from "../../src/cli/commands/message-commands.js";
import { p11seal, PROGRAM, sizeOf, start, startProgram, until } from "./support/spawn.js";
import { itIf } from "../support/missing.js";

const root = temporaryFolder();
const home = join(root, "home");
const OLD = Buffer.from("old content");
/** A little more than three segments. */
const content = randomBytes(3 * 262_144);
let sealed: Buffer;
let folder: string;

beforeAll(async () => {
  writeKeys(root);
  writeFileSync(join(root, "content"), content);
  const { status } = await p11seal(["seal", "-r", "bob.pem", "-o", "m.p11s", "content"], {
    cwd: root,
  });
  expect(status).toBe(0);
  sealed = readFileSync(join(root, "m.p11s"));
});

beforeEach(() => {
  folder = join(root, "case");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
});

describe("the exit status is", () => {
  const cases: [number, string, readonly string[]][] = [
    [0, "done", ["open", "-i", "bob.key", "m.p11s"]],
    [1, "another failure", ["open", "-i", "bob.key", "content"]],
    [2, "a fault of usage", ["open", "--nonsense"]],
    [3, "that no identity matches", ["open", "-i", "alice.key", "m.p11s"]],
    [4, "that the message is not authentic", ["open", "-i", "bob.key", "cut.p11s"]],
    [5, "a token or PIN", ["open", "-i", "pkcs11:token=nobody;object=nothing", "m.p11s"]],
    [6, "a refusal by policy", ["seal", "-r", "weak.pem", "content"]],
  ];

  it.each(cases)("%d for %s", async (expected, _what, argv) => {
    writeFileSync(join(root, "cut.p11s"), sealed.subarray(0, -1));
    const { status, stderr } = await p11seal(argv, { cwd: root, env: { P11SEAL_HOME: home } });
    expect({ status, stderr }).toMatchObject({ status: expected });
    expect(stderr).not.toMatch(/^\s+at /m);
    if (expected !== 0) expect(stderr).toMatch(/^p11seal: [^A-Z]/);
  });

  it("a stack with names, for who asks for it", async () => {
    const argv = ["open", "-i", "bob.key", "missing.p11s"];
    const { status, stderr } = await p11seal(argv, { cwd: root, env: { P11SEAL_DEBUG: "1" } });
    expect(status).toBe(1);
    expect(stderr).toMatch(/^FileError: cannot read "missing\.p11s"/m);
    expect(stderr).toMatch(/^ +at async openInput \(/m);
  });

  it("the same when the program is run through a link, as npm installs it", () => {
    symlinkSync(PROGRAM, join(folder, "p11seal"));
    const { status, stdout } = spawnSync(process.execPath, [join(folder, "p11seal"), "--version"]);
    expect({ status, stdout: stdout.toString() }).toEqual({ status: 0, stdout: "0.1.0\n" });
  });
});

describe("what is loaded", () => {
  /**
   * At exit, prints the native libraries, the files and the built-in modules that the process
   * loaded.
   */
  const spy = `process.on("exit", () => console.error(JSON.stringify({
    libraries: process.report.getReport().sharedObjects,
    files: Object.keys(require("node:module")._cache),
    builtin: process.moduleLoadList.map((name) => name.replace("NativeModule ", "")) })))`;

  interface Loaded {
    readonly libraries: string[];
    readonly files: string[];
    readonly builtin: string[];
  }

  async function loadedBy(argv: readonly string[]): Promise<Loaded> {
    writeFileSync(join(folder, "spy.cjs"), spy);
    const node = ["--require", join(folder, "spy.cjs")];
    // With code that was kept, the program's file is not among those that Node loaded.
    const env = { P11SEAL_CODE_CACHE: "0" };
    const { status, stderr } = await p11seal(argv, { cwd: root, node, env });
    expect(status).toBe(0);
    return JSON.parse(stderr) as Loaded;
  }

  /** The built-in modules that Node loads for a program that does nothing. */
  function loadedByNode(): string[] {
    writeFileSync(join(folder, "nothing.cjs"), "");
    const argv = ["--require", join(folder, "spy.cjs"), join(folder, "nothing.cjs")];
    const { stderr } = spawnSync(process.execPath, argv, { encoding: "utf8" });
    return (JSON.parse(stderr) as Loaded).builtin;
  }

  it.each([
    ["--version", ["--version"]],
    ["seal", ["seal", "-r", "bob.pem", "-o", "/dev/null", "content"]],
    ["open with a key file", ["open", "-i", "bob.key", "-o", "/dev/null", "m.p11s"]],
    ["inspect", ["inspect", "m.p11s"]],
  ])("by %s is nothing native", async (_name, argv) => {
    const loaded = await loadedBy(argv);
    expect(loaded.libraries.length).toBeGreaterThan(0);
    const native = /pkcs11|graphene|softhsm|softokn|\.node$/;
    expect([...loaded.libraries, ...loaded.files].filter((path) => native.test(path))).toEqual([]);
  });

  it("by each command about messages is not the code of the others", async () => {
    for (const { name } of MESSAGE_COMMANDS.commands) {
      const { files } = await loadedBy([name, "--help"]);
      const own = files.map((path) => basename(path)).filter((file) => file.startsWith("run-"));
      const isAlone = name === "open" || name === "seal";
      expect([name, own]).toEqual([name, [isAlone ? `run-${name}.js` : "run-messages.js"]]);
    }
    const { files } = await loadedBy(["keys", "--help"]);
    expect(files.map((path) => basename(path))).toContain("run-all.js");
  });

  // Each file costs almost a millisecond, yargs a hundred, WebCrypto ten, a terminal or a child
  // five.
  it.each([
    ["--version", ["main.js"], ["--version"]],
    ["seal", ["main.js", "run-seal.js"], ["seal", "-r", "bob.pem", "-o", "/dev/null", "note"]],
    [
      "open with a key file",
      ["main.js", "run-open.js"],
      ["open", "-i", "bob.key", "-o", "/dev/null", "small.p11s"],
    ],
  ])("by %s is little: %j, and nothing slow", async (_name, few, argv) => {
    writeFileSync(join(root, "note"), "meet at noon");
    const sealing = ["seal", "-r", "bob.pem", "--force", "-o", "small.p11s", "note"];
    expect(await p11seal(sealing, { cwd: root })).toMatchObject({ status: 0 });

    const { files, builtin } = await loadedBy(argv);
    const own = files.filter((path) => !path.endsWith("spy.cjs"));
    expect(own.map((path) => basename(path))).toEqual(few);
    // ES modules are not in that list; only yargs and `read` would be such.
    const slow = [
      "internal/crypto/webcrypto",
      "internal/modules/esm/translators",
      "internal/worker",
      "child_process",
      "readline",
    ];
    const needed = loadedByNode();
    const added = builtin.filter((one) => !needed.includes(one));
    expect(slow.filter((one) => added.includes(one))).toEqual([]);
  });
});

describe("a message that is cut or changed", () => {
  const damaged: [string, () => Buffer][] = [
    ["cut in its last segment", () => sealed.subarray(0, -100)],
    ["cut after a whole segment", () => sealed.subarray(0, sealed.length - 262_144)],
    ["continued", () => Buffer.concat([sealed, Buffer.from([0])])],
    ["changed in its last byte", () => flipped(sealed, sealed.length - 1)],
    ["changed in its header", () => flipped(sealed, 100)],
  ];

  const open = (...argv: string[]): Promise<Outcome> =>
    run(["open", "-i", join(root, "bob.key"), ...argv]);

  it.each(damaged)("%s makes no file and leaves none behind", async (_how, damage) => {
    writeFileSync(join(folder, "bad.p11s"), damage());
    const { status } = await open("-o", join(folder, "out"), join(folder, "bad.p11s"));
    expect(status).toBe(4);
    expect(readdirSync(folder)).toEqual(["bad.p11s"]);
  });

  it.each(damaged)("%s leaves an existing file as it was", async (_how, damage) => {
    writeFileSync(join(folder, "bad.p11s"), damage());
    writeFileSync(join(folder, "out"), OLD);
    const { status } = await open("--force", "-o", join(folder, "out"), join(folder, "bad.p11s"));
    expect(status).toBe(4);
    expect(readFileSync(join(folder, "out"))).toEqual(OLD);
    expect(readdirSync(folder).sort()).toEqual(["bad.p11s", "out"]);
  });

  it.each(damaged)("%s gives stdout verified bytes only, and says so", async (_how, damage) => {
    writeFileSync(join(folder, "bad.p11s"), damage());
    const { status, stdout, stderr } = await open(join(folder, "bad.p11s"));
    expect(status).toBe(4);
    expect(stdout.length).toBeLessThanOrEqual(content.length);
    expect(stdout.equals(content.subarray(0, stdout.length))).toBe(true);
    if (stdout.length > 0) expect(stderr).toContain(`the ${stdout.length} bytes on stdout are not`);
  });
});

describe("a process that is interrupted half way", () => {
  /** Seals from a pipe that stays open, until the temporary file has some bytes. */
  async function halfWay(...options: string[]): ReturnType<typeof begun> {
    return begun(["seal", "-r", join(root, "bob.pem"), "-o", "out", ...options], content);
  }

  async function begun(
    argv: readonly string[],
    stdin: Buffer,
  ): Promise<{ running: ReturnType<typeof start>; temporary: string }> {
    const running = start(argv, { cwd: folder, stdin: null });
    running.child.stdin?.write(stdin);
    const part = (): string | undefined =>
      readdirSync(folder).find((name) =>
        /^\.out\.p11seal-[0-9a-f]{8}-[0-9a-f-]+\.part$/.test(name),
      );
    await until(() => sizeOf(join(folder, part() ?? "none")) > 0, "a temporary file");
    return { running, temporary: part() ?? "" };
  }

  it.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
    "by %s leaves nothing behind, and ends by that signal",
    async (signal) => {
      const { running } = await halfWay();
      running.child.kill(signal);
      expect(await running.ended).toMatchObject({ status: null, signal, stderr: "" });
      expect(readdirSync(folder)).toEqual([]);
    },
  );

  it("leaves an existing output as it was", async () => {
    writeFileSync(join(folder, "out"), OLD);
    const { running } = await halfWay("--force");
    running.child.kill("SIGINT");
    await running.ended;
    expect(readFileSync(join(folder, "out"))).toEqual(OLD);
    expect(readdirSync(folder)).toEqual(["out"]);
  });

  it("while opening leaves no plaintext behind", async () => {
    const argv = ["open", "-i", join(root, "bob.key"), "-o", "out"];
    const { running } = await begun(argv, sealed.subarray(0, -10));
    running.child.kill("SIGTERM");
    await running.ended;
    expect(readdirSync(folder)).toEqual([]);
  });

  it("by SIGKILL leaves a file of an obvious name, which the next run removes", async () => {
    writeFileSync(join(folder, "out"), OLD);
    const { running, temporary } = await halfWay("--force");
    running.child.kill("SIGKILL");
    await running.ended;
    expect(readdirSync(folder).sort()).toEqual([temporary, "out"]);
    expect(readFileSync(join(folder, "out"))).toEqual(OLD);
    const argv = ["seal", "-r", join(root, "bob.pem"), "-o", "other"];
    expect(await p11seal(argv, { cwd: folder, stdin: "again" })).toMatchObject({ status: 0 });
    expect(readdirSync(folder).sort()).toEqual(["other", "out"]);
  });

  it("is not mistaken for one that goes on", async () => {
    const { running, temporary } = await halfWay();
    const argv = ["seal", "-r", join(root, "bob.pem"), "-o", "other"];
    expect(await p11seal(argv, { cwd: folder, stdin: "again" })).toMatchObject({ status: 0 });
    expect(readdirSync(folder).sort()).toEqual([temporary, "other"]);
    running.child.stdin?.end();
    expect(await running.ended).toMatchObject({ status: 0 });
    expect(readdirSync(folder).sort()).toEqual(["other", "out"]);
  });
});

describe("pipes", () => {
  it("that are closed by their reader end the program quietly", async () => {
    const running = start(["open", "-i", "bob.key", "m.p11s"], { cwd: root });
    running.child.stdout?.destroy();
    expect(await running.ended).toMatchObject({ status: 1, signal: null, stderr: "" });
  });

  it("that stay open do not keep a program that is done", async () => {
    const running = start(["open", "-i", "bob.key"], { cwd: root, stdin: null });
    running.child.stdin?.write("this is no message, and more of it may come");
    expect(await running.ended).toMatchObject({ status: 1 });
  });

  it("carry a message through both commands", async () => {
    const command =
      'node "$0" seal -r bob.pem < content | node "$0" open -i bob.key | cmp - content';
    const { ended } = startProgram("sh", ["-c", command, PROGRAM], { cwd: root });
    expect(await ended).toMatchObject({ status: 0, stderr: "" });
  });

  it("can be FIFOs when they are read", async () => {
    execFileSync("mkfifo", [join(folder, "fifo")]);
    const running = start(["open", "-i", join(root, "bob.key"), "-o", "out", "fifo"], {
      cwd: folder,
    });
    writeFileSync(join(folder, "fifo"), sealed);
    expect(await running.ended).toMatchObject({ status: 0 });
    expect(readFileSync(join(folder, "out")).equals(content)).toBe(true);
  });
});

describe("redirected streams", () => {
  it("that are one file are refused", async () => {
    writeFileSync(join(folder, "file"), OLD);
    const fd = openSync(join(folder, "file"), "a");
    const argv = ["seal", "-r", join(root, "bob.pem"), "file"];
    const { status } = await p11seal(argv, { cwd: folder, stdout: { fd } });
    closeSync(fd);
    expect(status).toBe(1);
    expect(readFileSync(join(folder, "file"))).toEqual(OLD);
  });

  it("that are a folder are an error like any other", async () => {
    const fd = openSync(folder, "r");
    const argv = ["seal", "-r", "bob.pem"];
    const { status, stderr } = await p11seal(argv, { cwd: root, stdin: { fd } });
    closeSync(fd);
    expect({ status, stderr }).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("EISDIR") as unknown,
    });
  });
});

describe("a device without space", () => {
  it("is said to be full when stdout is one", async () => {
    const fd = openSync("/dev/full", "w");
    const { status, stderr } = await p11seal(["open", "-i", "bob.key", "m.p11s"], {
      cwd: root,
      stdout: { fd },
    });
    closeSync(fd);
    expect(status).toBe(1);
    expect(stderr).toContain("no space left on device (ENOSPC)");
  });

  const namespaces = spawnSync("unshare", ["-rm", "true"]).status === 0;
  const itIfMounts = itIf(namespaces, "needs mount namespaces");

  itIfMounts("leaves no partial output, and an existing one as it was", async () => {
    const script = `
      mount -t tmpfs -o size=512k tmpfs "$1" && cd "$1" || exit 99
      echo old > out; cp ../bob.key .
      for target in out fresh; do
        "$0" "$2" open -i bob.key --force -o $target ../m.p11s; echo "exit $?"
      done
      ls -A; cat out`;
    const argv = ["-rm", "sh", "-c", script, process.execPath, folder, PROGRAM];
    const { stdout, stderr } = await startProgram("unshare", argv).ended;
    expect(stdout.toString()).toBe("exit 1\nexit 1\nbob.key\nout\nold\n");
    expect(stderr).toBe(
      ["out", "fresh"]
        .map(
          (name) =>
            `p11seal: cannot write "${name}": no space left on device (ENOSPC)\n` +
            "hint: nothing was left behind; make room, or write to another folder with -o\n",
        )
        .join(""),
    );
  });
});

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(copy.readUInt8(at) ^ 1, at);
  return copy;
}

describe("without a usable", () => {
  /** Runs a line of shell in a folder with the keys and the message. */
  const shell = (line: string): { status: number | null; stderr: string } => {
    const { status, stderr } = spawnSync("sh", ["-c", line, process.execPath, PROGRAM], {
      cwd: root,
      env: { ...process.env, P11SEAL_HOME: join(folder, "home") },
    });
    return { status, stderr: stderr.toString() };
  };
  const program = '"$0" "$1"';

  it.each([">&-", "1<.", "1</dev/null"])("stdout (%s) nothing is accepted", (how) => {
    expect(shell(`${program} senders add alice alice.pem > /dev/null`).status).toBe(0);
    expect(
      shell(`${program} seal -r bob.pem --sign-with alice.key -o ${folder}/s.p11s content`).status,
    ).toBe(0);
    const open = `${program} open --from alice -i bob.key ${folder}/s.p11s`;
    const refused = shell(`${open} ${how}`);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain('cannot write "stdout": bad file descriptor (EBADF)');
    expect(shell(`${open} > ${folder}/opened`).status).toBe(0);
    expect(readFileSync(join(folder, "opened"))).toEqual(content);
  });

  it.each(["seal -r bob.pem content", "open -i bob.key m.p11s", "open -i bob.key -o - m.p11s"])(
    "stdout %s fails",
    (line) => {
      expect(shell(`${program} ${line} >&-`).status).toBe(1);
    },
  );

  it("stdout a command that changes something changes nothing", () => {
    expect(shell(`${program} recipients add bob bob.pem 1< .`).status).toBe(1);
    expect(shell(`${program} recipients show bob`).status).not.toBe(0);
  });

  it("stdout a file is written nevertheless, as when /dev/null takes what is said", () => {
    expect(shell(`${program} seal -r bob.pem -o ${folder}/o content >&-`).status).toBe(0);
    const ignored = spawnSync(process.execPath, [PROGRAM, "inspect", "m.p11s"], {
      cwd: root,
      stdio: "ignore",
    });
    expect(ignored.status).toBe(0);
  });

  it.each(["<&-", "0< .", "0> write-only"])("stdin (%s) nothing is sealed", (how) => {
    const { status, stderr } = shell(`${program} seal -r bob.pem -o ${folder}/o ${how}`);
    expect({ status, stderr }).toMatchObject({ status: 1 });
    expect(stderr).toContain('cannot read "stdin"');
    expect(readdirSync(folder)).not.toContain("o");
  });

  it.each(["2>&-", "2< .", "2< /dev/null", "2> /dev/full"])(
    "stderr (%s) the exit status tells the truth",
    (how) => {
      expect(shell(`${program} open -i bob.key m.p11s ${how} > ${folder}/o`).status).toBe(0);
      expect(readFileSync(join(folder, "o"))).toEqual(content);
      expect(shell(`${program} open -i alice.key m.p11s ${how}`).status).toBe(3);
    },
  );

  it("place for it, text fails as content does", () => {
    const { status, stderr } = shell(`${program} inspect --json m.p11s > /dev/full`);
    expect(status).toBe(1);
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: "ERR_WRITE" } });
  });
});

describe("a name that is not UTF-8", () => {
  const shell = (line: string): { status: number | null; stderr: string } => {
    const { status, stderr } = spawnSync("sh", ["-c", line, process.execPath, PROGRAM], {
      cwd: root,
      env: { ...process.env, P11SEAL_HOME: join(folder, "home") },
    });
    return { status, stderr: stderr.toString() };
  };

  it.each([
    `seal -r bob.pem -o "$(printf 'case/\\377.p11s')" content`,
    `seal -r bob.pem -o case/o "$(printf '\\377')"`,
    `seal -r "$(printf '\\377.pem')" -o case/o content`,
    `open -i bob.key -o"$(printf 'case/\\377')" m.p11s`,
  ])("is refused as an argument: %s", (line) => {
    const { status, stderr } = shell(`"$0" "$1" ${line}`);
    expect({ status, stderr }).toMatchObject({ status: 2 });
    expect(stderr).toContain("an argument is not UTF-8");
    expect(readdirSync(folder)).toEqual([]);
  });

  it("is refused in a variable", () => {
    const line = `P11SEAL_HOME="$(printf '/tmp/\\377')" "$0" "$1" senders add a alice.pem`;
    expect(shell(line)).toMatchObject({ status: 2 });
  });

  it("is refused in a recipients file, with its line", () => {
    writeFileSync(join(folder, "list"), Buffer.from("bob.pem\n\xff.pem\n", "latin1"));
    const { status, stderr } = shell(`"$0" "$1" seal -R case/list -o case/o content`);
    expect({ status, stderr }).toMatchObject({ status: 1 });
    expect(stderr).toContain("case/list:2: not UTF-8");
  });

  it("is refused in an identity file, with its line", () => {
    const uris = Buffer.from("# mine\npkcs11:token=a;object=Ren\xe9\n", "latin1");
    writeFileSync(join(folder, "ids"), uris);
    const { status, stderr } = shell(`"$0" "$1" open -i case/ids m.p11s`);
    expect({ status, stderr }).toMatchObject({ status: 1 });
    expect(stderr).toContain("case/ids:2: not UTF-8");
  });

  describe("of the working folder", () => {
    const below = `odd="$PWD/case/$(printf '\\377')"; mkdir -p "$odd"; top="$PWD"; cd "$odd";`;
    const trusted = `"$0" "$1" senders add alice "$top/alice.pem" > "$top/case/added"`;
    const signed = `"$0" "$1" seal -r "$top/bob.pem" --sign-with "$top/alice.key" -o ../s.p11s "$top/content"`;
    const open = `"$0" "$1" open --from alice -i "$top/bob.key"`;

    it("does not matter where paths are not kept", () => {
      const line = `"$0" "$1" seal -r "$top/bob.pem" -o m "$top/content" && "$0" "$1" open -i "$top/bob.key" -o o m`;
      expect(shell(`${below} ${line} && cmp o "$top/content"`)).toMatchObject({ status: 0 });
    });

    it("is refused where they are, before anything is accepted", () => {
      const line = `${below} ${trusted} && ${signed} && ${open} -o o ../s.p11s`;
      const { status, stderr } = shell(line);
      expect({ status, stderr }).toMatchObject({ status: 2 });
      expect(stderr).toContain("the name of the working folder is not UTF-8");
      const again = shell(`${below} ${open} -o "$top/case/o" ../s.p11s`);
      expect(again).toMatchObject({ status: 0 });
      expect(readFileSync(join(folder, "o"))).toEqual(content);
    });
  });

  it("is not one with a U+FFFD of its own", () => {
    const line = `"$0" "$1" seal -r bob.pem -o "$(printf 'case/\\357\\277\\275')" content`;
    expect(shell(line)).toMatchObject({ status: 0 });
    expect(readdirSync(folder)).toEqual(["\u{fffd}"]);
  });
});
