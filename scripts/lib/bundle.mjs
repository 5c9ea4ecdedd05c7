/**
 * The command line as a few files. Node takes most of a millisecond to find and load a module, and
 * `p11seal seal` needs a hundred of them, so the command line is bundled, with small libraries
 * inside. The library's files stay as they are: its users have bundlers of their own.
 *
 * The bundles are CommonJS, which starts sooner than ES modules do.
 */
import { createHash } from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { root, SetupError } from "./run.mjs";

/**
 * Packages that go into the bundles. All others, the native ones first, are loaded as installed.
 */
const INSIDE = ["@scure/base", "cborg", "hpke", "smol-toml", "yargs-parser"];

/** The bundles that a process starts with, by name. All but `worker` load one of the others. */
const STARTERS = {
  main: "src/cli/main.ts",
  worker: "src/body/threads/worker.ts",
  child: "src/cli/token-start.ts",
  "age-plugin-p11": "src/plugin/age-plugin-p11.ts",
};

/** The programs that they load, with the code that an earlier run has kept. */
const PROGRAMS = {
  "run-all": "src/cli/run-all.ts",
  "run-child": "src/token/process/child.ts",
  "run-plugin": "src/plugin/run-plugin.ts",
};

/**
 * Those that `main` loads for commands that people wait for, with short names for whatever has one:
 * what a bundle has is read on each run, used or not. Where a stack is wanted, for people who read
 * one, `main` loads `run-all` instead.
 */
const SHORTENED = {
  "run-open": "src/cli/run-open.ts",
  "run-seal": "src/cli/run-seal.ts",
  "run-messages": "src/cli/run-messages.ts",
};

/** Those that people and other programs start. */
const STARTED = ["main.js", "age-plugin-p11.js"];

/**
 * Built-in modules that cost a millisecond or more: loaded where they are used, not where imported.
 */
const SLOW =
  /^node:(?:child_process|fs\/promises|net|os|readline|stream|timers\/promises|tty|util|worker_threads)$/;

/** What `import.meta.url` becomes: a URL once it is needed, as most runs need none. */
const FILE_URL = 'const fileUrl={toString:()=>require("node:url").pathToFileURL(__filename).href};';

/**
 * Packages whose `import()` becomes `require`, as that of built-in modules does, which spares Node
 * its machinery for ES modules.
 */
const REQUIRED = /^(?:pkcs11js|koffi)$/;

/**
 * Bundles the programs into a folder.
 * @param {string} folder
 */
export async function bundle(folder) {
  const made = [
    await started(folder, STARTERS),
    ...(await each(PROGRAMS, (name, source) => loaded(folder, name, source, false))),
    ...(await each(SHORTENED, (name, source) => loaded(folder, name, source, true))),
  ];
  fs.writeFileSync(path.join(folder, IMPORTER), "module.exports = (name) => import(name);\n");
  fs.writeFileSync(path.join(folder, "package.json"), '{ "type": "commonjs" }\n');
  fs.writeFileSync(path.join(folder, "THIRD-PARTY.md"), notices([...new Set(made.flat())]));
  for (const name of STARTED) fs.chmodSync(path.join(folder, name), 0o755);
}

/**
 * @param {Record<string, string>} programs
 * @param {(name: string, source: string) => Promise<string[]>} make
 */
function each(programs, make) {
  return Promise.all(Object.entries(programs).map(([name, source]) => make(name, source)));
}

/**
 * Writes the bundles that a process starts with, and tells what they are made of.
 * @param {string} folder
 * @param {Record<string, string>} entryPoints
 */
async function started(folder, entryPoints) {
  const { metafile } = await built({
    entryPoints,
    outdir: folder,
    format: "cjs",
    banner: { js: `"use strict";${FILE_URL}` },
  });
  return Object.keys(metafile.inputs);
}

/**
 * Writes a bundle that is loaded with kept code (`src/store/code-cache.ts`), and tells what it is
 * made of. For Node it is a module; as a script it gives the function that Node would make of it:
 * what was read from the file is compiled as it is. Its hash is in front of it, as what loads it
 * has no time to make one.
 * @param {string} folder
 * @param {string} name
 * @param {string} source
 * @param {boolean} minifyIdentifiers
 */
