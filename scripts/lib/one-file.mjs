/**
 * A program's chunks in one file. A bundler makes a program either of one scope, in which each run
 * makes every function, used or not, or of chunks, of which a run loads those that it needs, from a
 * hundred files. Here each chunk is a function of one file, called once when it is first needed:
 * what no run calls costs hardly more than its bytes.
 */
import path from "node:path";
import ts from "typescript";
import { SetupError } from "./run.mjs";

/**
 * The body of a CommonJS module that does what the entry point does.
 * @param {ReadonlyMap<string, string>} chunks - ES modules, by their paths
 * @param {string} entry
 * @param {(id: string) => string} elsewhere - what to do for `import()` of a module from elsewhere
 */
export function oneFile(chunks, entry, elsewhere) {
  const order = inOrder(chunks, entry);
  if (order.some((name) => OURS.test(chunks.get(name) ?? ""))) {
    throw new SetupError("the bundle: a chunk has a name that the file around it needs");
  }
  const numbers = new Map(order.map((name, i) => [name, i]));
  const parts = order.map((name) => {
    const { head, body, exported } = rewritten(name, chunks, numbers, elsewhere);
    return `()=>{${head}${body}\nreturn{${exported}}}`;
  });
  return [
    // Node takes its time to find a module that it has loaded before.
    "const __modules={},__outer=id=>__modules[id]??=require(id);",
    `const __made=[],__chunk=n=>__made[n]??=__chunks[n](),__chunks=[${parts.join(",\n")}];`,
    `module.exports=__chunk(${numbers.get(entry)});`,
  ].join("\n");
}

/** Names that chunks see, and must not have themselves. */
const OURS = /\b__(?:modules|outer|made|chunks?)\b/;

/**
 * Every chunk that the entry point reaches, those that a chunk imports before itself.
 * @param {ReadonlyMap<string, string>} chunks
 * @param {string} entry
 */
function inOrder(chunks, entry) {
  /** @type {string[]} */
  const order = [];
  /** @type {string[]} */
  const later = [entry];
  /** @type {(name: string, above: readonly string[]) => void} */
  const visit = (name, above) => {
    // What a chunk imports is copied when it starts, so it has to be complete by then.
    if (above.includes(name)) throw new SetupError(`the bundle: ${name} imports itself`);
    if (order.includes(name)) return;
    for (const { to, isLater } of importsOf(name, chunks)) {
      if (isLater) later.push(to);
      else visit(to, [...above, name]);
    }
    order.push(name);
  };
  for (let name = later.shift(); name !== undefined; name = later.shift()) visit(name, []);
  return order;
}

/**
 * @param {string} name
 * @param {ReadonlyMap<string, string>} chunks
 */
function importsOf(name, chunks) {
  /** @type {{ to: string, isLater: boolean }[]} */
  const found = [];
  const walk = (/** @type {ts.Node} */ node) => {
    const from = ts.isImportDeclaration(node) || ts.isExportDeclaration(node);
    const named = from ? node.moduleSpecifier : importedLater(node);
    const to = named && chunkNamed(named, name, chunks);
    if (to !== undefined) found.push({ to, isLater: !from });
    ts.forEachChild(node, walk);
  };
  walk(parsed(name, chunks));
  return found;
}

/**
 * A chunk's parts: what it takes from others, what it does, and what it gives.
 * @param {string} name
 * @param {ReadonlyMap<string, string>} chunks
 * @param {ReadonlyMap<string, number>} numbers
 * @param {(id: string) => string} elsewhere
 */
