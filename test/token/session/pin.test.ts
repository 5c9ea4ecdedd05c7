import { chmodSync, closeSync, openSync, writeFileSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, jest } from "@jest/globals";
import { checkPin, pinFromSource, pinFromUri } from "../../../src/token/session/pin.js";
import { pinSource, withoutPins } from "../../../src/token/session/pin-variables.js";
import type { PinRequest } from "../../../src/token/values.js";
import { parseUri } from "../../../src/token/uri.js";
import { temporaryFolder } from "../modules/temporary.js";

const folder = temporaryFolder("pin");
const request: PinRequest = {
  token: { label: "alice", serial: "42", model: "", manufacturer: "", pin: "ok" },
  kind: "user",
  fresh: false,
};

function file(name: string, content: string | Uint8Array, mode = 0o600): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

/** The code of a thrown or rejected error. */
async function codeOf(work: () => unknown): Promise<string | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

describe("a PIN source", () => {
  it("env: gives the variable's value and takes it out of the environment", async () => {
    const env = { MY_PIN: "1234", OTHER: "x" };
    const pin = pinFromSource("env:MY_PIN", env);
    expect(env.MY_PIN).toBe("1234");
    expect(await pin(request)).toBe("1234");
    expect(env).toEqual({ OTHER: "x" });
    expect(await pin(request)).toBe("1234");
  });

  it("env: serves two sources on one variable, as for a new token's two PINs", async () => {
    const env = { SAME_PIN: "1234" };
    const [user, so] = [pinFromSource("env:SAME_PIN", env), pinFromSource("env:SAME_PIN", env)];
    expect(await user(request)).toBe("1234");
    expect(await so({ ...request, kind: "so" })).toBe("1234");
  });

  it("file: takes off one newline and no more", async () => {
    expect(await pinFromSource(`file:${file("a", "1234\n")}`)(request)).toBe("1234");
    expect(await pinFromSource(`file:${file("b", "12 34 \r\n")}`)(request)).toBe("12 34 ");
    expect(await codeOf(() => pinFromSource(`file:${file("c", "1234\n\n")}`)(request))).toBe(
      "ERR_PIN_FORMAT",
    );
  });

  it("fd: reads an open descriptor once and remembers what it read", async () => {
    const fd = openSync(file("d", "5678\n"), "r");
    const pin = pinFromSource(`fd:${fd}`);
    expect(await pin(request)).toBe("5678");
    closeSync(fd);
    expect(await pin(request)).toBe("5678");
  });

  it("cmd: learns which token asks, and gets no PIN variable from us", async () => {
    const env = { ...process.env, HIDDEN_PIN: "9999" };
    pinFromSource("env:HIDDEN_PIN", env);
    const pin = pinFromSource(
      'cmd:printf "%s-%s-%s-%s" "$P11SEAL_PIN_KIND" "$P11SEAL_TOKEN_LABEL" "$P11SEAL_TOKEN_SERIAL" "$HIDDEN_PIN"',
      env,
    );
    expect(await pin(request)).toBe("user-alice-42-");
  });

  it("cmd: runs once for one token, and again for another", async () => {
    const count = file("count", "");
    const pin = pinFromSource(`cmd:echo x >> ${count}; wc -l < ${count} | tr -d " "`);
    expect(await pin(request)).toBe("1");
    expect(await pin(request)).toBe("1");
    expect(await pin({ ...request, token: { ...request.token, serial: "43" } })).toBe("2");
  });

  it("file: that is missing is told of in words", async () => {
    await expect(pinFromSource("file:/nonexistent/pin")(request)).rejects.toThrow(
      'PIN file "/nonexistent/pin" cannot be read: no such file or directory (ENOENT)',
    );
  });

  it("cmd: does not read our stdin", async () => {
    expect(await pinFromSource("cmd:cat; echo 1234")(request)).toBe("1234");
  });

  it.each([
    ["env:P11SEAL_SURELY_UNSET", "ERR_PIN_SOURCE_FAILED"],
    ["file:/nonexistent/pin", "ERR_PIN_SOURCE_FAILED"],
    [`file:${folder}`, "ERR_PIN_SOURCE_FAILED"],
    ["fd:99999", "ERR_PIN_SOURCE_FAILED"],
    ["cmd:exit 3", "ERR_PIN_SOURCE_FAILED"],
    ["cmd:echo 1234; exit 1", "ERR_PIN_SOURCE_FAILED"],
    ["cmd:true", "ERR_PIN_EMPTY"],
    ["cmd:yes", "ERR_PIN_FORMAT"],
    ["1234", "ERR_PIN_SOURCE"],
    ["", "ERR_PIN_SOURCE"],
    ["env:", "ERR_PIN_SOURCE"],
    ["env:A B", "ERR_PIN_SOURCE"],
    ["fd:x", "ERR_PIN_SOURCE"],
    ["http:1234", "ERR_PIN_SOURCE"],
  ])("%s is refused with %s", async (spec, code) => {
    if (spec === `file:${folder}`) chmodSync(folder, 0o777);
    const result = await codeOf(() => pinFromSource(spec)(request));
    chmodSync(folder, 0o700);
    expect(result).toBe(code);
  });

  it("that is empty, or not text, is refused before a token sees it", async () => {
    expect(await codeOf(() => pinFromSource(`file:${file("e", "")}`)(request))).toBe(
      "ERR_PIN_EMPTY",
    );
    expect(await codeOf(() => pinFromSource(`file:${file("f", "\n")}`)(request))).toBe(
      "ERR_PIN_EMPTY",
    );
    expect(
      await codeOf(() => pinFromSource(`file:${file("g", Uint8Array.of(0xff, 0xfe))}`)(request)),
    ).toBe("ERR_PIN_FORMAT");
    expect(await codeOf(() => checkPin("12\u000034"))).toBe("ERR_PIN_FORMAT");
  });

  it.each([0o644, 0o640, 0o620, 0o602])("in a file of mode %o is refused", async (mode) => {
    expect(await codeOf(() => pinFromSource(`file:${file("m", "1234", mode)}`)(request))).toBe(
      "ERR_PIN_FILE_MODE",
    );
  });

  it("in a file that root gave to this user's group is read, if nobody else can", async () => {
    const user = jest.spyOn(process, "getuid").mockReturnValue(4711);
    const handle = await open(file("probe", ""), "r");
    const stat = jest.spyOn(Object.getPrototypeOf(handle) as FileHandle, "stat");
    try {
      await handle.close();
      for (const [uid, mode, outcome] of [
        [0, 0o440, undefined],
        [0, 0o444, "ERR_PIN_FILE_MODE"],
        [0, 0o460, "ERR_PIN_FILE_MODE"],
        [4711, 0o440, "ERR_PIN_FILE_MODE"],
        [4712, 0o440, "ERR_PIN_FILE_MODE"],
        [4711, 0o400, undefined],
      ] as const) {
        stat.mockResolvedValue({ uid, mode: 0o100000 | mode } as never);
        const source = `file:${file("g", "1234")}`;
        expect([uid, mode, await codeOf(() => pinFromSource(source)(request))]).toEqual([
          ...[uid, mode, outcome],
        ]);
      }
    } finally {
      user.mockRestore();
      stat.mockRestore();
    }
  });

  it("is never repeated in an error", async () => {
    for (const work of [
      () => pinFromSource("secret-1234"),
      () => pinFromSource(`file:${file("h", "secret-1234\nsecret-1234\n")}`)(request),
      () => pinFromSource("cmd:echo secret-1234; exit 1")(request),
    ]) {
      let shown = "";
      try {
        await work();
      } catch (error) {
        const { message, hint, cause } = error as Error & { hint?: string };
        shown = `${message} ${hint ?? ""} ${String(cause)}`;
      }
      expect(shown).not.toBe("");
      expect(shown).not.toContain("secret");
    }
  });
});

