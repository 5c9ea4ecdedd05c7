/**
 * `npm run test:nodes [-- VERSION… TEST…]`: the test suite, or these tests, on other versions of
 * Node, taken from npm's `node` package. SoftHSM runs on the OpenSSL inside Node, so the version
 * matters.
 */
import fs from "node:fs";
import path from "node:path";
import { ensureDependencies, npm } from "./lib/dependencies.mjs";
import { cache, capture, root, runMain, runToEnd, say, SetupError } from "./lib/run.mjs";

const VERSIONS = ["22", "24"];

await runMain(async () => {
  ensureDependencies();
  const given = process.argv.slice(2);
  const asked = given.filter((word) => /^\d/.test(word));
  const tests = given.filter((word) => !/^\d/.test(word));
  const outcomes = [];
  for (const version of asked.length > 0 ? asked : VERSIONS) {
    const { node, exact } = ensureNode(version);
    say(`tests on Node ${exact}`);
    const bin = path.dirname(node) + path.delimiter + (process.env["PATH"] ?? "");
    const env = { ...process.env, PATH: bin };
    const status = await runToEnd(node, [path.join("scripts", "test.mjs"), ...tests], env);
    outcomes.push({ exact, status });
  }
  for (const { exact, status } of outcomes) {
    say(`Node ${exact}: ${status === 0 ? "all passed" : `FAILED with status ${status}`}`);
  }
  return outcomes.every(({ status }) => status === 0) ? 0 : 1;
});

/**
 * That version of Node below .cache/nodes, installed if need be.
 * @param {string} version a major version, or an exact one
 */
function ensureNode(version) {
  if (!/^\d+(?:\.\d+){0,2}$/.test(version)) {
    throw new SetupError(`"${version}" is not a version of Node, such as 22 or 22.13.0.`);
  }
  const folder = path.join(cache, "nodes", version);
  const name = process.platform === "win32" ? "node.exe" : "node";
  const node = path.join(folder, "node_modules", "node", "bin", name);
  if (capture(node, ["--version"]).status !== 0) {
    say(`npm install node@${version} into ${path.relative(root, folder)}`);
    fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(path.join(folder, "package.json"), '{ "private": true }\n');
    npm(["install", "--prefix", folder, "--no-audit", "--no-fund", `node@${version}`]);
  }
  const { status, output } = capture(node, ["--version"]);
  if (status !== 0) throw new SetupError(`node@${version} could not be installed; see above.`);
  return { node, exact: output.trim().replace(/^v/, "") };
}
