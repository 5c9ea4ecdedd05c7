/**
 * `npm run demo`: the main job from end to end, on a fresh clone. It builds p11seal, makes a token
 * with two exchange keys, seals a large file under their public halves, opens it with the token,
 * and shows three refusals. It checks everything it claims, and ends with status 1 if something is
 * not as promised. What it makes stays in .cache/demo, so that a second run takes seconds.
 */
import { spawnSync } from "node:child_process";
import { createHash, generateKeyPairSync, randomBytes, randomInt } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { ensureBuild } from "./lib/build.mjs";
import { ensureSoftHsm } from "./lib/modules.mjs";
import { root, runMain, say, SetupError } from "./lib/run.mjs";
import { withoutSettings } from "./lib/test-environment.mjs";

const MIB = 1024 * 1024;

/** Relative to the repository, where every command runs: what is printed can be typed. */
const FOLDER = ".cache/demo";
const CLI = "dist/cli/main.js";
const PIN = `${FOLDER}/pin`;
const SO_PIN = `${FOLDER}/so-pin`;
const WRONG_PIN = `${FOLDER}/wrong-pin`;
const MESSAGE = `${FOLDER}/message.p11s`;

const TOKEN = "pkcs11:token=demo";
const KEYS = [
  { label: "rsa", type: "rsa:3072", file: `${FOLDER}/rsa.pem` },
  { label: "p256", type: "ec:p256", file: `${FOLDER}/p256.pem` },
];

/** Written when the token and its keys are complete. */
const READY = `${FOLDER}/ready`;

await runMain(async () => {
  await ensureBuild();
  const softHsm = ensureSoftHsm();
  process.chdir(root);
  const home = path.join(root, FOLDER, "home");
  const p11seal = cli({ ...withoutSettings(process.env), P11SEAL_HOME: home });

  const reused = haveToken(p11seal);
  if (!reused) makeToken(p11seal, softHsm);
  const plain = largeFile();
  const bytes = fs.statSync(plain).size;
  sealAndOpen(p11seal, plain);
  showRefusals(p11seal, bytes);
  conclude(bytes, reused);
  return 0;
});

/**
 * @typedef {(args: readonly string[], expected?: number) => string} P11seal
 * Runs the CLI, shows the command and what it prints, checks its status, returns its stdout.
 */

/**
 * @param {NodeJS.ProcessEnv} env
 * @returns {P11seal}
 */
