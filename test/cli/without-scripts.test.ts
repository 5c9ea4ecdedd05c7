/**
 * p11seal as `npm install --ignore-scripts` leaves it: pkcs11js is there and was not compiled. And
 * without anything that calls modules. The packages are those of this checkout, so nothing is
 * fetched.
 */
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { publicPem, TEST_KEYS } from "../support/keys.js";
import {
  freshToken,
  importKey,
  softHsmEnvironment,
  type TestToken,
  USER_PIN,
} from "../support/softhsm.js";
import { temporaryFolder } from "./support/folder.js";
import { startProgram, type Ended } from "./support/spawn.js";

const root = join(import.meta.dirname, "../..");
const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
let token: TestToken;

beforeAll(async () => {
  token = await freshToken("no-scripts");
  const privateHalf = { DERIVE: true, SIGN: false };
  await importKey(token, TEST_KEYS.p256, { label: "k", id: Uint8Array.of(1), privateHalf });
  writeFileSync(at("k.pem"), publicPem(TEST_KEYS.p256));
  writeFileSync(at("note"), "meet at noon\n");
});

/**
 * The built program, with what it may load of node_modules. Packages that ask for pkcs11js are
 * copied, so that they find the one beside them and not the compiled one of this checkout.
 */
function installed(callers: {
  readonly pkcs11js: "not compiled" | "absent";
  koffi: boolean;
}): string {
  const copy = mkdtempSync(at("installed-"));
  const [from, to] = [join(root, "node_modules"), join(copy, "node_modules")];
  for (const one of ["dist", "package.json"]) {
    cpSync(join(root, one), join(copy, one), { recursive: true });
  }
  mkdirSync(to);
  for (const name of runtimePackages()) {
    const path = join(to, name);
    mkdirSync(join(path, ".."), { recursive: true });
    if (name === "koffi" && !callers.koffi) continue;
    if (name === "graphene-pk11") cpSync(join(from, name), path, { recursive: true });
    else if (name !== "pkcs11js") symlinkSync(join(from, name), path);
    else if (callers.pkcs11js === "not compiled") {
      const built = join(from, name, "build");
      const isUnbuilt = (file: string): boolean => file !== built;
      cpSync(join(from, name), path, { recursive: true, filter: isUnbuilt });
    }
  }
  return join(copy, "dist/cli/main.js");
}

/** Of node_modules, what is no tool of the developers'. */
function runtimePackages(): string[] {
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    packages: Readonly<Record<string, { dev?: boolean }>>;
  };
  const present = new Set(readdirSync(join(root, "node_modules"), "utf8"));
  return Object.entries(lock.packages).flatMap(([path, { dev }]) => {
    const [, name] = /^node_modules\/((?:@[^/]+\/)?[^/]+)$/.exec(path) ?? [];
    const isThere = name !== undefined && present.has(name.split("/")[0] ?? "");
    return dev === true || !isThere ? [] : [name];
  });
}

/** Without P11SEAL_BINDING, which would choose. */
function run(program: string, ...argv: string[]): Promise<Ended> {
  const env = { ...softHsmEnvironment(at("home")), P11SEAL_BINDING: undefined, PIN: USER_PIN };
  return startProgram(process.execPath, [program, ...argv], { env, cwd: folder }).ended;
}

const lines = ({ stderr }: Ended): string[] => stderr.split("\n").filter((line) => line !== "");

describe("after npm install --ignore-scripts", () => {
  let program: string;
  beforeAll(() => {
    program = installed({ pkcs11js: "not compiled", koffi: true });
  });

  it("open works, through koffi by itself, and says nothing about it", async () => {
    expect(await run(program, "seal", "-r", "k.pem", "-o", "a.p11s", "note")).toMatchObject({
      ...{ status: 0, stderr: "" },
    });
    const opened = await run(program, "open", "-i", token.uri, "--pin-source", "env:PIN", "a.p11s");
    expect([opened.status, opened.stdout.toString(), opened.stderr]).toEqual([
      ...[0, "meet at noon\n", ""],
    ]);
  });

  it("doctor says through what", async () => {
    const { status, stdout } = await run(program, "doctor", "-i", token.uri, "--json");
    expect({ status, ...(JSON.parse(stdout.toString()) as object) }).toMatchObject({
      ...{ status: 0, works: true, binding: "koffi" },
    });
  });

  it("tokens are listed", async () => {
    const { status, stdout } = await run(program, "tokens");
    expect(status).toBe(0);
    expect(stdout.toString()).toContain(token.label);
  });

  it("P11SEAL_BINDING=pkcs11js is refused in one line, with what to do", async () => {
    const env = { ...softHsmEnvironment(at("home")), P11SEAL_BINDING: "pkcs11js" };
    const argv = [program, "keys", "list", token.uri];
    const ended = await startProgram(process.execPath, argv, { env }).ended;
    expect(ended.status).toBe(5);
    expect(lines(ended)[0]).toContain("P11SEAL_BINDING names pkcs11js, which is not");
  });
});

describe("without pkcs11js and without koffi", () => {
  let program: string;
  beforeAll(() => {
    program = installed({ pkcs11js: "absent", koffi: false });
  });

  it("seal works, and open with a key file does", async () => {
    writeFileSync(at("k.key"), TEST_KEYS.p256, { mode: 0o600 });
    expect(await run(program, "seal", "-r", "k.pem", "-o", "b.p11s", "note")).toMatchObject({
      ...{ status: 0, stderr: "" },
    });
    const opened = await run(program, "open", "-i", "k.key", "b.p11s");
    expect([opened.status, opened.stdout.toString(), opened.stderr]).toEqual([
      ...[0, "meet at noon\n", ""],
    ]);
  });

  it("open says in one line what is missing, what to install in another, and asks for no PIN", async () => {
    expect(await run(program, "seal", "-r", "k.pem", "-o", "c.p11s", "note")).toMatchObject({
      status: 0,
    });
    for (const identity of [["-i", token.uri], []]) {
      const argv = ["open", ...identity, "--pin-source", `cmd:touch ${at("asked")}`, "c.p11s"];
      const ended = await run(program, ...argv);
      expect(ended.status).toBe(5);
      expect(lines(ended)).toEqual([
        expect.stringMatching(/^p11seal: (?:c\.p11s: )?neither pkcs11js nor koffi can be loaded$/),
        "hint: using a token needs one of them: run npm install koffi, which needs no compiler",
      ]);
      expect(readdirSync(folder)).not.toContain("asked");
    }
  });
});
