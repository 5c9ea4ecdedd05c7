/**
 * A token that is made once for each set of keys and copied for each test: making keys takes some
 * hundred milliseconds, copying a SoftHSM token takes two. It lies in the cache between runs.
 */
import { createHash } from "node:crypto";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { UsageError } from "../errors.js";
import { withLock } from "../store/lock.js";
import { loadBinding } from "../token/modules/load-binding.js";
import { CKU, OS_LOCKING_OK, TOKEN_FLAG } from "../token/modules/constants.js";
import { randomPin } from "../token/random-pin.js";
import { cachePath, folderForMaking, noteUse } from "./cache.js";
import { makeKey, type MadeKey, type TestKeyOptions, type TestKeyType } from "./make-keys.js";
import { PROFILES } from "./profiles.js";
import { Remembered } from "./remembered.js";
import type { ShimLibrary } from "./shim-library.js";
import { ShimSettings, UNTOUCHED } from "./shim-settings.js";
import { layModule, moduleIn } from "./wrapped-module.js";

/** What the token is to have. */
export interface TokenContents {
  readonly label: string;
  readonly pin: string;
  readonly keys: Readonly<Record<string, TestKeyType | TestKeyOptions>>;
  /** Labels of keys that get a self-signed certificate. */
  readonly certificates: readonly string[];
}

/** What it is made with. */
export interface TokenMaterial {
  readonly softHsm: string;
  readonly shim: ShimLibrary;
}

/** A token that can be copied. */
export interface TemplateToken {
  readonly files: TokenFiles;
  readonly pin: string;
  readonly serial: string;
  readonly keys: Readonly<Record<string, MadeKey>>;
}

/** Files of SoftHSM's, by name. */
type TokenFiles = ReadonlyMap<string, Uint8Array>;

/** The template for these contents, from memory or from the cache, or else a new one. */
export function templateToken(
  contents: TokenContents,
  material: TokenMaterial,
): TemplateToken | Promise<TemplateToken> {
  const path = cachePath("token", hashOf(contents, material));
  return made.get(path, () => readTemplate(path) ?? makeOnce(path, contents, material));
}

/** Puts a module into an empty folder, and the files of a token with it. */
export function layToken(into: string, shim: ShimLibrary, files: TokenFiles): void {
  layModule(into, shim);
  mkdirSync(join(into, TOKENS), { mode: 0o700 });
  for (const folder of new Set([...files.keys()].map(dirname))) {
    mkdirSync(join(into, TOKENS, folder), { recursive: true, mode: 0o700 });
  }
  for (const [name, bytes] of files)
    writeFileSync(join(into, TOKENS, name), bytes, { mode: 0o600 });
  writeFileSync(
    softHsmConfIn(into),
    `directories.tokendir = ${join(into, TOKENS)}\n` +
      "objectstore.backend = file\nobjectstore.umask = 0077\n" +
      "slots.removable = false\nlog.level = ERROR\n",
    { mode: 0o600 },
  );
}

/** The files of the token in a folder. */
export function tokenFiles(folder: string): TokenFiles {
  const below = join(folder, TOKENS);
  const entries = readdirSync(below, { recursive: true, withFileTypes: true });
  const names = entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(below, join(entry.parentPath, entry.name)));
  return new Map(names.map((name) => [name, readFileSync(join(below, name))]));
}

/** SoftHSM's configuration, in a token's folder. */
export function softHsmConfIn(folder: string): string {
  return join(folder, "softhsm2.conf");
}

/** PIN of the security officer of every test token. */
export const SO_PIN = "so-12345678";

// ── Details ──

const made = new Remembered<TemplateToken>();

/** The folder of SoftHSM's files, within a token's folder. */
const TOKENS = "tokens";

const WAIT_MS = 120_000;

function hashOf(contents: TokenContents, { softHsm, shim }: TokenMaterial): string {
  const { size, mtimeMs } = statSync(softHsm);
  const parts = [contents, softHsm, size, mtimeMs, shim.hash];
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 24);
}

function readTemplate(path: string): TemplateToken | undefined {
  try {
    noteUse(path);
    const text = readFileSync(join(path, "token.json"), "utf8");
    return { ...(JSON.parse(text) as Omit<TemplateToken, "files">), files: tokenFiles(path) };
  } catch {
    return undefined;
  }
}

/** Several processes may want the same one at the same time. */
function makeOnce(
  path: string,
  contents: TokenContents,
  material: TokenMaterial,
): Promise<TemplateToken> {
  return withLock(
    `${path}.lock`,
    async () => {
      const others = readTemplate(path);
      if (others !== undefined) return others;
      const folder = folderForMaking();
      try {
        const template = await make(folder, contents, material);
        writeFileSync(join(folder, "token.json"), JSON.stringify(template), { mode: 0o600 });
        for (const name of ["token.so", "shim.conf", "softhsm2.conf", "calls", "counters"]) {
          rmSync(join(folder, name), { force: true });
        }
        rmSync(path, { recursive: true, force: true });
        renameSync(folder, path);
        return { ...template, files: tokenFiles(path) };
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
    { waitMs: WAIT_MS, isGuest: true },
  );
}

async function make(
  folder: string,
  contents: TokenContents,
  { softHsm, shim }: TokenMaterial,
): Promise<Omit<TemplateToken, "files">> {
  const { label, keys, certificates } = contents;
  layToken(folder, shim, new Map());
  const softHsmConf = softHsmConfIn(folder);
  const settings = { ...UNTOUCHED, real: softHsm, softHsmConf, profile: PROFILES.softhsm };
  new ShimSettings(folder, settings);
  const pin = contents.pin === "random" ? randomPin() : contents.pin;

  const native = (await loadBinding()).newModule();
  native.load(moduleIn(folder));
  native.C_Initialize({ flags: OS_LOCKING_OK });
  try {
    const [free] = native.C_GetSlotList(true);
    if (free === undefined) throw new TypeError("SoftHSM shows no free slot");
    native.C_InitToken(free, SO_PIN, padded(label));
    // SoftHSM gives the token another slot once it has a serial number.
    const slot = native
      .C_GetSlotList(true)
      .find((one) => (native.C_GetTokenInfo(one).flags & TOKEN_FLAG.TOKEN_INITIALIZED) !== 0);
    if (slot === undefined) throw new TypeError("SoftHSM does not show the new token");
    const session = native.C_OpenSession(slot, READ_WRITE);
    native.C_Login(session, CKU.SO, SO_PIN);
    native.C_InitPIN(session, pin);
    native.C_Logout(session);
    native.C_Login(session, CKU.USER, pin);
    const entries = Object.entries(keys).map(([name, key]) => {
      const options = typeof key === "string" ? { type: key } : key;
      return [name, makeKey(native, session, name, options, certificates.includes(name))] as const;
    });
    const serial = native.C_GetTokenInfo(slot).serialNumber.trim();
    return { pin, serial, keys: Object.fromEntries(entries) };
  } finally {
    native.C_Finalize();
  }
}

/** A label has 32 bytes (CK_TOKEN_INFO), which pkcs11js wants all. */
function padded(label: string): string {
  const bytes = Buffer.byteLength(label);
  if (bytes > 0 && bytes <= 32 && !/\p{Cc}/u.test(label)) return label + " ".repeat(32 - bytes);
  throw new UsageError(
    "ERR_TEST_TOKEN",
    "a token's label has 1 to 32 bytes, and no control characters",
  );
}

/** CKF_SERIAL_SESSION | CKF_RW_SESSION. */
const READ_WRITE = 6;
