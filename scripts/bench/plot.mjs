/**
 * The table of `growth.mjs` and a drawing of it, an SVG on logarithmic axes: time above, memory
 * below. Drawn from the table's text, so that the drawing in docs/ shows what the page beside it
 * says. Two colours that differ on light and dark backgrounds, and two shapes for those who can't
 * tell colours apart.
 */

/** Starts the section's heading. */
export const HEADING = "growth: zeros to /dev/null, by size";

const COLUMNS = ["seal s", "GB/s", "MiB", "open s", "GB/s", "MiB"];
const UNITS = ["KiB", "MiB", "GiB"];

export function tableHead() {
  return `| size | ${COLUMNS.join(" | ")} |\n| ---: |${" ---: |".repeat(COLUMNS.length)}`;
}

/**
 * @typedef {{ ms: number, rssMiB: number | null }} Run
 * @param {number} bytes @param {Run} seal @param {Run | undefined} open absent: not measured
 */
export function growthRow(bytes, seal, open) {
  const cells = [seal, open].flatMap((run) => {
    if (run === undefined) return ["–", "–", "–"];
    // A short run is all start: there is no rate.
    const rate = run.ms < 1000 ? "–" : (bytes / run.ms / 1e6).toFixed(2);
    return [(run.ms / 1000).toFixed(3), rate, run.rssMiB?.toFixed(0) ?? "–"];
  });
  return `| ${sizeText(bytes)} | ${cells.join(" | ")} |`;
}

/**
 * @typedef {{ bytes: number, seconds: number, mib: number | undefined }} Point
 * @typedef {{ name: "seal" | "open", points: Point[] }} Series
 */

/**
 * The figures of the table in a page; empty without one. @param {string} page @returns {Series[]}
 */
export function parseGrowth(page) {
  const from = page.indexOf(`### ${HEADING}`);
  if (from < 0) return [];
  const [section = ""] = page.slice(from + 4).split(/^#/m);
  const rows = section
    .split("\n")
    .filter((line) => /^\|\s*\d/.test(line))
    .map((line) => line.split("|").map((cell) => cell.trim()));
  const series = /** @type {const} */ (["seal", "open"]).map((name, which) => ({
    name,
    points: rows.flatMap((cells) => {
      const [seconds, , mib] = cells.slice(2 + 3 * which).map(Number);
      if (seconds === undefined || Number.isNaN(seconds)) return [];
      const known = mib === undefined || Number.isNaN(mib) ? undefined : mib;
      return [{ bytes: bytesOf(cells[1] ?? ""), seconds, mib: known }];
    }),
  }));
  return series.filter(({ points }) => points.length > 0);
}

/** @param {number} bytes */
function sizeText(bytes) {
  const unit = Math.min(2, Math.floor(Math.log2(bytes) / 10) - 1);
  return `${bytes / 1024 ** (unit + 1)} ${UNITS[unit] ?? ""}`;
}

/** @param {string} text */
function bytesOf(text) {
  const [amount, unit = ""] = text.split(" ");
  return Number(amount) * 1024 ** (UNITS.indexOf(unit) + 1);
}

const [WIDTH, LEFT, RIGHT] = [720, 70, 690];
const TIME = { top: 50, bottom: 300, from: 0.01, to: 100, label: "time, seconds" };
const MEMORY = { top: 350, bottom: 470, from: 10, to: 1000, label: "peak memory, MiB" };
const HEIGHT = 530;
const SIZES = { from: 2 ** 10, to: 2 ** 34 };
const GREY = "#808080";
/** @type {Record<string, { colour: string, dash: string }>} */
const LOOKS = {
  seal: { colour: "#1f83d6", dash: "" },
  open: { colour: "#d9730d", dash: "6 4" },
};

/** @typedef {typeof TIME} Panel */

/** @param {Series[]} series */
export function growthSvg(series) {
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" font-family="sans-serif" font-size="12">`,
    "<title>Sealing and opening zeros to /dev/null: time and peak memory by size</title>",
    ...series.flatMap(({ name }, index) => legend(name, index)),
    ...axes(TIME),
    ...axes(MEMORY),
    text(LEFT + (RIGHT - LEFT) / 2, HEIGHT - 12, "size of the file", "middle"),
    ...series.flatMap((one) => line(TIME, one, ({ seconds }) => seconds, "s")),
    ...series.flatMap((one) => line(MEMORY, one, ({ mib }) => mib, "MiB")),
    "</svg>",
  ];
  return `${parts.join("\n")}\n`;
}

