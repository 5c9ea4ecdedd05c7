/** Modules that are missing, unsafe, or not modules at all. */
import { chmodSync, chownSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { TokenAccess } from "../../../src/token/access.js";
import { checkModuleFile } from "../../../src/token/modules/module-file.js";
import { parseUri } from "../../../src/token/uri.js";
import { freshToken, SOFTHSM_MODULE } from "../../support/softhsm.js";
import { runInPlainNode } from "./plain-node/run.js";
import { temporaryFolder } from "./temporary.js";
import { describeIf } from "../../support/missing.js";

const folder = temporaryFolder("modules");

function fileNamed(name: string, content: string | Uint8Array, mode = 0o644): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

function copyOfSoftHsm(path: string, mode = 0o644): string {
  copyFileSync(SOFTHSM_MODULE, path);
  chmodSync(path, mode);
  return path;
}

function folderNamed(name: string, mode: number): string {
  const path = join(folder, name);
  mkdirSync(path);
  chmodSync(path, mode);
  return path;
}

function codeOf(path: string): string | undefined {
  try {
    checkModuleFile(path);
    return undefined;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

function accessTo(...modules: string[]): TokenAccess {
  const pin = (): Promise<string> => Promise.resolve("1234");
  return new TokenAccess({ modules, home: "/nonexistent", env: process.env, pin });
}

/** A 64-bit ELF header, little-endian, of a shared library for `machine`. */
function elf(machine: number, type = 3): Uint8Array {
  const header = Buffer.alloc(64);
  header.write("\x7fELF\x02\x01\x01", "latin1");
  header.writeUInt16LE(type, 16);
  header.writeUInt16LE(machine, 18);
  return header;
}

describe("a module's file", () => {
  it("is taken when only its owner may write to it", () => {
    expect(codeOf(SOFTHSM_MODULE)).toBeUndefined();
    expect(codeOf(copyOfSoftHsm(join(folder, "copy.so"), 0o755))).toBeUndefined();
  });

  it.each([
    ["a relative path", () => "libsofthsm2.so", "ERR_MODULE_PATH"],
    ["a missing file", () => join(folder, "missing.so"), "ERR_MODULE_NOT_FOUND"],
    ["a path below a file", () => join(fileNamed("f", ""), "x.so"), "ERR_MODULE_NOT_FOUND"],
    ["a folder", () => folderNamed("folder.so", 0o755), "ERR_MODULE_LOAD"],
    ["an empty file", () => fileNamed("empty.so", ""), "ERR_MODULE_LOAD"],
    [
      "a text file",
      () => fileNamed("text.so", "INPUT(libsofthsm2.so) and more"),
      "ERR_MODULE_LOAD",
    ],
    ["a program", () => fileNamed("program", elf(62, 2)), "ERR_MODULE_LOAD"],
    ["another processor's library", () => fileNamed("avr.so", elf(83)), "ERR_MODULE_LOAD"],
    [
      "a world-writable file",
      () => copyOfSoftHsm(join(folder, "open.so"), 0o666),
      "ERR_MODULE_UNSAFE",
    ],
    [
      "a file in a world-writable folder",
      () => copyOfSoftHsm(join(folderNamed("open", 0o777), "m.so")),
      "ERR_MODULE_UNSAFE",
    ],
    [
      "a file below a world-writable folder",
      () => {
        const open = folderNamed("above", 0o777);
        mkdirSync(join(open, "inner"), { mode: 0o755 });
        return copyOfSoftHsm(join(open, "inner", "m.so"));
      },
      "ERR_MODULE_UNSAFE",
    ],
    [
      "a group-writable file",
      () => copyOfSoftHsm(join(folder, "g.so"), 0o664),
      "ERR_MODULE_UNSAFE",
    ],
    [
      "a link in a world-writable folder",
      () => {
        const link = join(folderNamed("links", 0o777), "m.so");
        symlinkSync(SOFTHSM_MODULE, link);
        return link;
      },
      "ERR_MODULE_UNSAFE",
    ],
  ])("that is %s is refused before it is loaded", (_what, make, code) => {
    expect(codeOf(make())).toBe(code);
  });

  it("that nobody named is taken from the system's folders only", () => {
    const path = copyOfSoftHsm(join(folder, "unnamed.so"));
    expect(() => checkModuleFile(path, false)).toThrow(/not in a folder of the system/);
    expect(checkModuleFile(path, true)).toBe(path);
  });

  it("of our own may lie in a folder like /tmp", () => {
    expect(codeOf(copyOfSoftHsm(join(folderNamed("sticky", 0o1777), "m.so")))).toBeUndefined();
  });
});

const isRoot = process.getuid?.() === 0;
describeIf(isRoot, "only root can be several users")("a module of another user", () => {
  it("in a folder like /tmp is refused", () => {
    const path = copyOfSoftHsm(join(folderNamed("foreign", 0o1777), "m.so"));
    chownSync(path, 65534, 65534);
    expect(codeOf(path)).toBe("ERR_MODULE_UNSAFE");
  });

  it("in a folder of ours, or of ours in a folder of theirs, is refused", () => {
    const path = copyOfSoftHsm(join(folderNamed("ours", 0o755), "m.so"));
    expect(codeOf(path)).toBeUndefined();
    chownSync(path, 65534, 0);
    expect(codeOf(path)).toBe("ERR_MODULE_UNSAFE");
    const theirs = folderNamed("theirs", 0o755);
    const inTheirs = copyOfSoftHsm(join(theirs, "m.so"));
    chownSync(theirs, 65534, 0);
    expect(codeOf(inTheirs)).toBe("ERR_MODULE_UNSAFE");
  });

  it("in a folder that an ordinary group may write to is refused; an administrators' is not", () => {
    const shared = folderNamed("shared", 0o775);
    const path = copyOfSoftHsm(join(shared, "m.so"));
    expect(codeOf(path)).toBeUndefined();
    chownSync(shared, 0, 12345);
    expect(codeOf(path)).toBe("ERR_MODULE_UNSAFE");
  });
});

describe("a broken module", () => {
  it("that the user named is the error when no token is found", async () => {
    const access = accessTo(join(folder, "missing.so"));
    await expect(access.findToken(parseUri("pkcs11:token=x"))).rejects.toMatchObject({
      code: "ERR_MODULE_NOT_FOUND",
    });
    expect(await access.tokens()).toEqual([]);
    await access.close();
  });

  it("is listed with its reason, and hides no token of another module", async () => {
    const token = await freshToken("beside");
    const broken = fileNamed("broken.so", "not a library");
    const access = accessTo(broken, SOFTHSM_MODULE);
    const [first, second] = await access.modules();
    expect(first).toMatchObject({
      path: broken,
      source: "--module",
      error: { code: "ERR_MODULE_LOAD" },
    });
    expect(second).toMatchObject({ path: SOFTHSM_MODULE, library: { cryptoki: "2.40" } });
    expect((await access.findToken(parseUri(token.uri))).label).toBe(token.label);
    await access.close();
  });

  it("named by a URI's module-path is that lookup's error alone", async () => {
    const token = await freshToken("by-path");
    const access = accessTo(SOFTHSM_MODULE);
    const uri = parseUri(token.uri);
    await expect(
      access.findToken({ ...uri, modulePath: join(folder, "missing.so") }),
    ).rejects.toMatchObject({ code: "ERR_MODULE_NOT_FOUND" });
    expect((await access.findToken({ ...uri, modulePath: SOFTHSM_MODULE })).label).toBe(
      token.label,
    );
    expect((await access.findToken({ ...uri, moduleName: "softhsm2" })).label).toBe(token.label);
    await expect(access.findToken({ ...uri, moduleName: "opensc" })).rejects.toMatchObject({
      code: "ERR_TOKEN_NOT_FOUND",
    });
    await access.close();
  });

  it("without the name that a URI's module-name gives is not loaded", async () => {
    const token = await freshToken("by-name");
    const other = fileNamed("opensc-pkcs11.so", "not a library");
    const tried: string[] = [];
    const access = new TokenAccess({
      ...{ modules: [other, SOFTHSM_MODULE], home: folder, env: process.env },
      pin: () => Promise.reject(new Error("no PIN")),
      trying: (path) => tried.push(path),
    });
    const uri = parseUri(token.uri);
    expect((await access.findToken({ ...uri, moduleName: "softhsm2" })).label).toBe(token.label);
    expect(new Set(tried)).toEqual(new Set([SOFTHSM_MODULE]));
    expect((await access.findToken(uri)).label).toBe(token.label);
    expect(tried).toContain(other);
    await access.close();
  });

  it("that is a library but no module, or lacks what it needs, takes nobody down", () => {
    const { status, signal, output } = runInPlainNode(
      "broken-modules.ts",
      [SOFTHSM_MODULE, folder],
      {
        SOFTHSM2_CONF: process.env["SOFTHSM2_CONF"] ?? "",
      },
    );
    expect({ status, signal }).toEqual({ status: 0, signal: null });
    expect(output).toMatchObject([
      { code: "ERR_MODULE_LOAD", message: expect.stringContaining("not a PKCS#11 library") },
      { code: "ERR_MODULE_LOAD", message: expect.stringContaining("cannot be loaded") },
      { library: "Implementation of PKCS11" },
    ]);
  });

  it("SoftHSM without a configuration says what to do", () => {
    const { output } = runInPlainNode("broken-modules.ts", [SOFTHSM_MODULE], {
      SOFTHSM2_CONF: join(folder, "nowhere.conf"),
    });
    expect(output).toMatchObject([
      { code: "ERR_MODULE_INIT", hint: expect.stringContaining("SOFTHSM2_CONF") },
    ]);
  });
});

describe("without pkcs11js", () => {
  it("koffi opens the module", () => {
    const { status, output } = runInPlainNode("broken-modules.ts", [SOFTHSM_MODULE], {
      TEST_WITHOUT_PACKAGES: "pkcs11js",
      SOFTHSM2_CONF: process.env["SOFTHSM2_CONF"] ?? "",
    });
    expect(status).toBe(0);
    expect(output).toEqual([{ library: "Implementation of PKCS11" }]);
  });

  it("nor koffi, every module is listed with the reason, and what to install", () => {
    const { status, output } = runInPlainNode("broken-modules.ts", [SOFTHSM_MODULE], {
      TEST_WITHOUT_PACKAGES: "pkcs11js koffi",
    });
    expect(status).toBe(0);
    expect(output).toMatchObject([
      { code: "ERR_NATIVE_MISSING", hint: expect.stringContaining("npm install koffi") },
    ]);
  });
});

describe("tokens", () => {
  it("that match a URI together are counted, not chosen from", async () => {
    await freshToken("several");
    await freshToken("several");
    const access = accessTo(SOFTHSM_MODULE);
    await expect(
      access.findToken(parseUri("pkcs11:manufacturer=SoftHSM%20project")),
    ).rejects.toMatchObject({ code: "ERR_TOKEN_NOT_UNIQUE" });
    await access.close();
  });

  it("are not matched by an attribute that nobody knows", async () => {
    const access = accessTo(SOFTHSM_MODULE);
    await expect(access.findToken(parseUri("pkcs11:x-place=desk"))).rejects.toMatchObject({
      code: "ERR_URI_ATTRIBUTE",
    });
    await expect(access.findKey(parseUri("pkcs11:type=data"))).rejects.toMatchObject({
      code: "ERR_URI_TYPE",
    });
    await access.close();
  });

  it("are listed once when two paths lead to one library", async () => {
    const token = await freshToken("twice");
    const link = join(folder, "link.so");
    symlinkSync(SOFTHSM_MODULE, link);
    const access = accessTo(SOFTHSM_MODULE, link);
    expect(await access.modules()).toHaveLength(1);
    const labels = (await access.tokens()).map(({ label }) => label);
    expect(labels.filter((label) => label === token.label)).toEqual([token.label]);
    await access.close();
  });
});
