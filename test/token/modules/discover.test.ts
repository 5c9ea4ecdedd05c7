import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { beforeEach, describe, expect, it } from "@jest/globals";
import { configurationFault } from "../../../src/token/modules/configuration.js";
import {
  developmentToken,
  discoverModules,
  softHsmPaths,
} from "../../../src/token/modules/discover.js";
import { isNssSoftoken, isSoftHsm } from "../../../src/token/modules/module.js";
import { type SystemPaths, systemPaths } from "../../../src/token/modules/well-known.js";
import { temporaryFolder } from "./temporary.js";

let root: string;
let home: string;
let system: SystemPaths;

beforeEach(() => {
  root = temporaryFolder("discover");
  home = join(root, "home");
  system = {
    wellKnown: ["a.so", "b.so", "softhsm/libsofthsm2.so"].map((name) => join(root, "lib", name)),
    p11KitConfigs: [join(root, "share"), join(root, "etc"), join(root, "user")],
    p11KitModules: [join(root, "lib64", "pkcs11"), join(root, "lib", "pkcs11")],
  };
});

function put(path: string, text = ""): string {
  const full = join(root, path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, text);
  return full;
}

/** The paths found, relative to the root, with their origin. */
function discover(
  env: Record<string, string> = {},
  modules: string[] = [],
): { path: string; source: string; explicit: boolean }[] {
  return discoverModules({ modules, home, env, system }).map(({ path, source, explicit }) => ({
    path: path.replace(`${root}/`, ""),
    source: source.replace(`${root}/`, ""),
    explicit,
  }));
}

const paths = (...args: Parameters<typeof discover>): string[] =>
  discover(...args).map(({ path }) => path);

describe("modules", () => {
  it("named with --module are the only ones looked at, existing or not", () => {
    put("lib/a.so");
    const env = { P11SEAL_MODULE: "/x.so", PKCS11_MODULE_PATH: "/y.so" };
    expect(discover(env, ["/m.so", "/n.so"])).toEqual([
      { path: "/m.so", source: "--module", explicit: true },
      { path: "/n.so", source: "--module", explicit: true },
    ]);
  });

  it("named in P11SEAL_MODULE are the next choice, and also the only ones", () => {
    put("lib/a.so");
    expect(discover({ P11SEAL_MODULE: ["/x.so", "/y.so"].join(delimiter) })).toEqual([
      { path: "/x.so", source: "P11SEAL_MODULE", explicit: true },
      { path: "/y.so", source: "P11SEAL_MODULE", explicit: true },
    ]);
  });

  it("are otherwise found in order: PKCS11_MODULE_PATH, p11-kit, well-known paths", () => {
    put("lib/a.so");
    put("share/z.module", "module: /kit.so\n");
    expect(discover({ PKCS11_MODULE_PATH: "/env.so" })).toEqual([
      { path: "/env.so", source: "PKCS11_MODULE_PATH", explicit: true },
      { path: "/kit.so", source: "share/z.module", explicit: false },
      { path: "lib/a.so", source: "well-known path", explicit: false },
    ]);
  });

  it("are each found once, whatever links lead to them", () => {
    const target = put("lib/a.so");
    symlinkSync(target, join(root, "lib", "b.so"));
    put("share/a.module", `module: ${target}\n`);
    expect(paths()).toEqual(["lib/a.so"]);
  });

  it("are none if none are installed", () => {
    expect(discover()).toEqual([]);
  });
});

describe("p11-kit's *.module files", () => {
  it("may name a module relative to p11-kit's own folder", () => {
    put("lib/pkcs11/card.so");
    put("share/card.module", "# a comment\nmodule: card.so\n");
    put("share/gone.module", "module: gone.so\n");
    expect(paths()).toEqual(["lib/pkcs11/card.so"]);
  });

  it("are overridden, setting by setting, by the administrator's and the user's of the same name", () => {
    put("share/card.module", "module: /vendor.so\npriority: 5\n");
    put("share/other.module", "module: /other.so\npriority: 3\n");
    put("user/card.module", "module: /user.so\n");
    expect(discover()).toEqual([
      { path: "/user.so", source: "user/card.module", explicit: false },
      { path: "/other.so", source: "share/other.module", explicit: false },
    ]);
  });

  it.each([
    ["enable-in: p11seal, firefox", true],
    ["enable-in: firefox", false],
    ["disable-in: firefox", true],
    ["disable-in: firefox p11seal", false],
    ["remote: |ssh host p11-kit remote", false],
    ["trust-policy: yes", false],
    ["module:", false],
  ])("with '%s' are taken: %s", (line, taken) => {
    put("share/m.module", `module: /m.so\n${line}\n`);
    expect(paths()).toEqual(taken ? ["/m.so"] : []);
  });

  it("of p11-kit itself are left out: they repeat other modules or hold no keys", () => {
    for (const name of ["p11-kit-proxy.so", "p11-kit-client.so", "p11-kit-trust.so"]) {
      put(`share/${name}.module`, `module: /usr/lib/${name}\n`);
    }
    put("share/.hidden.module", "module: /hidden.so\n");
    put("share/old.module.bak", "module: /old.so\n");
    expect(paths()).toEqual([]);
    expect(paths({}, ["/usr/lib/p11-kit-proxy.so"])).toEqual(["/usr/lib/p11-kit-proxy.so"]);
  });

  it("may carry the string that C_Initialize gets", () => {
    put("share/nss.module", "module: /own/token.so\nx-init-reserved: configdir=/db\n");
    const [candidate] = discoverModules({ home, env: {}, system });
    expect(candidate?.parameters).toBe("configdir=/db");
  });
});