async function loaded(folder, name, source, minifyIdentifiers) {
  // Loaded here, like esbuild: a fresh clone has no packages yet.
  const { oneFile } = await import("./one-file.mjs");
  const { metafile, outputFiles } = await built({
    entryPoints: { [name]: source },
    outdir: folder,
    format: "esm",
    splitting: true,
    chunkNames: "[hash]",
    write: false,
    minifyIdentifiers,
  });
  const chunks = outputFiles.map((file) => /** @type {const} */ ([file.path, file.text]));
  const file = path.join(folder, `${name}.js`);
  const text =
    '(f=>typeof module==="object"?f(exports,require,module,__filename,__dirname):f)' +
    `((exports,require,module,__filename,__dirname)=>{"use strict";${FILE_URL}\n` +
    `${oneFile(new Map(chunks), file, elsewhere)}\n})`;
  const hash = createHash("sha256").update(text).digest("hex");
  fs.writeFileSync(file, `/*${hash}*/${text}`);
  return Object.keys(metafile.inputs);
}

/**
 * @param {import("esbuild").BuildOptions} options
 */
async function built(options) {
  const { build } = await import("esbuild");
  const { metafile, outputFiles = [] } = await build({
    absWorkingDir: root,
    bundle: true,
    platform: "node",
    target: "node20.19",
    // Less to read and parse.
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: "none",
    // What loads a bundle takes each byte for a character.
    charset: "ascii",
    define: { "import.meta.dirname": "__dirname", "import.meta.url": "fileUrl" },
    external: outside(),
    plugins: [whenUsed, testTokens, parserInBundle],
    logLevel: "warning",
    ...options,
    metafile: true,
  });
  return { metafile, outputFiles };
}

/**
 * `p11seal/testing` for `require()`, in one file: jest and other runners that read CommonJS can't
 * load ES modules with it. Its C++ sources lie beside it.
 * @param {string} folder
 */
export async function bundleTesting(folder) {
  const { build } = await import("esbuild");
  await build({
    absWorkingDir: root,
    entryPoints: ["src/testing/index.ts"],
    outfile: path.join(folder, "index.cjs"),
    bundle: true,
    platform: "node",
    target: "node20.19",
    format: "cjs",
    define: { "import.meta.dirname": "__dirname", "import.meta.url": "fileUrl" },
    banner: { js: `"use strict";${FILE_URL}` },
    external: outside(),
    plugins: [whenUsed],
    logLevel: "warning",
  });
}

/** The packages that are loaded as installed. */
function outside() {
  const { dependencies, optionalDependencies, peerDependencies } = JSON.parse(read("package.json"));
  const all = Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies });
  return all.filter((name) => !INSIDE.includes(name));
}

/**
 * Leaves `p11seal/testing` out of the command line, which loads the package's own files of it: they
 * find their C++ sources beside them.
 * @type {import("esbuild").Plugin}
 */
const testTokens = {
  name: "test-tokens",
  setup(build) {
    build.onResolve({ filter: /\/testing\/index\.js$/ }, () => ({
      path: "../testing/index.js",
      external: true,
    }));
  },
};

/**
 * yargs-parser makes itself a `require`, for which Node has to load a module; in a bundle it is
 * there.
 * @type {import("esbuild").Plugin}
 */
