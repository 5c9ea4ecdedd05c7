/**
 * The man page, p11seal(1), made from the specifications of the commands as `--help` is. The build
 * writes it, so that it is never older than the program beside it.
 */
import fs from "node:fs";
import path from "node:path";
import { root } from "./run.mjs";

/** @typedef {import("../../src/cli/arguments/syntax.ts").OptionSpec} OptionSpec */
/** @typedef {import("../../src/cli/command.ts").CommandSpec} CommandSpec */
/**
 * @typedef {object} Specifications
 * @property {Required<import("../../src/cli/command.ts").CommandSet>} ALL_COMMANDS
 * @property {typeof import("../../src/cli/arguments/help.ts").usageOf} usageOf
 * @property {typeof import("../../src/cli/arguments/help.ts").EXIT_STATUSES} EXIT_STATUSES
 */

/** When the words in this file last changed: a man page has a date, and a build is reproducible. */
const DATE = "2026-11-28";

/**
 * Writes the page into a folder.
 * @param {string} folder
 */
export async function writeManPage(folder) {
  const { version } = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8"));
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, "p11seal.1"), manPage(await specifications(), version));
}

/**
 * The specifications, which are TypeScript. The commands' code, which they import when they run, is
 * left out.
 * @returns {Promise<Specifications>}
 */
async function specifications() {
  const { build } = await import("esbuild");
  const { outputFiles } = await build({
    absWorkingDir: root,
    stdin: {
      contents:
        'export { ALL_COMMANDS } from "./src/cli/commands/all-commands.js";' +
        'export { EXIT_STATUSES, usageOf } from "./src/cli/arguments/help.js";',
      resolveDir: root,
    },
    bundle: true,
    write: false,
    platform: "node",
    format: "esm",
    plugins: [
      {
        name: "specifications-only",
        setup(bundling) {
          bundling.onResolve({ filter: /./ }, ({ kind, path: id }) =>
            kind === "dynamic-import" ? { path: id, external: true } : undefined,
          );
        },
      },
    ],
    logLevel: "warning",
  });
  const code = outputFiles[0]?.text ?? "";
  return await import(`data:text/javascript,${encodeURIComponent(code)}`);
}

/**
 * The page, in the man macros of groff and mandoc.
 * @param {Specifications} specifications
 * @param {string} version
 */
function manPage({ ALL_COMMANDS, usageOf, EXIT_STATUSES }, version) {
  const { commands, groups } = ALL_COMMANDS;
  /** @type {readonly (readonly [name: string, about: string])[]} */
  const overview = [
    ...commands.filter(({ name }) => !name.includes(" ")).map(nameAndAbout),
    ...Object.entries(groups),
  ];
  return [
    `.TH P11SEAL 1 ${DATE} "p11seal ${version}" "User Commands"`,
    ".SH NAME",
    text("p11seal - seal files to a key on a hardware token; open them with the token"),
    ".SH SYNOPSIS",
    `.B p11seal\n.I command\n${text("[options] [operands]")}`,
    ".SH DESCRIPTION",
    text("A file is sealed to public keys, and opened with the private key that stays on a"),
    text("PKCS#11 token: a smartcard, a USB token, an HSM."),
    ".PP",
    text("These are the commands, and the words that several begin with:"),
    ...overview.flatMap(([name, about]) => [".TP", bold(name), text(about)]),
    ".PP",
    `${bold("p11seal")} ${italic("command")} ${bold("--help")} ${text("shows one of them.")}`,
    ".SH COMMANDS",
    ...commands.flatMap((spec) => section(spec, usageOf(spec))),
    ".SH EXIT STATUS",
    ...EXIT_STATUSES.flatMap((meaning, status) => [".TP", bold(String(status)), text(meaning)]),
    ".SH SEE ALSO",
    text("docs/cli.md in the package: how values are read, files, environment, error codes."),
    "",
  ].join("\n");
}

/**
 * @param {CommandSpec} spec
 * @returns {readonly [string, string]}
 */
function nameAndAbout({ name, describe }) {
  return [name, describe];
}

/**
 * @param {CommandSpec} spec
 * @param {string} usage
 */
function section({ name, describe, options, examples }, usage) {
  return [
    `.SS ${text(`p11seal ${name}`)}`,
    text(`${describe}.`),
    ...verbatim([usage]),
    ...Object.entries(options).flatMap(([option, spec]) => optionEntry(option, spec)),
    ".PP",
    "Examples:",
    ...verbatim(examples.flatMap(([line, does]) => [`# ${does}`, `p11seal ${line}`])),
  ];
}

/** @param {readonly string[]} lines */
function verbatim(lines) {
  return [".PP", ".RS 4", ".EX", ...lines.map(text), ".EE", ".RE"];
}

/**
 * @param {string} name
 * @param {OptionSpec} spec
 */
function optionEntry(name, { alias, type, describe, choices, default: usual, required }) {
  const written = [...(alias === undefined ? [] : [`-${alias}`]), `--${name}`].map(bold).join(", ");
  const notes = [
    ...(required === true ? ["required"] : []),
    ...(choices === undefined ? [] : [`one of: ${choices.join(", ")}`]),
    ...(usual === undefined ? [] : [`default: ${usual}`]),
  ];
  return [
    ".TP",
    type === "string" ? `${written} ${italic("value")}` : written,
    text(notes.length === 0 ? describe : `${describe} [${notes.join("; ")}]`),
  ];
}

/** @param {string} plain */
function bold(plain) {
  return `\\fB${text(plain)}\\fR`;
}

/** @param {string} plain */
function italic(plain) {
  return `\\fI${text(plain)}\\fR`;
}

/** What roff would print as another character, or not at all. */
const ESCAPES = new Map([
  ["\\", "\\e"],
  ["-", "\\-"],
  ["'", "\\(aq"],
  ["`", "\\(ga"],
  ["^", "\\(ha"],
  ["~", "\\(ti"],
]);

/**
 * Text as it is to be shown: in ASCII, and no line of it a request.
 * @param {string} plain
 */
function text(plain) {
  return plain
    .replace(/[\\'`^~-]/g, (character) => ESCAPES.get(character) ?? "")
    .replace(/[^\n -~]/gu, (character) => {
      const code = character.codePointAt(0) ?? 0;
      return `\\[u${code.toString(16).toUpperCase().padStart(4, "0")}]`;
    })
    .replace(/^\./gm, "\\&.");
}