function cli(env) {
  return (args, expected = 0) => {
    console.log(`\n$ node ${CLI} ${args.map(quoted).join(" ")}`);
    const result = spawnSync(process.execPath, [CLI, ...args], {
      env,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
    process.stdout.write((result.stdout + result.stderr).replace(/^(?=.)/gm, "  "));
    if (result.status !== expected) {
      const got = result.status ?? result.signal ?? result.error?.message;
      throw new SetupError(`NOT AS PROMISED: exit status ${got}, expected ${expected}.`);
    }
    return result.stdout;
  };
}

/** @param {P11seal} p11seal */
function haveToken(p11seal) {
  const files = [READY, PIN, SO_PIN, ...KEYS.map(({ file }) => file)];
  if (!files.every((file) => fs.existsSync(file))) return false;
  title("1. A token with two exchange keys, from an earlier run");
  try {
    const listed = p11seal(["keys", "list", TOKEN]);
    return KEYS.every(({ label }) => listed.includes(`object=${label}`));
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say("the token of an earlier run is damaged; making a new one");
    return false;
  }
}

/**
 * @param {P11seal} p11seal
 * @param {string} softHsm
 */
function makeToken(p11seal, softHsm) {
  title("1. A token with two exchange keys; it never gives up their private halves");
  fs.rmSync(FOLDER, { recursive: true, force: true });
  fs.mkdirSync(FOLDER, { recursive: true, mode: 0o700 });
  for (const file of [PIN, SO_PIN]) {
    const digits = Array.from({ length: 12 }, () => randomInt(10)).join("");
    fs.writeFileSync(file, `${digits}\n`, { mode: 0o600 });
  }
  const pins = ["--pin-source", `file:${PIN}`];
  const soPin = ["--so-pin-source", `file:${SO_PIN}`];
  p11seal(["token", "init", "--label", "demo", "--module", softHsm, ...pins, ...soPin]);
  for (const { label, type, file } of KEYS) {
    const what = ["--token", TOKEN, "--label", label, "--type", type];
    p11seal(["keys", "generate", ...what, ...pins, "-o", file]);
  }
  fs.writeFileSync(READY, "");
}

/**
 * @param {P11seal} p11seal
 * @param {string} plain
 */
function sealAndOpen(p11seal, plain) {
  title("2. Seal a file under the two public keys: no token, no PIN");
  fs.rmSync(MESSAGE, { force: true });
  const recipients = KEYS.flatMap(({ file }) => ["-r", file]);
  timed(() => p11seal(["seal", ...recipients, "-o", MESSAGE, plain]), plain);

  title("3. Open it with the token, once with each key");
  const wanted = sha256(plain);
  for (const { label } of KEYS) {
    const opened = `${FOLDER}/opened-${label}`;
    fs.rmSync(opened, { force: true });
    timed(() => p11seal(openWith(label, PIN, opened, MESSAGE)), plain);
    const got = fs.existsSync(opened) ? sha256(opened) : "none";
    if (got !== wanted) throw new SetupError(`NOT AS PROMISED: ${opened} is not what was sealed.`);
    console.log(`  the same bytes as before sealing: SHA-256 ${got.slice(0, 16)}…`);
    fs.rmSync(opened);
  }
}

/**
 * @param {P11seal} p11seal
 * @param {number} bytes of plaintext in the message
 */
function showRefusals(p11seal, bytes) {
  const opened = `${FOLDER}/refused`;
  const tampered = `${FOLDER}/tampered.p11s`;
  const foreign = `${FOLDER}/foreign.p11s`;
  const foreignKey = `${FOLDER}/somebody-else.pem`;
  for (const file of [opened, tampered, foreign]) fs.rmSync(file, { force: true });

  /**
   * @param {string} what
   * @param {readonly string[]} args
   * @param {number} status
   */
  const refuse = (what, args, status) => {
    const before = fs.readdirSync(FOLDER).sort().join();
    p11seal(args, status);
    if (fs.readdirSync(FOLDER).sort().join() !== before) {
      throw new SetupError(`NOT AS PROMISED: ${what} was refused, but left something behind.`);
    }
    console.log(`  refused with exit status ${status}, as documented; no file was written`);
  };

  title("4. Refused: a wrong PIN");
  const right = fs.readFileSync(PIN, "utf8").trim();
  const wrong = right.replace(/.$/, (digit) => String((Number(digit) + 1) % 10));
  fs.writeFileSync(WRONG_PIN, `${wrong}\n`, { mode: 0o600 });
  refuse("a wrong PIN", openWith("rsa", WRONG_PIN, opened, MESSAGE), 5);
  fs.rmSync(WRONG_PIN);

  title("5. Refused: a file in which one bit was changed, in the middle of its content");
  fs.copyFileSync(MESSAGE, tampered, fs.constants.COPYFILE_FICLONE);
  flipBit(tampered, fs.statSync(tampered).size - 1 - Math.floor(bytes / 2));
  refuse("a tampered file", openWith("p256", PIN, opened, tampered), 4);
  fs.rmSync(tampered);

  title("6. Refused: a file sealed to somebody else; the PIN is not even asked for");
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  fs.writeFileSync(foreignKey, publicKey.export({ type: "spki", format: "pem" }));
  p11seal(["seal", "-r", foreignKey, "-o", foreign, "package.json"]);
  refuse("somebody else's file", ["open", "-i", TOKEN, "-o", opened, foreign], 3);
  fs.rmSync(foreign);
  fs.rmSync(foreignKey);
}

/**
 * @param {number} bytes
 * @param {boolean} reused
 */
function conclude(bytes, reused) {
  const own = ["P11SEAL_HOME", "P11SEAL_PIN_SOURCE"];
  const kept = withoutSettings(process.env);
  const inTheWay = Object.keys(process.env).filter(
    (name) => !(name in kept) && !own.includes(name),
  );
  title("What happened");
  console.log(
    `${
      reused
        ? "The token of an earlier run and its two keys were used again."
        : "A software token (SoftHSM) was made, and two keys in it."
    } With nothing but the keys'
public halves a file of ${Math.floor(bytes / MIB)} MiB was sealed. The token unwrapped that file's key, with its RSA
key and with its P-256 key, and the file came back unchanged. A wrong PIN, a changed file and a
file for somebody else were refused, and left nothing behind.

Next, type (the token, its PIN and the sealed file are in ${FOLDER}):
${inTheWay.length > 0 ? `\n  unset ${inTheWay.join(" ")}` : ""}
  export P11SEAL_HOME="$PWD/${FOLDER}/home" P11SEAL_PIN_SOURCE="file:$PWD/${PIN}"
  node ${CLI} tokens
  node ${CLI} keys list ${TOKEN}
  node ${CLI} inspect ${MESSAGE}
  node ${CLI} seal -r ${FOLDER}/p256.pem -o letter.p11s README.md
  node ${CLI} open letter.p11s
  node ${CLI} --help

To start over, delete ${FOLDER}.`,
  );
}

/**
 * @param {string} label
 * @param {string} pin
 * @param {string} to
 * @param {string} message
 */
function openWith(label, pin, to, message) {
  const identity = ["-i", `${TOKEN};object=${label}`, "--pin-source", `file:${pin}`];
  return ["open", ...identity, "-o", to, message];
}

/**
 * A real file of at least 64 MiB: node itself, where it is one large program; else one made here.
 */
function largeFile() {
  const node = fs.realpathSync(process.execPath);
  if (fs.statSync(node).size >= 64 * MIB) return node;
  const made = `${FOLDER}/large`;
  if (!fs.existsSync(made)) {
    const file = fs.openSync(`${made}.part`, "w", 0o600);
    for (let i = 0; i < 64; i++) fs.writeSync(file, randomBytes(MIB));
    fs.closeSync(file);
    fs.renameSync(`${made}.part`, made);
  }
  return made;
}

/**
 * @param {string} file
 * @param {number} at
 */
function flipBit(file, at) {
  const handle = fs.openSync(file, "r+");
  const byte = Buffer.alloc(1);
  fs.readSync(handle, byte, 0, 1, at);
  byte.writeUInt8(byte.readUInt8() ^ 1);
  fs.writeSync(handle, byte, 0, 1, at);
  fs.closeSync(handle);
}

/** @param {string} file */
function sha256(file) {
  const hash = createHash("sha256");
  const handle = fs.openSync(file, "r");
  const chunk = Buffer.alloc(MIB);
  for (let length; (length = fs.readSync(handle, chunk)) > 0;) {
    hash.update(chunk.subarray(0, length));
  }
  fs.closeSync(handle);
  return hash.digest("hex");
}

/**
 * @param {() => void} work
 * @param {string} file
 */
function timed(work, file) {
  const start = performance.now();
  work();
  const seconds = (performance.now() - start) / 1000;
  console.log(`  ${Math.floor(fs.statSync(file).size / MIB)} MiB in ${seconds.toFixed(1)} s`);
}

/** @param {string} line */
function title(line) {
  console.log(`\n== ${line}`);
}

/** @param {string} argument */
function quoted(argument) {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
}
