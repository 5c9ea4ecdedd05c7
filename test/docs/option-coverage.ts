/**
 * Which options the published declarations have, and which of them a program sets. Both by
 * TypeScript's own checker: a property of an object literal counts for the option that the called
 * function takes there, so two options of one name are told apart.
 */
import { join, sep } from "node:path";
import ts from "typescript";

/** Values that options consist of, by their exported names. */
const PARTS: ReadonlySet<string> = new Set([
  ...["CipherParameters", "OutputPaths", "Party", "Recipient", "Sender", "SignatureForm"],
  ...["SystemPaths", "Terms", "AuditEvent"],
]);

/** What the library itself calls and passes, to keys of a program's own making. */
const CALLED_BACK: ReadonlySet<string> = new Set(["OaepDecryption", "UseOptions"]);

/**
 * Options that no program sets, each with where it belongs.
 *
 * @param dist - the built package
 * @param programs - paths of JavaScript files inside the package, which import it by name
 */
export function optionsNotSet(
  dist: string,
  programs: readonly string[],
): { all: string[]; unset: string[] } {
  const entries = ["index", "token/index", "capi/index", "records/index"].map((name) =>
    join(dist, `${name}.d.ts`),
  );
  const program = ts.createProgram([...entries, ...programs], {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    target: ts.ScriptTarget.ES2023,
    strict: true,
    exactOptionalPropertyTypes: true,
    allowJs: true,
    checkJs: true,
    noEmit: true,
    types: ["node"],
  });
  const checker = program.getTypeChecker();
  const sourceOf = (path: string): ts.SourceFile => {
    const source = program.getSourceFile(path);
    if (source === undefined) throw new TypeError(`${path} is not part of the program`);
    return source;
  };
  const options = new Map<string, string>();
  for (const entry of entries) {
    const module = checker.getSymbolAtLocation(sourceOf(entry));
    if (module === undefined) throw new TypeError(`${entry} exports nothing`);
    for (const exported of checker.getExportsOfModule(module)) {
      for (const [place, name] of optionsOf(checker, exported)) {
        if (place.startsWith(dist + sep) && !options.has(place)) options.set(place, name);
      }
    }
  }
  const set = new Set(programs.flatMap((path) => propertiesSet(checker, sourceOf(path))));
  const unset = [...options].filter(([place]) => !set.has(place)).map(([, name]) => name);
  return { all: [...options.values()], unset };
}

type Option = readonly [place: string, name: string];

/** The options that an exported function, class or interface takes. */
function optionsOf(checker: ts.TypeChecker, exported: ts.Symbol): Option[] {
  const isAlias = (exported.flags & ts.SymbolFlags.Alias) !== 0;
  const symbol = isAlias ? checker.getAliasedSymbol(exported) : exported;
  const found: Option[] = [];
  if (CALLED_BACK.has(exported.name)) return found;
  const addAll = (type: ts.Type, owner: string): void => {
    for (const property of checker.getNonNullableType(type).getProperties()) {
      const place = placeOf(property);
      if (place !== undefined) found.push([place, `${owner}: ${property.name}`]);
    }
  };
  const addParameters = (type: ts.Type, owner: string): void => {
    for (const signature of [...type.getCallSignatures(), ...type.getConstructSignatures()]) {
      for (const parameter of signature.getParameters()) {
        const taken = checker.getTypeOfSymbol(parameter);
        const { aliasSymbol, symbol: named } = checker.getNonNullableType(
          taken,
        ) as Partial<ts.Type>;
        const isOptions =
          /^(?:options|request|about|form)$/.test(parameter.name) ||
          /(?:Options|Request)$/.test((aliasSymbol ?? named)?.name ?? "");
        if (isOptions) addAll(taken, owner);
      }
    }
  };
  // Methods only: a function in a property is the caller's own, and the library calls it.
  const addMethods = (type: ts.Type, owner: string): void => {
    for (const property of type.getProperties()) {
      if ((property.flags & ts.SymbolFlags.Method) === 0) continue;
      addParameters(checker.getTypeOfSymbol(property), `${owner}.${property.name}`);
    }
  };
  if ((symbol.flags & (ts.SymbolFlags.Function | ts.SymbolFlags.Class)) !== 0) {
    const type = checker.getTypeOfSymbol(symbol);
    addParameters(type, exported.name);
    addMethods(type, exported.name);
  }
  if ((symbol.flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Interface)) !== 0) {
    const type = checker.getDeclaredTypeOfSymbol(symbol);
    if (exported.name.endsWith("Options") || PARTS.has(exported.name)) addAll(type, exported.name);
    addMethods(type, exported.name);
  }
  return found;
}

/** Where the properties are declared that a program's object literals set. */
function propertiesSet(checker: ts.TypeChecker, source: ts.SourceFile): string[] {
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isObjectLiteralExpression(node)) {
      const type = checker.getContextualType(node);
      const wanted = type && checker.getNonNullableType(type);
      const types = wanted?.isUnion() === true ? wanted.types : wanted ? [wanted] : [];
      for (const { name } of node.properties) {
        if (name === undefined) continue; // { ...spread }
        for (const one of types) {
          const property = one.getProperty(name.getText(source));
          const place = property && placeOf(property);
          if (place !== undefined) found.push(place);
        }
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function placeOf(symbol: ts.Symbol): string | undefined {
  const declaration = symbol.declarations?.[0];
  return declaration && `${declaration.getSourceFile().fileName}:${declaration.pos}`;
}