describe("a variable that a PIN source names", () => {
  it("is in no child's environment, and others are", () => {
    const env = { TOKEN_PIN: "13572468", PATH: "/bin", TOKEN_PIN_2: "kept" };
    expect(withoutPins(env)).toEqual(env);
    expect(pinSource("env:TOKEN_PIN")).toEqual({ kind: "env", rest: "TOKEN_PIN" });
    expect(withoutPins(env)).toEqual({ PATH: "/bin", TOKEN_PIN_2: "kept" });
  });
});

describe("a URI's pin-source", () => {
  it("names a file as a file URI or an absolute path", async () => {
    const path = file("u", "4321\n");
    for (const source of [`file:${path}`, `file://${path}`, path]) {
      const pin = pinFromUri(parseUri(`pkcs11:token=a?pin-source=${encodeURIComponent(source)}`));
      expect(await pin?.(request)).toBe("4321");
    }
  });

  it("runs a command only where the caller allows it, and without a shell", async () => {
    const uri = parseUri("pkcs11:?pin-source=%7C/bin/echo%2012%20%3B%20id");
    expect(await codeOf(() => pinFromUri(uri))).toBe("ERR_PIN_SOURCE");
    expect(await pinFromUri(uri, { commands: true })?.(request)).toBe("12 ; id");
  });

  it("is optional", () => {
    expect(pinFromUri(parseUri("pkcs11:token=a"))).toBeUndefined();
  });

  it.each(["pin", "|echo", "file://elsewhere/pin", "http://x/pin"])(
    "%s is refused",
    async (source) => {
      expect(await codeOf(() => pinFromUri({ pinSource: source }, { commands: true }))).toBe(
        "ERR_PIN_SOURCE",
      );
    },
  );
});
