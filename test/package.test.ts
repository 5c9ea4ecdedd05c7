/** The package as published: its files, its exports, and whether its types compile. */
import { spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "@jest/globals";

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly bin: Readonly<Record<string, string>>;
  /** npm links the page of a global installation only if this is a list. */
  readonly man: readonly string[];
  readonly exports: Readonly<Record<string, string | Record<string, string>>>;
}

/** Without the SQLite that newer Nodes have. */
const NO_SQLITE = process.allowedNodeEnvironmentFlags.has("--experimental-sqlite")
  ? ["--no-experimental-sqlite"]
  : [];

const root = join(import.meta.dirname, "..");
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest;

// Inside the checkout, so that "p11seal" means this package.
mkdirSync(join(root, ".cache"), { recursive: true });
const folder = mkdtempSync(join(root, ".cache", "package-"));

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function packed(): string[] {
  const done = spawnSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, NODE_OPTIONS: "" },
  });
  const [pack] = JSON.parse(done.stdout) as { files: { path: string }[] }[];
  return (pack?.files ?? []).map(({ path }) => path);
}

describe("the package", () => {
  const files = packed();

  it("holds the program, the library, its types and the documents", () => {
    expect(files).toEqual(
      expect.arrayContaining([
        "dist/cli/main.js",
        ...manifest.man,
        "dist/index.js",
        "dist/index.d.ts",
        "dist/token/index.d.ts",
        "dist/testing/index.d.ts",
        "dist/testing/index.cjs",
        "dist/testing/shim/shim.cc",
        "docs/format.md",
        "docs/format-kit/manifest.json",
        "docs/format-kit/good/p256.p11s",
        "docs/format-kit/keys/p256.pem",
        "README.md",
        "LICENSE",
        "package.json",
      ]),
    );
  });

  it("holds nothing else: no sources, tests, keys but the kit's, tokens or settings", () => {
    const strange = files.filter(
      (path) =>
        !/^(?:dist\/.+\.(?:js|d\.ts)|dist\/cli\/(?:package\.json|THIRD-PARTY\.md)|dist\/testing\/index\.cjs|dist\/testing\/shim\/[a-z]+\.(?:cc|h)|dist\/testing\/prebuilt\/linux-(?:x64|arm64)\/shim\.(?:so|json)|dist\/man\/p11seal\.1|dist\/systemd\/p11seal-agent\.(?:service|socket)|docs\/.+\.md|docs\/growth\.svg|docs\/format-kit\/(?:manifest\.json|keys\/[a-z0-9-]+\.pem|(?:good|bad)\/[a-z0-9-]+\.p11[sk])|[A-Z]+\.md|LICENSE|package\.json)$/.test(
          path,
        ),
    );
    expect(strange).toEqual([]);
  });

  it("has as much for tests as docs/testing.md says", () => {
    const below = join(root, "dist", "testing");
    const all = readdirSync(below, { recursive: true, encoding: "utf8" });
    // These are stated for themselves (test/testing/prebuilt.test.ts).
    const names = all.filter((name) => !name.startsWith("prebuilt"));
    const files = names.map((name) => statSync(join(below, name))).filter((one) => one.isFile());
    const megabytes = files.reduce((sum, { size }) => sum + size, 0) / 1e6;
    const page = readFileSync(join(root, "docs", "testing.md"), "utf8");
    const stated = Number(/It takes ([\d.]+) MB of the installed package/.exec(page)?.[1]);
    expect(Math.abs(megabytes - stated)).toBeLessThan(0.03);
  });

  it("has its man page where npm links it", () => {
    expect(manifest.man).toEqual(["dist/man/p11seal.1"]);
  });

  it("names the packages inside the program, with their licences", () => {
    const notices = readFileSync(join(root, "dist", "cli", "THIRD-PARTY.md"), "utf8");
    const inside = [...notices.matchAll(/^## (\S+) /gm)].map(([, name]) => name);
    expect(inside).toEqual(["@scure/base", "cborg", "hpke", "smol-toml", "yargs-parser"]);
    expect(notices.match(/copyright/gi)?.length).toBeGreaterThanOrEqual(inside.length);
  });

  it.each(Object.entries(manifest.exports))("exports %s from a file that is there", (_, target) => {
    const targets = typeof target === "string" ? [target] : Object.values(target);
    for (const path of targets) expect(existsSync(join(root, path))).toBe(true);
  });

  it("has a program that runs by its own name", () => {
    const program = join(root, manifest.bin["p11seal"] ?? "");
    expect(readFileSync(program, "utf8")).toMatch(/^#!\/usr\/bin\/env node\n/);
    const done = spawnSync(program, ["--version"], {
      encoding: "utf8",
      env: { ...process.env, NODE_OPTIONS: "" },
    });
    expect(done).toMatchObject({ status: 0, stderr: "" });
  });

  it("loads no native module for the library, nor for sealing", () => {
    const code = `
      import { generateKeyPairSync } from "node:crypto";
      import { createRequire } from "node:module";
      const { publicKeyFromSpki, seal } = await import("p11seal");
      const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const key = publicKeyFromSpki(publicKey.export({ format: "der", type: "spki" }));
      await (await seal(Buffer.from("x"), { recipients: [{ publicKey: key }] })).stream().bytes();
      const loaded = Object.keys(createRequire(import.meta.url).cache);
      const shared = process.report.getReport().sharedObjects;
      console.log([...loaded, ...shared].filter((path) => /pkcs11|graphene|libsql|\\.node$/.test(path)));
    `;
    writeFileSync(join(folder, "native.mjs"), code);
    const done = spawnSync(process.execPath, [join(folder, "native.mjs")], {
      encoding: "utf8",
      env: { ...process.env, NODE_OPTIONS: "" },
    });
    expect(done).toMatchObject({ status: 0, stdout: "[]\n" });
  });

  it("seals and opens without its optional packages, and says which one records need", () => {
    const plain = mkdtempSync(join(tmpdir(), "p11seal-plain-"));
    try {
      // A copy: a link would be followed back to all packages of the checkout.
      cpSync(join(root, "dist"), join(plain, "dist"), { recursive: true });
      cpSync(join(root, "package.json"), join(plain, "package.json"));
      for (const name of Object.keys(manifest.dependencies)) {
        cpSync(join(root, "node_modules", name), join(plain, "node_modules", name), {
          recursive: true,
        });
      }
      const key = (type: "x25519" | "ed25519", name: string): void => {
        const { publicKey, privateKey } = generateKeyPairSync(type as "x25519");
        const pem = { format: "pem", type: "pkcs8" } as const;
        writeFileSync(join(plain, name), privateKey.export(pem), { mode: 0o600 });
        writeFileSync(join(plain, `${name}.pub`), publicKey.export({ ...pem, type: "spki" }));
      };
      key("x25519", "recipient");
      key("ed25519", "sender");
      writeFileSync(join(plain, "message"), "hello");
      const p11seal = (line: string): { status: number | null; stderr: string } => {
        const program = [join(plain, "dist/cli/main.js"), ...line.split(" ")];
        const env = { ...process.env, NODE_OPTIONS: "", P11SEAL_HOME: join(plain, "home") };
        return spawnSync(process.execPath, [...NO_SQLITE, ...program], {
          ...{ cwd: plain, env, encoding: "utf8" },
        });
      };
      expect(p11seal("seal -r recipient.pub -o sealed message").status).toBe(0);
      expect(p11seal("open -i recipient -o opened sealed").status).toBe(0);
      expect(readFileSync(join(plain, "opened"), "utf8")).toBe("hello");
      for (const line of ["seal -r recipient.pub --sign-with sender -o s message", "ledger init"]) {
        const { status, stderr } = p11seal(line);
        expect(status).toBe(1);
        expect(stderr).toContain("npm install libsql@");
      }
    } finally {
      rmSync(plain, { recursive: true, force: true });
    }
  });
});
