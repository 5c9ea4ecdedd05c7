/**
 * The command line as a few files. Node takes most of a millisecond to find and load a module, and
 * `p11seal seal` needs a hundred of them; as bundles, with small libraries inside and comments out, it
 * starts in half the time. The library's files stay as they are: their users have bundlers of their own.
 *
 * CommonJS, because it starts sooner than ES modules do; it changes nothing for anybody, since nobody
 * imports the program. Code behind `import()` stays in files of its own, loaded when it is needed.
 */
import fs from "node:fs";
import { builtinModules } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { root, SetupError } from "./run.mjs";

/** Packages that go into the bundle; all others, the native ones first, are loaded as installed. */
const INSIDE = ["cborg", "hpke", "smol-toml", "yargs-parser"];

/**
 * `import()` of what is not inside. What can be required is, without the machinery for ES modules,
 * which would be loaded for it alone.
 * @param {string | null} id
 */
function importOutside(id) {
  if (id === "pkcs11js") {
    return { left: "Promise.resolve().then(() => ({ default: require(", right: ") }))" };
  }
  if (id?.startsWith("node:")) {
    return { left: "Promise.resolve().then(() => require(", right: "))" };
  }
  return null;
}

/** Chunks of what is imported by many and used in few runs, and what their files' names have in common. */
const LATER_CHUNKS = {
  "later-toml": "/smol-toml/",
  "later-hpke": "/hpke",
};

/**
 * What is loaded where it is first used, although it is imported above: those, and built-in modules
 * that cost a millisecond or more.
 */
const LATER = [
  ...[
    "child_process",
    "net",
    "os",
    "readline",
    "stream",
    "timers/promises",
    "tty",
    "util",
    "worker_threads",
  ].map((name) => `node:${name}`),
  ...Object.keys(LATER_CHUNKS).map((name) => `./${name}.js`),
];

/** By the names that others know them by. Each is a bundle of its own: no two run in one thread. */
const PROGRAMS = {
  main: "cli/main.js",
  worker: "body/threads/worker.js",
  child: "token/process/child.js",
};

/**
 * Replaces `cli/` in a compiled tree by its bundle.
 * @param {string} dist
 */
export async function bundle(dist) {
  const made = `${dist}-cli`;
  const inside = [];
  for (const [name, file] of Object.entries(PROGRAMS)) {
    inside.push(...(await bundleProgram(name, path.join(dist, file), made)));
  }
  fs.writeFileSync(path.join(made, "package.json"), '{ "type": "commonjs" }\n');
  fs.writeFileSync(path.join(made, "THIRD-PARTY.md"), notices(packagesOf(inside)));
  fs.chmodSync(path.join(made, "main.js"), 0o755);
  fs.rmSync(path.join(dist, "cli"), { recursive: true });
  fs.renameSync(made, path.join(dist, "cli"));
}

/**
 * Returns the files it is made of.
 * @param {string} name
 * @param {string} file
 * @param {string} folder
 */
async function bundleProgram(name, file, folder) {
  const { rollup } = await import("rollup");
  const { default: ts } = await import("typescript");
  const bundled = await rollup({
    input: { [name]: file },
    plugins: [
      {
        name: "p11seal",
        resolveId: resolve,
        resolveImportMeta: urlOf,
        renderDynamicImport: ({ targetModuleId }) => importOutside(targetModuleId),
      },
    ],
    preserveEntrySignatures: false,
    onwarn(warning) {
      // smol-toml's own, and sound.
      if (warning.code === "CIRCULAR_DEPENDENCY" && warning.message.includes("smol-toml")) return;
      throw new SetupError(`the bundle: ${warning.message}`);
    },
  });
  await bundled.write({
    dir: folder,
    format: "cjs",
    entryFileNames: "[name].js",
    chunkFileNames: name === "main" ? "[name].js" : `${name}-[name].js`,
    hoistTransitiveImports: false,
    dynamicImportInCjs: true,
    banner: (chunk) => (chunk.name === "main" ? "#!/usr/bin/env node" : ""),
    ...(name === "main" ? { manualChunks: chunkOf } : {}),
    plugins: [
      {
        name: "without-comments",
        renderChunk: (code) =>
          ts.transpileModule(code, {
            compilerOptions: {
              removeComments: true,
              target: ts.ScriptTarget.ES2023,
              module: ts.ModuleKind.ESNext,
            },
            transformers: { before: [requiredLater(ts)] },
          }).outputText,
      },
    ],
  });
  await bundled.close();
  return bundled.watchFiles;
}

/**
 * @param {string} id
 * @param {string | undefined} from
 */
function resolve(id, from) {
  if (from === undefined || /^[./]/.test(id) || path.isAbsolute(id)) return null;
  if (id.startsWith("node:") || builtinModules.includes(id)) return { id, external: true };
  const [scope = "", name = ""] = id.split("/");
  const packageName = scope.startsWith("@") ? `${scope}/${name}` : scope;
  if (!INSIDE.includes(packageName)) return { id, external: true };
  return fileURLToPath(import.meta.resolve(id));
}

