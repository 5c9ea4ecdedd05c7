/**
 * `npm run bench -- --cms [--quick]`: messages in CMS, by p11seal and by `openssl cms`: large files
 * sealed, opened and verified. Processor time as well as wall time: OpenSSL works in one thread,
 * and does little else while it waits.
 */
import { spawnSync } from "node:child_process";
import {
  inFolder,
  kernelPipes,
  keysIn,
  measured,
  MIB,
  p11seal,
  randomFile,
  run,
} from "./measure.mjs";

/** @typedef {import("./measure.mjs").Case} Case @typedef {import("./measure.mjs").At} At */

/** @param {{ quick: boolean }} options */
export async function cmsFormat({ quick }) {
  const rounds = quick ? 1 : 3;
  const [sealed, opened, signed] = (quick ? [64, 64, 64] : [1024, 300, 900]).map((n) => n * MIB);
  await inFolder(async (folder) => {
    const at = keysIn(folder);
    const subject = ["-subj", "/O=Bench/CN=Alice", "-days", "30"];
    run("openssl", "req", "-x509", "-new", "-key", at("key.pem"), ...subject, "-out", at("crt"));
    const plain = (/** @type {number | undefined} */ size = 0) => {
      randomFile(at("plain"), size);
      return `${size / MIB} MiB`;
    };
    const times = ` (${rounds} rounds)`;
    await compared(`${plain(sealed)}, sealed as CMS${times}`, sealing(at), rounds);
    await compared(`${plain(opened)}, a CMS message opened${times}`, opening(at), rounds);
    await compared(
      `${plain(signed)}, a signed CMS message verified${times}`,
      verifying(at),
      rounds,
    );
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
 * As OpenSSL writes them: in pieces of 4 KiB, and in one; AES-GCM and AES-CBC; from a file and from
 * a pipe, each compared with OpenSSL's time for the same.
 * @param {At} at @returns {Case[]}
 */
function opening(at) {
  const encrypt = ["openssl", "cms", "-encrypt", "-binary", "-outform", "DER", "-in", at("plain")];
  const forms = [
    ["GCM, in pieces", "gcm-stream", "-aes-256-gcm", "-stream"],
    ["GCM, in one", "gcm", "-aes-256-gcm"],
    ["CBC, in pieces", "cbc-stream", "-aes-256-cbc", "-stream"],
    ["CBC, in one", "cbc", "-aes-256-cbc"],
  ];
  return forms.flatMap(([title = "", name = "", ...how]) => {
    const message = at(`${name}.p7m`);
    run(...encrypt, ...how, "-out", message, at("crt"));
    const files = { reads: [message], clean: [at("o")] };
    const decrypt = ["openssl", "cms", "-decrypt", "-inform", "DER"];
    const key = ["-inkey", at("key.pem"), "-recip", at("crt"), "-out", at("o")];
    const own = ["open", "-q", "-i", at("key.pem"), "--cert", at("crt"), "-o", at("o")];
    const flags = name.startsWith("cbc") ? ["--allow-unauthenticated"] : [];
    const base = `openssl cms -decrypt: ${title}`;
    const pipeBase = `openssl cms -decrypt, a pipe: ${title}`;
    const decryptPipe = { name: pipeBase, base: pipeBase, command: [...decrypt, ...key] };
    const piped = { pipes: true, stdin: message };
    const open = (/** @type {string} */ from) => p11seal(...own, ...flags, from);
    return [
      { name: base, base, command: [...decrypt, "-in", message, ...key], ...files },
      { name: `p11seal open: ${title}`, base, command: open(message), ...files },
      { ...decryptPipe, ...piped, ...files },
      {
        name: `p11seal open, a pipe: ${title}`,
        base: pipeBase,
        command: open("-"),
        ...piped,
        ...files,
      },
    ];
  });
}

/**
 * Against the digest alone, which checking a signature takes, and little more.
 * @param {At} at @returns {Case[]}
 */
function verifying(at) {
  const sign = ["openssl", "cms", "-sign", "-binary", "-outform", "DER", "-in", at("plain")];
  const by = ["-signer", at("crt"), "-inkey", at("key.pem")];
  run(...sign, ...by, "-nodetach", "-stream", "-out", at("signed.p7m"));
  run(...sign, ...by, "-out", at("plain.p7s"));
  const digest = "for await (const c of createReadStream(process.argv[1], options)) hash.update(c)";
  const program = [
    'import { createHash } from "node:crypto"; import { createReadStream } from "node:fs";',
    `const options = { highWaterMark: 2 ** 18 }, hash = createHash("sha256"); ${digest};`,
    'console.log(hash.digest("hex"));',
  ].join(" ");
  const verify = ["verify", "-q", "--any-signer"];
  const [message, content] = [at("signed.p7m"), at("plain")];
  return [
    {
      name: "SHA-256 alone, by node:crypto",
      command: ["node", "--input-type=module", "-e", program, content],
      reads: [content],
    },
    {
      name: "SHA-256 alone, by openssl dgst",
      command: ["openssl", "dgst", "-sha256", content],
      reads: [content],
    },
    {
      name: "openssl cms -verify, with content",
      command: ["openssl", "cms", "-verify", "-noverify", "-binary", "-inform", "DER"].concat([
        "-in",
        message,
        "-out",
        "/dev/null",
      ]),
      reads: [message],
    },
    {
      name: "p11seal verify, with content",
      command: p11seal(...verify, message),
      reads: [message],
    },
    {
      name: "p11seal verify, content apart",
      command: p11seal(...verify, at("plain.p7s")),
      reads: [content],
    },
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
  console.log("| command | wall s | processor s | × | memory MiB |");
  console.log("| --- | ---: | ---: | ---: | ---: |");
  for (const [i, { wall, processor, memory }] of runs.entries()) {
    const base = cases.findIndex(({ name }) => name === cases[i]?.base);
    const ratio = processor / (runs[Math.max(0, base)]?.processor ?? 1);
    const numbers = [wall.toFixed(2), processor.toFixed(2), ratio.toFixed(2)];
    console.log(`| ${[cases[i]?.name, ...numbers, memory.toFixed(0)].join(" | ")} |`);
  }
}

/** User and system time of one run, by the shell. @param {Case} item */
function processorSeconds({ command, clean, stdin }) {
  if (clean !== undefined) run("rm", "-f", ...clean);
  const pipe = stdin === undefined ? undefined : kernelPipes(stdin);
  const done = spawnSync("sh", ["-c", '"$@" >/dev/null && times', "sh", ...command], {
    encoding: "utf8",
    stdio: [pipe?.stdin ?? "ignore", "pipe", "pipe"],
  });
  pipe?.started();
  pipe?.remove();
  if (done.status !== 0) throw new Error(done.stderr);
  // The second line is of the shell's children: 0m0.350000s 0m0.720000s
  const [, children = ""] = done.stdout.split("\n");
  const times = [...children.matchAll(/(\d+)m([\d.]+)s/g)];
  return times.reduce((sum, [, m, s]) => sum + 60 * Number(m) + Number(s), 0);
}