function rewritten(name, chunks, numbers, elsewhere) {
  const source = parsed(name, chunks);
  /** @type {string[]} */
  const head = [];
  /** @type {string[]} */
  const exported = [];
  /** @type {{ start: number, end: number, text: string }[]} */
  const changes = [];
  const change = (/** @type {ts.Node} */ node, /** @type {string} */ text) =>
    changes.push({ start: node.getStart(source), end: node.getEnd(), text });
  const loading = (/** @type {ts.Expression} */ from) => {
    const to = chunkNamed(from, name, chunks);
    return to === undefined ? `__outer(${from.getText(source)})` : `__chunk(${numbers.get(to)})`;
  };
  const walk = (/** @type {ts.Node} */ node) => {
    if (ts.isImportDeclaration(node)) {
      head.push(`${bindings(node)}${loading(node.moduleSpecifier)};`);
      change(node, "");
    } else if (ts.isExportDeclaration(node)) {
      exported.push(...exports(node, loading));
      change(node, "");
    } else if (ts.isExportAssignment(node)) {
      // A module of CommonJS, whose names nobody knows here.
      throw new SetupError(`the bundle: ${name} has a default export`);
    } else {
      const later = importedLater(node);
      if (later !== undefined) {
        const isChunk = chunkNamed(later, name, chunks) !== undefined;
        if (!ts.isStringLiteral(later)) throw new SetupError(`the bundle: ${name} imports by name`);
        const chunk = `Promise.resolve().then(()=>${loading(later)})`;
        change(node, isChunk ? chunk : elsewhere(later.text));
        return;
      }
      ts.forEachChild(node, walk);
    }
  };
  walk(source);
  return { head: head.join(""), body: changed(source.text, changes), exported: exported.join() };
}

/**
 * `const {…}=` for what an import names; nothing if it names nothing.
 * @param {ts.ImportDeclaration} node
 */
function bindings({ importClause: clause }) {
  if (clause === undefined) return "";
  const { name, namedBindings: named } = clause;
  if (name !== undefined && named === undefined) return `const ${name.text}=`;
  if (name !== undefined || named === undefined) throw new SetupError("the bundle: an import");
  if (ts.isNamespaceImport(named)) return `const ${named.name.text}=`;
  const pairs = named.elements.map((one) => pair(one.propertyName ?? one.name, one.name.text));
  return `const{${pairs.join()}}=`;
}

/**
 * The properties of what a chunk gives.
 * @param {ts.ExportDeclaration} node
 * @param {(from: ts.Expression) => string} loading
 */
function exports({ exportClause: clause, moduleSpecifier: from }, loading) {
  if (clause === undefined || !ts.isNamedExports(clause)) throw new SetupError("the bundle: *");
  return clause.elements.map(({ propertyName, name }) => {
    const inner = (propertyName ?? name).text;
    return pair(name, from === undefined ? inner : `${loading(from)}.${inner}`);
  });
}

/**
 * @param {ts.ModuleExportName} name
 * @param {string} value
 */
function pair({ text }, value) {
  return text === value ? text : `${text}:${value}`;
}

/**
 * What `import()` names.
 * @param {ts.Node} node
 */
function importedLater(node) {
  if (!ts.isCallExpression(node)) return undefined;
  return node.expression.kind === ts.SyntaxKind.ImportKeyword ? node.arguments[0] : undefined;
}

/**
 * @param {ts.Expression} from
 * @param {string} importer
 * @param {ReadonlyMap<string, string>} chunks
 */
function chunkNamed(from, importer, chunks) {
  if (!ts.isStringLiteral(from) || !from.text.startsWith(".")) return undefined;
  const name = path.join(path.dirname(importer), from.text);
  return chunks.has(name) ? name : undefined;
}

/** @type {Map<string, ts.SourceFile>} */
const files = new Map();

/**
 * @param {string} name
 * @param {ReadonlyMap<string, string>} chunks
 */
function parsed(name, chunks) {
  const text = chunks.get(name) ?? "";
  const known = files.get(text);
  if (known !== undefined) return known;
  const file = ts.createSourceFile(name, text, ts.ScriptTarget.ESNext, false, ts.ScriptKind.JS);
  files.set(text, file);
  return file;
}

/**
 * @param {string} text
 * @param {readonly { start: number, end: number, text: string }[]} changes
 */
function changed(text, changes) {
  let [made, at] = ["", 0];
  for (const one of [...changes].sort((a, b) => a.start - b.start)) {
    made += text.slice(at, one.start) + one.text;
    at = one.end;
  }
  return made + text.slice(at);
}
