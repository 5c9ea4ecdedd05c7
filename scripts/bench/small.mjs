/**
 * `npm run bench -- --small [--quick]`: what small messages cost. Starting the program beside
 * starting Node; a thousand recipients beside the bare cryptography; a thousand files opened with
 * one PIN beside a bare loop on the same token. Commands of a table are run in turn, and the lowest
 * and the median of their times given: wall time, and processor time of the process and its
 * children, which a busy machine disturbs less.
 */
import { spawnSync } from "node:child_process";
import crypto from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { findSoftHsm } from "../lib/modules.mjs";
import { root } from "../lib/run.mjs";
import { makeToken, run } from "./token.mjs";

const CLI = path.join(root, "dist", "cli", "main.js");

/** @typedef {import("./token.mjs").Token} Token */

/**
 * @typedef {{ name: string, args: string[], env?: NodeJS.ProcessEnv, before?: () => void }} Case a
 *   run of Node
 */

/** @param {{ quick: boolean, certificates: string | undefined }} options */
export async function small({ quick, certificates }) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "p11seal-bench-"));
  const softHsm = findSoftHsm();
  const token = softHsm === null ? null : makeToken(softHsm);
  try {
    const cases = startUp(folder, token);
    const rounds = quick ? 3 : 15;
    table(`start-up (${rounds} rounds)`, cases, rounds);
    if (certificates !== undefined) {
      const slowed = cases.map((one) => ({
        ...one,
        env: { ...(one.env ?? process.env), NODE_EXTRA_CA_CERTS: certificates },
      }));
      table(`start-up with NODE_EXTRA_CA_CERTS (${rounds} rounds)`, slowed, rounds);
    }
    await recipients(quick ? 100 : 1000, quick ? 2 : 5);
    if (token === null) console.log("\nSoftHSM: not installed, left out");
    else files(folder, token, quick ? 100 : 1000, quick ? 1 : 5);
  } finally {
    token?.remove();
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

/** @param {string} folder @param {Token | null} token */
function startUp(folder, token) {
  const at = (/** @type {string} */ name) => path.join(folder, name);
  const { publicKey, privateKey } = crypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
  fs.writeFileSync(at("pub.pem"), publicKey.export({ type: "spki", format: "pem" }));
  const pem = privateKey.export({ type: "pkcs8", format: "pem" });
  fs.writeFileSync(at("key.pem"), pem, { mode: 0o600 });
  fs.writeFileSync(at("small"), crypto.randomBytes(1024));
  run(["seal", "-r", at("pub.pem"), "-o", at("small.p11s"), at("small")]);
  const output = ["--force", "-o", at("o")];
  /** @type {Case[]} */
  const cases = [
    { name: "node -e 0", args: ["-e", "0"] },
    { name: "p11seal --version", args: [CLI, "--version"] },
    {
      name: "p11seal seal 1 KiB",
      args: [CLI, "seal", "-r", at("pub.pem"), ...output, at("small")],
    },
    {
      name: "p11seal open 1 KiB, key file",
      args: [CLI, "open", "-q", "-i", at("key.pem"), ...output, at("small.p11s")],
    },
  ];
  if (token !== null) {
    run(["seal", "-r", token.pem, "-o", at("token.p11s"), at("small")]);
    const key = ["-i", "pkcs11:token=bench;object=exchange", "--module", token.softHsm];
    cases.push({
      name: "p11seal open 1 KiB, RSA-3072 on SoftHSM",
      args: [CLI, "open", "-q", ...key, ...output, at("token.p11s")],
      env: token.env,
    });
  }
  return cases;
}

/** @param {number} count @param {number} rounds */
async function recipients(count, rounds) {
  const { publicKeyFromSpki, seal } = await built("index.js");
  const { publicKeyFromRsa } = await built("keys/public-key.js");
  const { requireExchange } = await built("keys/recipient-strength.js");
  const padding = crypto.constants.RSA_PKCS1_OAEP_PADDING;
  const ec = Array.from({ length: count }, () => {
    const { publicKey } = crypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
    return publicKeyFromSpki(publicKey.export({ type: "spki", format: "der" }));
  });
  // A thousand real RSA keys would take minutes. Numbers do, as long as they pass for a modulus.
  const { publicKey } = crypto.generateKeyPairSync("rsa", { modulusLength: 3072 });
  const modulus = Buffer.from(String(publicKey.export({ format: "jwk" }).n), "base64url");
  /** @type {import("../../src/index.js").Recipient[]} */
  const rsa = [];
  for (let i = 0; rsa.length < count; i++) {
    modulus.writeUInt32BE(i, 100);
    const key = publicKeyFromRsa(modulus, Uint8Array.of(1, 0, 1));
    try {
      rsa.push({ publicKey: requireExchange(key), oaep: "sha256" });
    } catch {
      continue; // It has a small factor.
    }
  }
  const sealTo = async (/** @type {import("../../src/index.js").Recipient[]} */ all) => {
    await (await seal(Buffer.alloc(1024), { recipients: all })).stream().bytes();
  };
  const message = Buffer.alloc(32);
  /** @type {[string, () => void, () => Promise<void>][]} */
  const pairs = [
    [
      "P-256",
      () => {
        for (const key of ec) {
          const { privateKey } = crypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
          crypto.diffieHellman({ privateKey, publicKey: key.object });
        }
      },
      () => sealTo(ec.map((key) => /** @type {any} */ ({ publicKey: key }))),
    ],
    [
      "RSA-3072, one OAEP hash",
      () => {
        for (const { publicKey: key } of rsa) {
          crypto.publicEncrypt(
            { key: /** @type {any} */ (key).object, padding, oaepHash: "sha256" },
            message,
          );
        }
      },
      () => sealTo(rsa),
    ],
  ];
  heading(`1 KiB sealed to ${count} recipients, processor time (${rounds} rounds)`);
  console.log("| recipients | bare ms | seal ms | × bare |");
  console.log("| --- | ---: | ---: | ---: |");
  for (const [name, bare, sealing] of pairs) {
    const times = { bare: Infinity, seal: Infinity };
    for (let round = 0; round < rounds; round++) {
      times.bare = Math.min(times.bare, await processorMs(bare));
      times.seal = Math.min(times.seal, await processorMs(sealing));
    }
    const cells = [
      times.bare.toFixed(0),
      times.seal.toFixed(0),
      (times.seal / times.bare).toFixed(2),
    ];
    console.log(`| ${[name, ...cells].join(" | ")} |`);
  }
}

/** @param {string} folder @param {Token} token @param {number} count @param {number} rounds */
function files(folder, token, count, rounds) {
  const inbox = path.join(folder, "inbox");
  const opened = path.join(folder, "opened");
  fs.mkdirSync(inbox);
  fs.mkdirSync(opened);
  const plain = path.join(folder, "small");
  const names = Array.from({ length: count }, (_, i) => path.join(inbox, `${i}.p11s`));
  run(["seal", "-r", token.pem, "-o", String(names[0]), plain]);
  for (const name of names.slice(1)) fs.copyFileSync(String(names[0]), name);
  const key = ["-i", "pkcs11:token=bench;object=exchange", "--module", token.softHsm];
  const open = (/** @type {string[]} */ some) => [CLI, "open", "-q", ...key, "-o", opened, ...some];
  const bare = path.join(root, "scripts", "bench", "bare-unwrap.mjs");
  // A file that is replaced is flushed first, which is not what is measured here.
  const before = () => {
    fs.rmSync(opened, { recursive: true });
    fs.mkdirSync(opened);
  };
  table(
    `${count} files of 1 KiB, one run, one PIN: RSA-3072 on SoftHSM (${rounds} rounds)`,
    [
      {
        name: "C_UnwrapKey, read, destroy: bare loop",
        args: [bare, token.softHsm, "bench", token.pin, token.pem, String(count)],
        env: token.env,
      },
      { name: "p11seal open, all", args: open(names), env: token.env, before },
      { name: "p11seal open, one", args: open(names.slice(0, 1)), env: token.env, before },
    ],
    rounds,
  );
}

/**
 * A file of the library, built.
 * @param {string} file
 * @returns {Promise<any>}
 */
function built(file) {
  return import(pathToFileURL(path.join(root, "dist", file)).href);
}

/** @param {string} title @param {Case[]} cases @param {number} rounds */
export function table(title, cases, rounds) {
  const runs = cases.map(() => ({
    /** @type {number[]} */ wall: [],
    /** @type {number[]} */ cpu: [],
  }));
  for (let round = 0; round < rounds; round++) {
    for (const [i, { name, args, env, before }] of cases.entries()) {
      before?.();
      const started = process.hrtime.bigint();
      // The shell counts what its children used.
      const words = ["-c", '"$@" > /dev/null && times', "sh", process.execPath, ...args];
      const done = spawnSync("sh", words, { encoding: "utf8", env: env ?? process.env });
      if (done.status !== 0) throw new Error(`${name}: ${done.stderr}`);
      runs[i]?.wall.push(Number(process.hrtime.bigint() - started) / 1e6);
      const [, children = ""] = done.stdout.trim().split("\n");
      const used = [...children.matchAll(/(\d+)m([\d.]+)s/g)];
      runs[i]?.cpu.push(
        used.reduce((sum, [, m, s]) => sum + Number(m) * 60_000 + Number(s) * 1000, 0),
      );
    }
  }
  heading(title);
  console.log("| command | lowest ms | median ms | × first | processor ms | × first |");
  console.log("| --- | ---: | ---: | ---: | ---: | ---: |");
  const [first] = runs;
  for (const [i, { name }] of cases.entries()) {
    const { wall, cpu } = runs[i] ?? { wall: [], cpu: [] };
    const cells = [
      Math.min(...wall).toFixed(0),
      median(wall).toFixed(0),
      (Math.min(...wall) / Math.min(...(first?.wall ?? []))).toFixed(2),
      Math.min(...cpu).toFixed(0),
      ratio(Math.min(...cpu), Math.min(...(first?.cpu ?? []))),
    ];
    console.log(`| ${[name, ...cells].join(" | ")} |`);
  }
}

/** @param {string} title */
function heading(title) {
  console.log(`\n### ${title}\n`);
}

/** @param {number[]} values */
function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** @param {() => void | Promise<void>} work */
async function processorMs(work) {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** Processor time is told in steps of 10 ms: of what took less, nothing is a multiple. */
function ratio(/** @type {number} */ time, /** @type {number} */ first) {
  return first === 0 ? "–" : (time / first).toFixed(2);
}