const parserInBundle = {
  name: "parser-in-bundle",
  setup(build) {
    build.onLoad({ filter: /\/yargs-parser\/build\/lib\/index\.js$/ }, ({ path: file }) => {
      const parts = fs
        .readFileSync(file, "utf8")
        .split(/^(?:import \{|const require =) createRequire.*$/m);
      if (parts.length !== 3) throw new SetupError(`the bundle: ${file}`);
      return { contents: parts.join("") };
    });
  },
};

/**
 * Puts a module in place of each that is to be loaded later: esbuild runs what is required only
 * when it is needed, and the getters of a slow module load it when one of its members is.
 * @type {import("esbuild").Plugin}
 */
const whenUsed = {
  name: "when-used",
  setup(build) {
    const require = createRequire(import.meta.url);
    const namespace = "when-used";
    const texts = sources();
    // In chunks, `import()` of a stand-in would give no names (`elsewhere` does).
    const isSplit = build.initialOptions.splitting === true;
    build.onResolve({ filter: SLOW }, (from) =>
      from.namespace === namespace || (isSplit && from.kind === "dynamic-import")
        ? { path: from.path, external: true }
        : { path: from.path, namespace },
    );
    build.onResolve({ filter: REQUIRED }, (from) => {
      if (from.namespace === namespace) return { path: from.path, external: true };
      if (from.kind !== "dynamic-import") {
        throw new SetupError(`the bundle: ${from.path} is imported at once by ${from.importer}`);
      }
      return isSplit ? { path: from.path, external: true } : { path: from.path, namespace };
    });
    build.onLoad({ filter: SLOW, namespace }, ({ path: id }) => {
      const getters = membersUsed(id, Object.keys(require(id)), texts).map(
        (name) => `get ${name}() { return require("${id}").${name}; }`,
      );
      return { contents: `module.exports = { ${getters.join(", ")} };` };
    });
    build.onLoad({ filter: REQUIRED, namespace }, ({ path: id }) => ({
      contents: `module.exports = require("${id}");`,
    }));
  },
};

/**
 * Those of a module's members that the sources import by name. Whoever imports the module gets a
 * copy of all that are here, which takes time for each file that does.
 * @param {string} id
 * @param {readonly string[]} all
 * @param {readonly string[]} texts the sources
 */
function membersUsed(id, all, texts) {
  const imports = new RegExp(`(?:^import ([^;]+?) from|\\bimport\\()\\s*"${id}"`, "gm");
  const used = texts.flatMap((text) => [...text.matchAll(imports)].map(([, what]) => what));
  if (!used.every((what) => what !== undefined && /^(?:type )?\{/.test(what))) return all;
  const words = new Set(used.flatMap((what) => what?.match(/\w+/g) ?? []));
  return all.filter((name) => words.has(name));
}

/** Every source. */
function sources() {
  const names = fs.readdirSync(path.join(root, "src"), { recursive: true, encoding: "utf8" });
  return names.filter((name) => name.endsWith(".ts")).map((name) => read("src", name));
}

/**
 * The file that does `import()` for the bundles, and is compiled on each run. In code that was kept
 * from an earlier run it fails before Node 22: V8 does not keep with it who imports
 * (crbug.com/v8/10284).
 */
const IMPORTER = "import.js";

/**
 * What a bundle does where it imports a module from elsewhere.
 * @param {string} id
 */
function elsewhere(id) {
  const name = JSON.stringify(id);
  const isRequired = id.startsWith("node:") || REQUIRED.test(id);
  // As `import()` would give it: with what it exports, and all of that as the default.
  const module = `(m=>Object.assign(Object.create(m),{default:m}))(require(${name}))`;
  return isRequired ? `Promise.resolve().then(()=>${module})` : `require("./${IMPORTER}")(${name})`;
}

/**
 * Who wrote the packages inside, and under which terms.
 * @param {readonly string[]} files that the bundles are made of
 */
function notices(files) {
  const packages = files.map((file) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1]);
  const parts = [...new Set(packages)].sort().flatMap((name) => {
    if (name === undefined) return [];
    const folder = path.join("node_modules", name);
    const { version } = JSON.parse(read(folder, "package.json"));
    const file = fs
      .readdirSync(path.join(root, folder))
      .find((one) => /^licen[cs]e(?:\.|$)/i.test(one));
    if (file === undefined) throw new SetupError(`the bundle: ${name} has no licence file`);
    const licence = read(folder, file).trim().replace(/^/gm, "    ").replace(/ +$/gm, "");
    return [`## ${name} ${version}\n\n${licence}\n`];
  });
  const intro = "The programs in this folder contain these packages:";
  return `# Third-party software\n\n${intro}\n\n${parts.join("\n")}`;
}

/** @param {readonly string[]} parts of the path of a file in the repository */
function read(...parts) {
  return fs.readFileSync(path.join(root, ...parts), "utf8");
}
