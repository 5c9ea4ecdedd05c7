/**
 * The table of docs/tokens.md: what p11seal promises, on six stacks. It follows from what the
 * stacks are stated to offer (test/stacks/stated.json); the run's results (`npm run test:tokens`)
 * confirm it and name the versions.
 */
import fs from "node:fs";
import path from "node:path";
import { cache, root } from "./run.mjs";

/**
 * @typedef {object} Stated
 * @property {Record<string, string>} rows
 * @property {Record<string, StatedStack>} stacks
 */
/**
 * @typedef {object} StatedStack
 * @property {string} title
 * @property {Record<string, { why: string }>} lacks
 * @property {Record<string, string>} ways
 */
/**
 * @typedef {object} StackResult
 * @property {string} name
 * @property {string} versions
 * @property {string} node
 * @property {Record<string, { outcome: "kept" | "not offered" | "failed", how?: string }>} rows
 */

/** Where `npm run test:tokens` leaves its results. */
export const RESULTS = path.join(cache, "token-results.json");

export const PAGE = path.join(root, "docs", "tokens.md");

const BEGIN = "<!-- made by scripts/token-table.mjs: begin -->";
const END = "<!-- made by scripts/token-table.mjs: end -->";

/** @returns {Stated} */
export function readStated() {
  return JSON.parse(fs.readFileSync(path.join(root, "test/stacks/stated.json"), "utf8"));
}

/** @returns {StackResult[] | null} null when no run left any */
export function readResults() {
  return fs.existsSync(RESULTS) ? JSON.parse(fs.readFileSync(RESULTS, "utf8")) : null;
}

/**
 * The table and its notes, without what names versions.
 * @param {Stated} stated
 * @returns {string}
 */
export function renderTable({ rows, stacks }) {
  const names = Object.keys(stacks);
  /** @type {string[]} */
  const notes = [];
  const note = (/** @type {string} */ text) => {
    if (!notes.includes(text)) notes.push(text);
    return notes.indexOf(text) + 1;
  };
  const cell = (/** @type {string} */ row, /** @type {string} */ name) => {
    const { lacks = {}, ways = {} } = stacks[name] ?? {};
    const lack = lacks[row];
    if (lack !== undefined) return `no [${note(lack.why)}]`;
    const way = ways[row];
    return way === undefined ? "yes" : `yes, ${shortWay(way)}`;
  };
  const lines = Object.entries(rows).map(([row, promise]) => [
    promise,
    ...names.map((name) => cell(row, name)),
  ]);
  const table = aligned([["", ...names.map((name) => stacks[name]?.title ?? name)], ...lines]);
  return [
    table,
    "",
    "U: by `C_UnwrapKey`; D: by `C_Decrypt` with OAEP; R: by `C_Decrypt` of raw RSA, the padding undone",
    "on the host. Not offered, because:",
    "",
    ...notes.map((text, i) => {
      const number = `${i + 1}. `;
      return wrapped(`${number}${text}`, " ".repeat(number.length));
    }),
  ].join("\n");
}

/** As in "U", "D", "R". */
function shortWay(/** @type {string} */ way) {
  if (way.startsWith("C_UnwrapKey")) return "U";
  return way.startsWith("C_Decrypt CKM_RSA_X_509") ? "R" : "D";
}

/**
 * A table with columns of even width, as Prettier wants it.
 * @param {string[][]} rows the first is the heading
 */
export function aligned(rows) {
  const widths = (rows[0] ?? []).map((_, i) =>
    Math.max(3, ...rows.map((row) => (row[i] ?? "").length)),
  );
  const line = (/** @type {string[]} */ cells) =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`;
  const [head = [], ...body] = rows;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...body.map(line)].join("\n");
}

/** One sentence: what the results were got with. */
export function renderVersions(/** @type {readonly StackResult[]} */ results) {
  const what = results.map(({ versions }) => versions).join("; ");
  return wrapped(`Run last with ${what}; Node ${results[0]?.node ?? ""}.`);
}

/**
 * In lines of the pages' length.
 * @param {string} text
 * @param {string} [indent] before each line but the first
 */
function wrapped(text, indent = "") {
  /** @type {string[]} */
  const lines = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > COLUMNS) {
      lines.push(line);
      line = `${indent}${word}`;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line].join("\n");
}

const COLUMNS = 100;

/**
 * What stands between the page's markers: the table, and the sentence about versions.
 * @param {string} page
 * @returns {{ before: string, table: string, versions: string, after: string }}
 */
export function splitPage(page) {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`docs/tokens.md lacks "${BEGIN}" or "${END}"`);
  const inside = page.slice(begin + BEGIN.length, end).trim();
  const at = inside.lastIndexOf("\n\nRun last with ");
  return {
    before: page.slice(0, begin + BEGIN.length),
    table: at < 0 ? inside : inside.slice(0, at),
    versions: at < 0 ? "" : inside.slice(at).trim(),
    after: page.slice(end),
  };
}

/**
 * What the results say against what is stated; empty when nothing does.
 * @param {Stated} stated
 * @param {readonly StackResult[]} results
 * @returns {string[]}
 */
export function contradictions({ rows, stacks }, results) {
  return results.flatMap(({ name, rows: outcomes }) =>
    Object.keys(rows).flatMap((row) => {
      const isLacking = stacks[name]?.lacks[row] !== undefined;
      const wanted = isLacking ? "not offered" : "kept";
      const found = outcomes[row]?.outcome ?? "not run";
      return found === wanted ? [] : [`${name}: "${rows[row]}" is ${found}, stated as ${wanted}`];
    }),
  );
}