describe("a path that is not UTF-8", () => {
  const bytes = (path: string): Buffer => Buffer.from(path, "latin1");

  it("is not taken for another one: its module is left out", () => {
    put("lib/odd\u{fffd}.so");
    put("lib/a.so");
    const module = put("etc/odd.module");
    writeFileSync(module, bytes(`module: ${join(root, "lib")}/odd\xff.so\n`));
    expect(paths()).toEqual(["lib/a.so"]);
    // In a comment or another setting it does not matter.
    writeFileSync(
      module,
      bytes(`# caf\xe9\nmodule: ${join(root, "lib")}/odd\u00ef\u00bf\u00bd.so\n`),
    );
    expect(paths()).toEqual(["lib/odd\u{fffd}.so", "lib/a.so"]);
  });

  it("is none that the development token's module is found by", () => {
    put("home/softhsm/softhsm2.conf");
    const recorded = put("home/softhsm/module");
    writeFileSync(recorded, bytes("/lib/soft\xff.so\n"));
    expect(softHsmPaths({ home, env: {}, system })).not.toContain("/lib/soft\u{fffd}.so");
    writeFileSync(recorded, "/lib/soft\u{fffd}.so\n");
    expect(softHsmPaths({ home, env: {}, system })).toContain("/lib/soft\u{fffd}.so");
  });

  it("is looked at as it is, where SoftHSM keeps its tokens", () => {
    const conf = put("softhsm2.conf");
    writeFileSync(conf, bytes(`directories.tokendir = ${root}/tok\xff\n`));
    const where = { home, env: { SOFTHSM2_CONF: conf }, system };
    mkdirSync(join(root, "tok\u{fffd}"));
    expect(configurationFault("/lib/libsofthsm2.so", where)?.message).toContain(
      'tok\udcff", which does not exist',
    );
    mkdirSync(bytes(`${root}/tok\xff`));
    expect(configurationFault("/lib/libsofthsm2.so", where)).toBeUndefined();
  });
});

describe("SoftHSM", () => {
  it("is started on the development token where there is one", () => {
    put("lib/softhsm/libsofthsm2.so");
    const { conf } = developmentToken(home);
    expect(discoverModules({ home, env: {}, system })[0]?.environment).toBeUndefined();
    put("home/softhsm/softhsm2.conf");
    expect(discoverModules({ home, env: {}, system })[0]?.environment).toEqual({
      SOFTHSM2_CONF: conf,
    });
  });

  it("is started on the user's own configuration where that is set", () => {
    put("lib/softhsm/libsofthsm2.so");
    put("home/softhsm/softhsm2.conf");
    const env = { SOFTHSM2_CONF: "/mine.conf" };
    expect(discoverModules({ home, env, system })[0]?.environment).toEqual(env);
  });

  it("that made the development token is found again, wherever it lies", () => {
    const own = put("private/libsofthsm2.so");
    put("home/softhsm/softhsm2.conf");
    put("home/softhsm/module", `${own}\n`);
    expect(discover()).toEqual([
      { path: "private/libsofthsm2.so", source: "development token", explicit: false },
    ]);
  });
});

describe("NSS softoken", () => {
  const parametersOf = (env: Record<string, string>): string | undefined =>
    discoverModules({ modules: ["/usr/lib/libsoftokn3.so"], home, env, system })[0]?.parameters;

  it("is started on the database that P11SEAL_NSS_DIR names, quotes and all", () => {
    expect(parametersOf({})).toBeUndefined();
    expect(parametersOf({ P11SEAL_NSS_DIR: "/my 'db'" })).toBe(
      "configdir='sql:/my \\'db\\'' certPrefix='' keyPrefix='' secmod='secmod.db' flags=",
    );
  });

  it("takes a full parameter string", () => {
    expect(parametersOf({ P11SEAL_NSS_PARAMETERS: "flags=noCertDB", P11SEAL_NSS_DIR: "/x" })).toBe(
      "flags=noCertDB",
    );
  });
});

describe("libraries with a quirk at start", () => {
  it.each([
    ["/usr/lib/softhsm/libsofthsm2.so", true, false],
    ["C:\\SoftHSM2\\lib\\softhsm2-x64.dll", true, false],
    ["/usr/lib/libsoftokn3.so", false, true],
    ["/usr/lib/notsofthsm2.so", false, false],
    ["/usr/lib/libsoftokn3.so.bak", false, false],
  ])("are known by their file's name: %s", (path, isHsm, isNss) => {
    expect([isSoftHsm(path), isNssSoftoken(path)]).toEqual([isHsm, isNss]);
  });
});

describe("well-known paths", () => {
  it.each(["linux", "darwin", "win32"] as const)(
    "of %s are absolute and begin with SoftHSM",
    (platform) => {
      const { wellKnown } = systemPaths({ HOME: "/home/me" }, platform, "x64");
      expect(wellKnown.length).toBeGreaterThan(8);
      for (const path of wellKnown) expect(path).toMatch(/^(?:\/|[A-Z]:\\)/);
      expect(wellKnown[0]).toMatch(/softhsm2/);
    },
  );
});
