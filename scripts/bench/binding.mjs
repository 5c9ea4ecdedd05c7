/**
 * `npm run bench -- --binding [--quick]`: the two packages that call modules, pkcs11js and koffi,
 * on SoftHSM: how long a call takes, and how memory grows. Each is measured in a process of its
 * own (one-binding.mjs). docs/tokens.md has the figures.
 */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { findSoftHsm } from "../lib/modules.mjs";
import { root } from "../lib/run.mjs";
import { makeToken, run } from "./token.mjs";

const CHILD = fileURLToPath(new URL("./one-binding.mjs", import.meta.url));
const BINDINGS = ["pkcs11js", "koffi"];

/** @typedef {{ name: string, figures: Record<string, string> }} Measured by what was measured */

/** @param {{ quick: boolean }} options */
export async function binding({ quick }) {
  const softHsm = findSoftHsm();
  if (softHsm === null) {
    console.log("\nSoftHSM: not installed, the bindings are left out");
    return;
  }
  const token = makeToken(softHsm);
  const pem = path.join(path.dirname(token.pem), "rsa.pem");
  try {
    const on = ["--token", "pkcs11:token=bench"];
    for (const [label, type, out] of [
      ["rsa", "rsa:2048", pem],
      ["ec", "ec:p256", `${pem}.ec`],
    ]) {
      const words = ["--label", String(label), "--type", String(type), "-o", String(out)];
      run(["keys", "generate", ...on, ...words], token.env);
    }
    const rounds = [1, 2].flatMap(() => BINDINGS.map((name) => measured(name, token, pem, quick)));
    print(rounds);
  } finally {
    token.remove();
  }
}

/**
 * @param {string} name
 * @param {import("./token.mjs").Token} token
 * @param {string} pem of the RSA key
 * @param {boolean} quick
 * @returns {Measured}
 */
function measured(name, { env, pin, softHsm }, pem, quick) {
  const argv = ["--expose-gc", CHILD, softHsm, pem, quick ? "quick" : "whole"];
  const done = spawnSync(process.execPath, argv, {
    env: { ...env, P11SEAL_BINDING: name, PIN: pin },
    encoding: "utf8",
  });
  if (done.status !== 0) throw new Error(`${name}: ${done.stderr}`);
  return { name, figures: JSON.parse(done.stdout) };
}

/** @param {readonly Measured[]} rounds two of each binding */
function print(rounds) {
  const of = (/** @type {string} */ name) => rounds.filter((round) => round.name === name);
  const heads = BINDINGS.map((name) => `${name} ${versionOf(name)}`);
  console.log("\n### Bindings\n");
  console.log(`| | ${heads.join(" | ")} |`);
  console.log(`| --- | ${heads.map(() => "---").join(" | ")} |`);
  for (const what of Object.keys(rounds[0]?.figures ?? {})) {
    const cells = BINDINGS.map((name) =>
      of(name)
        .map(({ figures }) => figures[what] ?? "–")
        .join(", "),
    );
    console.log(`| ${what} | ${cells.join(" | ")} |`);
  }
}

/** @param {string} name */
function versionOf(name) {
  const manifest = path.join(root, "node_modules", name, "package.json");
  return String(JSON.parse(fs.readFileSync(manifest, "utf8")).version);
}
