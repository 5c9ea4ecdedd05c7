/**
 * `npm run bench [-- --quick] [-- --small | --bulk] [-- --write]`: how long sealing and opening take,
 * and how much memory. `--write` puts what is printed into docs/performance.md, between its markers.
 */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { bulk } from "./bench/bulk.mjs";
import { small } from "./bench/small.mjs";
import { ensureBuild, ensureDependencies } from "./lib/dependencies.mjs";
import { root, runMain } from "./lib/run.mjs";

const PAGE = path.join(root, "docs", "performance.md");
const [START, END] = ["<!-- npm run bench -- --write: from here -->", "<!-- to here -->"];

const asked = (/** @type {string} */ option) => process.argv.includes(option);

/** @returns {Promise<number>} */
async function main() {
  ensureDependencies();
  await ensureBuild();
  const quick = asked("--quick");
  const printed = kept();
  describeMachine();
  if (!asked("--bulk")) await small({ quick });
  if (!asked("--small")) await bulk({ quick });
  if (asked("--write")) write(printed());
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
  const load = os.loadavg().map((value) => value.toFixed(1));
  console.log(`- load before: ${load.join(", ")}`);
}

/** Everything that is printed from now on, when asked for. @returns {() => string} */
function kept() {
  let text = "";
  const { stdout } = process;
  const print = stdout.write.bind(stdout);
  stdout.write = (/** @type {any} */ chunk, /** @type {any[]} */ ...rest) => {
    text += String(chunk);
    return print(chunk, ...rest);
  };
  return () => text;
}

/** @param {string} text */
function write(text) {
  const page = fs.readFileSync(PAGE, "utf8");
  const [start, end] = [page.indexOf(START), page.indexOf(END)];
  if (start < 0 || end < start) throw new Error(`${PAGE} has no markers`);
  fs.writeFileSync(PAGE, `${page.slice(0, start)}${START}\n\n${text.trim()}\n\n${page.slice(end)}`);
  spawnSync(process.execPath, ["node_modules/prettier/bin/prettier.cjs", "--write", PAGE], {
    cwd: root,
  });
}

await runMain(main);
