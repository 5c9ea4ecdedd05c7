/**
 * What Node's compile cache does, for versions that have none (before 22.1): compiled code in a folder,
 * from one run to the next. V8 refuses code of another V8, but takes damaged code for good, so a
 * digest over the source and what was compiled of it stands before each.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import nodeModule from "node:module";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Script } from "node:vm";

/** What this needs of Node's loader for CommonJS; documented as `require.extensions`. */
interface Loaded {
  exports: unknown;
  require(name: string): unknown;
}

type Load = (module: Loaded, path: string) => void;

/** As a file begins: SHA-256 over source and code. Bytes. */
const DIGEST_BYTES = 32;

const HERE = dirname(fileURLToPath(import.meta.url));

/** Code that was compiled in this run, or that V8 refused. */
const fresh = new Map<string, { readonly source: string; readonly script: Script }>();

let folder = "";

/**
 * From here on, files beside this one are loaded with code from `kept`, and their code is left there.
 * Nobody else may be able to write to that folder. Code from there can't `import()`: `import.js` does.
 */
export function keepCompiled(kept: string): void {
  const extensions = (nodeModule as unknown as { _extensions: Record<string, Load> })._extensions;
  const usual = extensions[".js"];
  if (usual === undefined) return;
  folder = join(kept, `${process.version}-${process.arch}`);
  extensions[".js"] = (module, path) => {
    if (dirname(path) === HERE && basename(path) !== "import.js") load(module, path);
    else usual(module, path);
  };
  process.once("exit", leaveCompiled);
}

/** Writes what was compiled in this run. */
export function leaveCompiled(): void {
  if (fresh.size === 0) return;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const [path, { source, script }] of fresh) {
      const code = script.createCachedData();
      const target = fileOf(path);
      const temporary = `${target}.${randomBytes(6).toString("hex")}`;
      writeFileSync(temporary, Buffer.concat([digest(source, code), code]), {
        flag: "wx",
        mode: 0o600,
      });
      renameSync(temporary, target);
    }
  } catch {
    // A folder that is full or read-only: the next run compiles again.
  }
  fresh.clear();
}

function load(module: Loaded, path: string): void {
  const source = readFileSync(path, "utf8");
  const cachedData = keptOf(path, source);
  const script = new Script(nodeModule.wrap(source), {
    filename: path,
    ...(cachedData === undefined ? {} : { cachedData }),
  });
  if (cachedData === undefined || script.cachedDataRejected === true) {
    fresh.set(path, { source, script });
  }
  const run = script.runInThisContext() as (
    this: unknown,
    exports: unknown,
    require: (name: string) => unknown,
    module: Loaded,
    path: string,
    folder: string,
  ) => void;
  const require = (name: string): unknown => module.require(name);
  run.call(module.exports, module.exports, require, module, path, dirname(path));
}

function keptOf(path: string, source: string): Buffer | undefined {
  try {
    const bytes = readFileSync(fileOf(path));
    const code = bytes.subarray(DIGEST_BYTES);
    return bytes.subarray(0, DIGEST_BYTES).equals(digest(source, code)) ? code : undefined;
  } catch {
    return undefined;
  }
}

/** Two installations have files of the same name. */
function fileOf(path: string): string {
  const name = createHash("sha256").update(path).digest("hex").slice(0, 16);
  return join(folder, `${name}-${basename(path)}`);
}

function digest(source: string, code: Buffer): Buffer {
  return createHash("sha256").update(source).update(code).digest();
}
