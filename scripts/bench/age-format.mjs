/**
 * `npm run bench -- --age [--quick]`: age's format, by p11seal and by age: large files; many small
 * ones with a key on SoftHSM and one PIN; and one file by age itself, through the plugin.
 */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { findSoftHsm } from "../lib/modules.mjs";
import { root } from "../lib/run.mjs";
import { makeTestEnvironment } from "../lib/test-environment.mjs";
import { inFolder, keysIn, MIB, p11seal, randomFile, run, table } from "./measure.mjs";

/** @typedef {import("./measure.mjs").Case} Case @typedef {import("./measure.mjs").At} At */

const PIN = "1234";

/** @param {{ quick: boolean }} options */
export async function ageFormat({ quick }) {
  if (spawnSync("age", ["--version"]).error !== undefined) {
    console.log("\nage's format: age is not installed, left out");
    return;
  }
  const rounds = quick ? 3 : 9;
  const size = quick ? 256 * MIB : 1024 * MIB;
  await inFolder(async (folder) => {
    const at = keysIn(folder);
    randomFile(at("plain"), size);
    await table(`${size / MIB} MiB, age's format (${rounds} rounds)`, large(at), rounds);
  });
  const softHsm = findSoftHsm();
  if (softHsm === null) console.log("\nSoftHSM: not installed, left out");
  else await onToken(softHsm, quick ? 50 : 200, rounds);
}

/** @param {At} at @returns {Case[]} */
function large(at) {
  run("age-keygen", "-o", at("age.key"));
  const { stdout } = spawnSync("age-keygen", ["-y", at("age.key")], { encoding: "utf8" });
  const to = stdout.trim();
  run("age", "-r", to, "-o", at("plain.age"), at("plain"));
  const clean = [at("o")];
  const plain = { reads: [at("plain")], clean };
  const sealed = { reads: [at("plain.age")], clean };
  const seal = p11seal("seal", "-q", "--format", "age", "-r", to, "-o", at("o"), at("plain"));
  const open = p11seal("open", "-q", "-i", at("age.key"), "-o", at("o"), at("plain.age"));
  const [encrypt, decrypt] = [
    ["age", "-r", to, "-o", at("o"), at("plain")],
    ["age", "-d", "-i", at("age.key"), "-o", at("o"), at("plain.age")],
  ];
  return [
    { name: "age -e", command: encrypt, ...plain },
    { name: "p11seal seal --format age", command: seal, ...plain },
    { name: "age -d", command: decrypt, ...sealed },
    { name: "p11seal open", command: open, ...sealed, base: "age -d" },
  ];
}

/** @param {string} softHsm @param {number} count @param {number} rounds */
async function onToken(softHsm, count, rounds) {
  const { env: made, remove } = makeTestEnvironment(softHsm, { reason: "not needed" });
  const home = String(made["P11SEAL_HOME"]);
  const at = (/** @type {string} */ name) => path.join(home, name);
  const env = {
    ...made,
    P11SEAL_MODULE: softHsm,
    P11SEAL_PIN_SOURCE: "env:PIN",
    P11SEAL_SO_PIN_SOURCE: "env:PIN",
    PIN,
    PATH: `${home}${path.delimiter}${process.env["PATH"] ?? ""}`,
  };
  const work = (/** @type {string[]} */ ...args) => {
    const [program = "", ...rest] = p11seal(...args);
    const done = spawnSync(program, rest, { encoding: "utf8", env });
    if (done.status !== 0) throw new Error(done.stderr);
  };
  const uri = "pkcs11:token=bench;object=files";
  try {
    work("token", "init", "--label", "bench", "--module", softHsm);
    work(
      "keys",
      "generate",
      "--token",
      "pkcs11:token=bench",
      "--label",
      "files",
      "--type",
      "ec:p256",
    );
    work("keys", "export", uri, "--format", "age-identity", "-o", at("identity"));
    fs.writeFileSync(at("plain"), Buffer.alloc(1024, "x"));
    work("seal", "--format", "age", "-r", uri, "-o", at("0.age"), at("plain"));
    const names = Array.from({ length: count }, (_, i) => at(`${i}.age`));
    for (const name of names.slice(1)) fs.copyFileSync(at("0.age"), name);
    const plugin = path.join(root, "dist", "cli", "age-plugin-p11.js");
    fs.writeFileSync(
      at("age-plugin-p11"),
      `#!/bin/sh\nexec "${process.execPath}" "${plugin}" "$@"\n`,
    );
    fs.chmodSync(at("age-plugin-p11"), 0o755);
    const opened = at("opened");
    const before = () => {
      fs.rmSync(opened, { recursive: true, force: true });
      fs.mkdirSync(opened);
    };
    const open = ["open", "-q", "-i", uri, "-o"];
    await table(
      `age's format, 1 KiB, P-256 on SoftHSM (${rounds} rounds)`,
      [
        { name: "node -e 0", command: [process.execPath, "-e", "0"], env },
        {
          name: "age -d, through age-plugin-p11",
          command: ["age", "-d", "-i", at("identity"), "-o", at("o"), at("0.age")],
          ...{ env, clean: [at("o")] },
        },
        {
          name: "p11seal open",
          command: p11seal(...open, at("o"), at("0.age")),
          ...{ env, clean: [at("o")] },
        },
        {
          name: `p11seal open, ${count} files, one PIN`,
          command: p11seal(...open, opened, ...names),
          ...{ env, before },
        },
      ],
      rounds,
    );
  } finally {
    remove();
  }
}
