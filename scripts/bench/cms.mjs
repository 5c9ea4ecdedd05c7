/**
 * `npm run bench -- --cms [--quick]`: messages in CMS, by p11seal and by `openssl cms`: large files
 * sealed and opened. Processor time as well as wall time: OpenSSL works in one thread, and does
 * little else while it waits.
 */
import { spawnSync } from "node:child_process";
import { inFolder, keysIn, measured, MIB, p11seal, randomFile, run } from "./measure.mjs";

/** @typedef {import("./measure.mjs").Case} Case @typedef {import("./measure.mjs").At} At */

/** @param {{ quick: boolean }} options */
export async function cmsFormat({ quick }) {
  const rounds = quick ? 3 : 9;
  const size = quick ? 256 * MIB : 1024 * MIB;
  await inFolder(async (folder) => {
    const at = keysIn(folder);
    const subject = ["-subj", "/O=Bench/CN=Alice", "-days", "30"];
    run("openssl", "req", "-x509", "-new", "-key", at("key.pem"), ...subject, "-out", at("crt"));
    randomFile(at("plain"), size);
    await compared(`${size / MIB} MiB, sealed as CMS (${rounds} rounds)`, sealing(at), rounds);
  });
}

/** @param {At} at @returns {Case[]} */
function sealing(at) {
  const files = { reads: [at("plain")], clean: [at("o")] };
  const encrypt = ["openssl", "cms", "-encrypt", "-binary", "-outform", "DER", "-in", at("plain")];
  const to = ["-out", at("o"), at("crt")];
  const seal = ["seal", "-q", "--format", "cms", "-r", at("pub.pem"), "-o", at("o")];
  return [
    {
      name: "openssl cms -encrypt -aes-256-gcm -stream",
      command: [...encrypt, "-aes-256-gcm", "-stream", ...to],
      ...files,
    },
    { name: "p11seal seal --format cms", command: p11seal(...seal, at("plain")), ...files },
  ];
}

/**
 * Runs the cases in turn, and prints the lowest of what they took. @param {string} title
 * @param {Case[]} cases @param {number} rounds
 */
async function compared(title, cases, rounds) {
  const runs = cases.map(() => ({ wall: Infinity, processor: Infinity, memory: 0 }));
  for (let round = 0; round < rounds; round++) {
    for (const [i, item] of cases.entries()) {
      const own = runs[i];
      if (own === undefined) continue;
      const { ms, rssMiB } = await measured(item);
      own.wall = Math.min(own.wall, ms / 1000);
      own.memory = Math.max(own.memory, rssMiB ?? 0);
      own.processor = Math.min(own.processor, processorSeconds(item));
    }
  }
  console.log(`\n### ${title}\n`);
  console.log("| command | wall s | processor s | × first | memory MiB |");
  console.log("| --- | ---: | ---: | ---: | ---: |");
  const first = runs[0]?.processor ?? 1;
  for (const [i, { wall, processor, memory }] of runs.entries()) {
    const numbers = [wall.toFixed(2), processor.toFixed(2), (processor / first).toFixed(2)];
    console.log(`| ${[cases[i]?.name, ...numbers, memory.toFixed(0)].join(" | ")} |`);
  }
}

/** User and system time of one run, by the shell. @param {Case} item */
function processorSeconds({ command, clean }) {
  if (clean !== undefined) run("rm", "-f", ...clean);
  const done = spawnSync("sh", ["-c", '"$@" >/dev/null && times', "sh", ...command], {
    encoding: "utf8",
  });
  if (done.status !== 0) throw new Error(done.stderr);
  // The second line is of the shell's children: 0m0.350000s 0m0.720000s
  const [, children = ""] = done.stdout.split("\n");
  const times = [...children.matchAll(/(\d+)m([\d.]+)s/g)];
  return times.reduce((sum, [, m, s]) => sum + 60 * Number(m) + Number(s), 0);
}
