/**
 * The part of docs/performance.md that the bench writes: a description of the machine, and
 * sections.
 */

const [START, END] = ["<!-- npm run bench -- --write: from here -->", "<!-- to here -->"];

/**
 * The page with what the bench printed: the machine's description, and each section in the place of
 * the one with its name, or at the end.
 * @param {string} page @param {string} printed
 */
export function withSections(page, printed) {
  const [start, end] = [page.indexOf(START), page.indexOf(END)];
  if (start < 0 || end < start) throw new Error("the page has no markers");
  const [, ...old] = sectionsOf(page.slice(start + START.length, end));
  const [head, ...made] = sectionsOf(printed);
  const names = new Set(old.map(nameOf));
  const kept = old.map((one) => made.find((other) => nameOf(other) === nameOf(one)) ?? one);
  const added = made.filter((one) => !names.has(nameOf(one)));
  const all = [START, head, ...kept, ...added].join("\n\n");
  return `${page.slice(0, start)}${all}\n\n${page.slice(end)}`;
}

/**
 * The text before the first heading, then each heading with its section. @param {string} text
 */
function sectionsOf(text) {
  return text.split(/^(?=### )/m).map((section) => section.trim());
}

/**
 * A heading without what changes from run to run: sizes at its start, rounds at its end. @param
 * {string} section
 */
function nameOf(section) {
  const [heading = ""] = section.split("\n");
  return heading.replace(/^### (?:\d+ MiB, )?/, "").replace(/ \([^()]*\)$/, "");
}
