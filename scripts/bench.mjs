/**
 * `npm run bench`: how long sealing and opening take, and how much memory; `-- --help` tells of its
 * options. With `--write`, a table replaces the one of its name in docs/performance.md, and the
 * others stay; docs/growth.svg is drawn from that page.
 */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { agent } from "./bench/agent.mjs";
import { ageFormat } from "./bench/age-format.mjs";
import { audit } from "./bench/audit.mjs";
import { binding } from "./bench/binding.mjs";
import { bulk } from "./bench/bulk.mjs";
import { cmsFormat } from "./bench/cms.mjs";
import { growth } from "./bench/growth.mjs";
import { withSections } from "./bench/page.mjs";
import { growthSvg, parseGrowth } from "./bench/plot.mjs";
import { rewrap } from "./bench/rewrap.mjs";
import { segments } from "./bench/segments.mjs";
import { small } from "./bench/small.mjs";
import { ensureBuild } from "./lib/build.mjs";
import { root, runMain } from "./lib/run.mjs";

const PAGE = path.join(root, "docs", "performance.md");
const DRAWING = path.join(root, "docs", "growth.svg");
const PARTS = {
  small,
  agent,
  bulk,
  age: ageFormat,
  cms: cmsFormat,
  growth,
  rewrap,
  audit,
  segments,
  binding,
};

/** Only by name: comparisons that other pages have. */
const BY_NAME = ["segments", "binding"];

/**
 * Certificates for Node's TLS connections, which Node 20 parses at every start. That cost is the
 * machine's, not ours: everything is measured without them, and start-up also with them.
 */
const certificates = process.env["NODE_EXTRA_CA_CERTS"];
delete process.env["NODE_EXTRA_CA_CERTS"];

const USAGE = `npm run bench [-- OPTION ...]

Measures how long sealing and opening take, and how much memory.

  --quick  a small round
  --write  puts what is printed into docs/performance.md
  --help   prints this

Parts, by default all but ${BY_NAME.join(" and ")}:
${Object.keys(PARTS)
  .map((name) => `  --${name}`)
  .join("\n")}`;

/** @returns {{ asked: (option: string) => boolean } | { fault: string }} */
function options() {
  const names = ["quick", "write", "help", ...Object.keys(PARTS)];
  const flag = /** @type {const} */ ({ type: "boolean" });
  try {
    const { values } = parseArgs({ options: Object.fromEntries(names.map((one) => [one, flag])) });
    return { asked: (option) => values[option] === true };
  } catch (error) {
    return { fault: error instanceof Error ? error.message : String(error) };
  }
}

/** @returns {Promise<number>} */
async function main() {
  const given = options();
  if ("fault" in given) {
    console.error(`${given.fault}\n\n${USAGE}`);
    return 2;
  }
  const { asked } = given;
  if (asked("help")) {
    console.log(USAGE);
    return 0;
  }
  await ensureBuild();
  const quick = asked("quick");
  const printed = kept();
  describeMachine();
  const all = Object.keys(PARTS).every((name) => !asked(name));
  for (const [name, part] of Object.entries(PARTS)) {
    if (asked(name) || (all && !BY_NAME.includes(name))) await part({ quick, certificates });
  }
  if (asked("write")) write(printed());
  return 0;
}

function describeMachine() {
  const [cpu] = os.cpus();
  const memory = Math.round(os.totalmem() / 2 ** 30);
  console.log(`- ${cpu?.model ?? "?"}, ${os.cpus().length} cores, ${memory} GiB`);
  const { node, openssl } = process.versions;
  console.log(`- ${os.type()} ${os.release()}, Node ${node}, OpenSSL ${openssl}`);
  for (const [tool, flag] of [
    ["age", "--version"],
    ["openssl", "version"],
  ]) {
    const found = spawnSync(String(tool), [String(flag)], { encoding: "utf8" });
    const is = found.status === 0 ? found.stdout.trim() : "not installed, left out";
    console.log(`- ${tool}: ${is}`);
  }
  if (certificates !== undefined)
    console.log("- NODE_EXTRA_CA_CERTS: set here; left out but where named");
  const load = os.loadavg().map((value) => value.toFixed(1));
  console.log(`- load before: ${load.join(", ")}`);
}

/** Everything that is printed from now on, when asked for. @returns {() => string} */
function kept() {
  let text = "";
  const { stdout } = process;
  const print = stdout.write.bind(stdout);
  stdout.write = (/** @type {any} */ chunk, /** @type {any[]} */ ...rest) => {
    // What `say` says is about the setting up, and is no figure.
    if (!String(chunk).startsWith("> ")) text += String(chunk);
    return print(chunk, ...rest);
  };
  return () => text;
}

/** @param {string} text */
function write(text) {
  fs.writeFileSync(PAGE, withSections(fs.readFileSync(PAGE, "utf8"), text));
  spawnSync(process.execPath, ["node_modules/prettier/bin/prettier.cjs", "--write", PAGE], {
    cwd: root,
  });
  fs.writeFileSync(DRAWING, growthSvg(parseGrowth(fs.readFileSync(PAGE, "utf8"))));
}

await runMain(main);
