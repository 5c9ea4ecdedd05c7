/**
 * `npm run bench -- --rewrap [--quick]`: other recipients for a message of 1 GiB, where file
 * systems can clone files (XFS and btrfs, in images that root mounts) and where they can't (ext4);
 * beside a message of 1 KiB, which is the start-up, and a copy that is flushed. Where the body is
 * not read, it is not in the page cache either, as for an archive: to forget a gibibyte of cache
 * takes btrfs half a second when its file is replaced. And many small messages: `rewrap-many.mjs`.
 */
import { spawnSync } from "node:child_process";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { aptUnpack, hasApt, isRoot } from "../lib/apt.mjs";
import { cache } from "../lib/run.mjs";
import { GIB, inFolder, MIB, p11seal, table } from "./measure.mjs";
import { rewrapMany } from "./rewrap-many.mjs";

const IMAGE_BYTES = 5 * GIB;

/** What makes each file system, and the packages that have it and its libraries. */
const MAKERS = {
  ext4: { program: "mkfs.ext4", options: ["-q", "-F"], packages: ["e2fsprogs"] },
  xfs: {
    program: "mkfs.xfs",
    options: ["-q"],
    packages: ["xfsprogs", "libinih1", "liburcu8", "libedit2", "libbsd0", "libmd0"],
  },
  btrfs: { program: "mkfs.btrfs", options: ["-q"], packages: ["btrfs-progs", "liblzo2-2"] },
};

/** @param {{ quick: boolean }} options */
export async function rewrap({ quick }) {
  await rewrapMany({ quick });
  if (process.platform !== "linux" || !isRoot()) {
    console.log("\nrewrap: only root can mount file systems for it, left out");
    return;
  }
  for (const name of /** @type {(keyof typeof MAKERS)[]} */ (Object.keys(MAKERS))) {
    await inFolder((folder) => onFileSystem(name, folder, quick));
  }
}

/** @param {keyof typeof MAKERS} name @param {string} folder @param {boolean} quick */
async function onFileSystem(name, folder, quick) {
  const image = path.join(folder, "image");
  const mount = path.join(folder, "mount");
  fs.mkdirSync(mount);
  fs.writeFileSync(image, "");
  fs.truncateSync(image, IMAGE_BYTES);
  if (!made(name, image) || spawnSync("mount", ["-o", "loop", image, mount]).status !== 0) {
    console.log(`\n${name}: can't be made or mounted here, left out`);
    return;
  }
  const forget = () => {
    spawnSync("umount", [mount]);
    spawnSync("mount", ["-o", "loop", image, mount]);
  };
  try {
    const title = `rewrap of ${quick ? "64 MiB" : "1 GiB"}, ${name}`;
    await measureIn(mount, title, quick, name === "ext4" ? undefined : forget);
  } finally {
    spawnSync("umount", [mount]);
  }
}

/** @param {keyof typeof MAKERS} name @param {string} image */
function made(name, image) {
  const { program, options, packages } = MAKERS[name];
  if (spawnSync(program, [...options, image]).status === 0) return true;
  const folder = path.join(cache, name);
  if (!hasApt() || (!fs.existsSync(folder) && !aptUnpack(packages, folder))) return false;
  const libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib", "lib"];
  const env = { LD_LIBRARY_PATH: libraries.map((one) => path.join(folder, one)).join(":") };
  return ["sbin", "usr/sbin", "bin", "usr/bin"].some((place) => {
    const { status } = spawnSync(path.join(folder, place, program), [...options, image], { env });
    return status === 0;
  });
}

/**
 * @param {string} folder @param {string} title @param {boolean} quick
 * @param {(() => void) | undefined} forget empties the page cache; undefined: the body is in it
 */
async function measureIn(folder, title, quick, forget) {
  const at = (/** @type {string} */ name) => path.join(folder, name);
  const env = { ...process.env, P11SEAL_HOME: at("home") };
  for (const name of ["old", "new"]) {
    const { publicKey, privateKey } = crypto.generateKeyPairSync("x25519");
    fs.writeFileSync(at(`${name}.pem`), publicKey.export({ type: "spki", format: "pem" }));
    const key = privateKey.export({ type: "pkcs8", format: "pem" });
    fs.writeFileSync(at(`${name}.key`), key, { mode: 0o600 });
  }
  const size = quick ? 64 * MIB : GIB;
  makeMessage(at, "large", size, env);
  makeMessage(at, "small", 1024, env);
  const large = at("large.p11s");
  const small = at("small.p11s");
  const body = bodyHash(large);
  const add = ["rewrap", "-q", "-i", at("old.key"), "-r", at("new.pem")];
  /** @param {string} file */
  const undo = (file) => () => {
    run(["rewrap", "-q", "-i", at("old.key"), "--remove", at("new.pem"), file], env);
    forget?.();
  };
  const cases = [
    { name: "1 KiB", command: p11seal(...add, small), before: undo(small) },
    { name: "rewrap", command: p11seal(...add, large), before: undo(large) },
    {
      name: "rewrap --in-place",
      command: p11seal(...add, "--in-place", large),
      before: undo(large),
    },
    {
      name: "cp, sync",
      command: ["sh", "-c", 'cp "$0" "$1" && sync "$1"', large, at("copy")],
      ...(forget !== undefined && { before: forget }),
      clean: [at("copy")],
    },
  ];
  await table(
    title,
    cases.map((one) => ({ ...one, env, reads: forget === undefined ? [large] : [] })),
    quick ? 3 : 5,
  );
  if (bodyHash(large) !== body) throw new Error(`${title}: the body has changed`);
}

/**
 * @param {(name: string) => string} at @param {string} name @param {number} size
 * @param {NodeJS.ProcessEnv} env
 */
function makeMessage(at, name, size, env) {
  const plain = at(name);
  fs.writeFileSync(plain, "");
  const file = fs.openSync(plain, "a");
  for (let done = 0; done < size; done += MIB) {
    fs.writeSync(file, crypto.randomBytes(Math.min(MIB, size - done)));
  }
  fs.closeSync(file);
  run(["seal", "-q", "-r", at("old.pem"), "-o", `${plain}.p11s`, plain], env);
  fs.rmSync(plain);
}

/** Of all that follows a header of 4,096 bytes. @param {string} file */
function bodyHash(file) {
  const hash = crypto.createHash("sha256");
  const descriptor = fs.openSync(file, "r");
  const buffer = Buffer.alloc(MIB);
  for (let at = 4096, read; (read = fs.readSync(descriptor, buffer, 0, MIB, at)) > 0; at += read) {
    hash.update(buffer.subarray(0, read));
  }
  fs.closeSync(descriptor);
  return hash.digest("hex");
}

/** @param {string[]} args @param {NodeJS.ProcessEnv} env */
function run(args, env) {
  const [program = "", ...rest] = p11seal(...args);
  const { status, stderr } = spawnSync(program, rest, { env, encoding: "utf8" });
  if (status !== 0) throw new Error(`p11seal ${args.join(" ")}: ${stderr}`);
}
