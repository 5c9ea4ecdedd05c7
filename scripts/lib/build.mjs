/** From `src/` to `dist/`. */
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { bundle, bundleTesting } from "./bundle.mjs";
import { ensureDependencies } from "./dependencies.mjs";
import { writeManPage } from "./man-page.mjs";
import { prebuildShims } from "./prebuilt.mjs";
import { cache, root, run, say, SetupError } from "./run.mjs";

const DIST = path.join(root, "dist");

/** The C++ sources of the module that test tokens use. */
const SHIM = path.join("src", "testing", "shim");

/** systemd's units of the agent. */
const UNITS = path.join("src", "agent", "units");

/** SHA-256 of the sources of `dist/`. */
const STAMP = path.join(cache, "build.sha256");

/** Installs the packages and builds, unless `dist/` was made from the same sources. */
export async function ensureBuild() {
  ensureDependencies();
  const made = fs.existsSync(path.join(DIST, "cli", "main.js")) && fs.existsSync(STAMP);
  if (made && fs.readFileSync(STAMP, "utf8") === sourcesHash()) return;
  await build();
}

/**
 * Compiles `src/` to `dist/`, bundles the command line, and writes the man page. The new `dist/`
 * takes the old one's place only when it is whole: a type error leaves the old one as it was, and
 * no file of a deleted source stays behind.
 */
export async function build() {
  ensureDependencies();
  say("tsc, esbuild: building dist/");
  const stamp = sourcesHash();
  fs.mkdirSync(cache, { recursive: true, mode: 0o700 });
  const folder = fs.mkdtempSync(path.join(cache, "build-"));
  const made = path.join(folder, "new");
  try {
    const tsc = path.join(root, "node_modules", "typescript", "bin", "tsc");
    if (run(process.execPath, [tsc, "-p", "tsconfig.build.json", "--outDir", made]) !== 0) {
      throw new SetupError("src/ does not compile; see above.");
    }
    for (const room of ["cli", "plugin", "agent"])
      fs.rmSync(path.join(made, room), { recursive: true });
    // Compiled where test tokens are used, on platforms for which there is no prebuilt one.
    fs.cpSync(path.join(root, SHIM), path.join(made, "testing", "shim"), { recursive: true });
    fs.cpSync(path.join(root, UNITS), path.join(made, "systemd"), { recursive: true });
    await prebuildShims(path.join(made, "testing"));
    await bundleTesting(path.join(made, "testing"));
    await bundle(path.join(made, "cli"));
    await writeManPage(path.join(made, "man"));
    if (fs.existsSync(DIST)) fs.renameSync(DIST, path.join(folder, "old"));
    fs.renameSync(made, DIST);
    fs.writeFileSync(STAMP, stamp);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

/** A hash of everything that `dist/` depends on. */
function sourcesHash() {
  const sources = fs.readdirSync(path.join(root, "src"), { recursive: true, encoding: "utf8" });
  const names = [
    ...sources
      .filter((name) => /\.(?:ts|cc|h|service|socket)$/.test(name))
      .map((name) => path.join("src", name)),
    "tsconfig.json",
    "tsconfig.build.json",
    "package-lock.json",
    "package.json",
    path.join("scripts", "lib", "bundle.mjs"),
    path.join("scripts", "lib", "man-page.mjs"),
    path.join("scripts", "lib", "prebuilt.mjs"),
    path.join("scripts", "shim", "exports.map"),
    path.join("scripts", "shim", "runtime.cc"),
  ];
  const hash = createHash("sha256");
  for (const name of names.sort()) {
    const bytes = fs.readFileSync(path.join(root, name));
    hash.update(`${name}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest("hex");
}