/**
 * A CommonJS file's own URL.
 * @param {string | null} property
 */
function urlOf(property) {
  return property === "url" ? 'require("node:url").pathToFileURL(__filename).href' : null;
}

/**
 * Turns `const net = require("node:net")` into a function, and each `net.Socket` into `net().Socket`.
 * Rollup writes no other uses of what it imports.
 * @param {typeof import("typescript")} ts
 * @returns {import("typescript").TransformerFactory<import("typescript").SourceFile>}
 */
function requiredLater(ts) {
  return (context) => (file) => {
    const { factory } = context;
    /** @type {Set<string>} */
    const names = new Set();
    const statements = file.statements.map((statement) => {
      if (!ts.isVariableStatement(statement)) return statement;
      const [declared, ...more] = statement.declarationList.declarations;
      const value = declared?.initializer;
      if (declared === undefined || more.length > 0 || value === undefined) return statement;
      if (!ts.isIdentifier(declared.name) || !ts.isCallExpression(value)) return statement;
      const [from] = value.arguments;
      if (!ts.isIdentifier(value.expression) || value.expression.text !== "require")
        return statement;
      if (from === undefined || !ts.isStringLiteral(from) || !LATER.includes(from.text)) {
        return statement;
      }
      names.add(declared.name.text);
      const body = factory.createArrowFunction([], [], [], undefined, undefined, value);
      return factory.createVariableStatement(
        [],
        [factory.createVariableDeclaration(declared.name.text, undefined, undefined, body)],
      );
    });
    /** @type {(node: import("typescript").Node) => import("typescript").Node} */
    const visit = (node) => {
      const visited = ts.visitEachChild(node, visit, context);
      if (!ts.isPropertyAccessExpression(visited)) return visited;
      const { expression, name } = visited;
      if (!ts.isIdentifier(expression) || !names.has(expression.text)) return visited;
      const call = factory.createCallExpression(expression, [], []);
      return factory.createPropertyAccessExpression(call, name);
    };
    const later = factory.updateSourceFile(file, statements);
    return ts.visitEachChild(later, visit, context);
  };
}

/**
 * What is needed together goes together: what every run needs, what sealing and opening share, what
 * opening needs, what is loaded later. Rollup splits the rest by itself.
 * @param {string} id
 * @param {import("rollup").ManualChunkMeta} graph
 */
function chunkOf(id, { getModuleIds, getModuleInfo }) {
  const needs = (/** @type {string} */ name) => {
    const start = [...getModuleIds()].find((one) => one.endsWith(path.normalize(name)));
    return start === undefined ? new Set() : closure(start, getModuleInfo);
  };
  // A program's own file runs when it is loaded, so that nothing others need may be in it.
  if (id.endsWith(path.normalize("/cli/main.js"))) return undefined;
  const later = Object.entries(LATER_CHUNKS).find(([, part]) => id.includes(path.normalize(part)));
  if (later !== undefined) return later[0];
  if (needs("/cli/main.js").has(id)) return "base";
  if (!needs("/cli/commands/open.js").has(id)) return undefined;
  return needs("/cli/commands/seal.js").has(id) ? "core" : "opening";
}

/** @type {Map<string, Set<string>>} */
const closures = new Map();

/**
 * A module and all it imports, but for what it imports later.
 * @param {string} start
 * @param {import("rollup").GetModuleInfo} getModuleInfo
 */
function closure(start, getModuleInfo) {
  const known = closures.get(start);
  if (known !== undefined) return known;
  const all = new Set([start]);
  for (const id of all) for (const next of getModuleInfo(id)?.importedIds ?? []) all.add(next);
  closures.set(start, all);
  return all;
}

/**
 * Folders of the packages that files are from.
 * @param {readonly string[]} files
 */
function packagesOf(files) {
  const folder = path.join(root, "node_modules") + path.sep;
  const inside = files.filter((file) => file.startsWith(folder));
  const names = inside.map((file) => file.slice(folder.length).split(path.sep));
  return [
    ...new Set(
      names.map(([scope = "", name = ""]) => (scope.startsWith("@") ? `${scope}/${name}` : scope)),
    ),
  ]
    .sort()
    .map((name) => path.join(folder, name));
}

/**
 * Who wrote what is inside, and under which terms.
 * @param {readonly string[]} packages
 */
function notices(packages) {
  const parts = packages.map((folder) => {
    const { name, version } = JSON.parse(
      fs.readFileSync(path.join(folder, "package.json"), "utf8"),
    );
    const file = fs.readdirSync(folder).find((one) => /^licen[cs]e(?:\.|$)/i.test(one));
    if (file === undefined) throw new SetupError(`the bundle: ${name} has no licence file`);
    const licence = fs.readFileSync(path.join(folder, file), "utf8").trim();
    return `## ${name} ${version}\n\n${licence.replace(/^/gm, "    ").replace(/ +$/gm, "")}\n`;
  });
  const intro = "The programs in this folder contain these packages:";
  return `# Third-party software\n\n${intro}\n\n${parts.join("\n")}`;
}
