/**
 * vitest, for the test of a project that uses it: no dependency of p11seal, so npm gets it into
 * .cache/, once.
 */
import fs from "node:fs";
import path from "node:path";
import { npm } from "./dependencies.mjs";
import { cache, say } from "./run.mjs";

/** The last that runs on Node 20, and one for later Nodes. */
const [ON_NODE_20, ON_LATER] = ["4.1.12", "5.1.2"];

/**
 * The folder of the package, in a `node_modules` with what it needs.
 * @returns {{ path: string } | { reason: string }}
 */
export function ensureVitest() {
  const [major = 0] = process.versions.node.split(".").map(Number);
  const version = major < 22 ? ON_NODE_20 : ON_LATER;
  const folder = path.join(cache, `vitest-${version}`);
  const found = path.join(folder, "node_modules", "vitest");
  if (fs.existsSync(found)) return { path: found };
  say(`npm install vitest@${version} into .cache/`);
  fs.mkdirSync(cache, { recursive: true, mode: 0o700 });
  const making = fs.mkdtempSync(path.join(cache, "vitest-making-"));
  try {
    fs.writeFileSync(path.join(making, "package.json"), "{}\n");
    const quick = ["--fetch-retries=1", "--fetch-timeout=30000", "--silent"];
    const status = npm([
      ...["install", "--prefix", making, "--no-audit", "--no-fund", "--ignore-scripts"],
      ...[...quick, `vitest@${version}`],
    ]);
    if (status !== 0) return { reason: `npm could not get vitest@${version} (status ${status})` };
    fs.rmSync(folder, { recursive: true, force: true });
    fs.renameSync(making, folder);
    return { path: found };
  } finally {
    fs.rmSync(making, { recursive: true, force: true });
  }
}