/** @param {Panel} panel */
function axes(panel) {
  const { top, bottom, from, to, label } = panel;
  const lines = [];
  for (let value = from; value <= to * 1.001; value *= 10) {
    const y = down(panel, value);
    lines.push(stroke(LEFT, y, RIGHT, y), text(LEFT - 8, y + 4, String(+value.toFixed(2)), "end"));
  }
  for (let size = SIZES.from; size <= SIZES.to; size *= 16) {
    const x = across(size);
    lines.push(stroke(x, top, x, bottom), text(x, bottom + 18, sizeText(size), "middle"));
  }
  const middle = (top + bottom) / 2;
  const turned = `transform="rotate(-90 18 ${middle})"`;
  return [...lines, text(18, middle, label, "middle", turned)];
}

/**
 * A series in a panel: what was measured, each with its figure as a tooltip. @param {Panel} panel
 * @param {Series} series @param {(point: Point) => number | undefined} of @param {string} unit
 */
function line(panel, { name, points }, of, unit) {
  const { colour, dash } = look(name);
  const placed = points.flatMap((point) => {
    const value = of(point);
    if (value === undefined) return [];
    const title = `${name} ${sizeText(point.bytes)}: ${value} ${unit}`;
    return [{ x: across(point.bytes), y: down(panel, value), title }];
  });
  const path = placed.map(({ x, y }) => `${x},${y}`).join(" ");
  return [
    `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2" stroke-dasharray="${dash}"/>`,
    ...placed.map(({ x, y, title }) => mark(name, x, y, title)),
  ];
}

/** @param {string} name @param {number} index */
function legend(name, index) {
  const x = LEFT + 90 * index;
  const { colour, dash } = look(name);
  return [
    `<line x1="${x}" y1="24" x2="${x + 36}" y2="24" stroke="${colour}" stroke-width="2" stroke-dasharray="${dash}"/>`,
    mark(name, x + 18, 24),
    text(x + 44, 28, name, "start"),
  ];
}

/**
 * A circle for sealing, a square for opening. @param {string} name @param {number} x @param
 * {number} y @param {string} [title]
 */
function mark(name, x, y, title) {
  const { colour } = look(name);
  const inside = title === undefined ? "" : `<title>${title}</title>`;
  if (name === "seal")
    return `<circle cx="${x}" cy="${y}" r="4" fill="${colour}">${inside}</circle>`;
  const [left, top] = [rounded(x - 4), rounded(y - 4)];
  return `<rect x="${left}" y="${top}" width="8" height="8" fill="${colour}">${inside}</rect>`;
}

/** @param {number} x1 @param {number} y1 @param {number} x2 @param {number} y2 */
function stroke(x1, y1, x2, y2) {
  return `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="${GREY}" stroke-opacity="0.35"/>`;
}

/**
 * @param {number} x @param {number} y @param {string} words @param {string} anchor @param {string}
 *   [more]
 */
function text(x, y, words, anchor, more = "") {
  const rest = more === "" ? "" : ` ${more}`;
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" fill="${GREY}"${rest}>${words}</text>`;
}

/** @param {string} name */
function look(name) {
  return LOOKS[name] ?? { colour: GREY, dash: "" };
}

/** @param {number} size */
function across(size) {
  const part = Math.log(size / SIZES.from) / Math.log(SIZES.to / SIZES.from);
  return rounded(LEFT + part * (RIGHT - LEFT));
}

/** @param {Panel} panel @param {number} value */
function down({ top, bottom, from, to }, value) {
  const part = Math.log(value / from) / Math.log(to / from);
  return rounded(bottom - part * (bottom - top));
}

/** @param {number} value */
function rounded(value) {
  return Math.round(value * 10) / 10;
}
