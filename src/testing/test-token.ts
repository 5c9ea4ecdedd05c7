/**
 * A throw-away token for a test: SoftHSM in a folder of its own, behind a module of its own. The
 * module needs no environment variable, so it also works where a test runner hides `process.env`
 * from native code, and one process can have many tokens.
 */
import { join } from "node:path";
import { TokenError, UsageError } from "../errors.js";
import { loadBinding } from "../token/modules/load-binding.js";
import { formatUri } from "../token/uri.js";
import { cacheFolder, pruneCache } from "./cache.js";
import { type FindOptions, findSoftHsm } from "./find-softhsm.js";
import { newTokenFolder, tokensFolder } from "./folders.js";
import { requireLoadable } from "./loadable.js";
import type { MadeKey, TestKeyOptions, TestKeyType } from "./make-keys.js";
import { type Profile, type ProfileName, profileOf } from "./profiles.js";
import { Remembered } from "./remembered.js";
import { type ShimLibrary, shimLibrary } from "./shim-library.js";
import {
  layToken,
  SO_PIN,
  softHsmConfIn,
  type TemplateToken,
  templateToken,
  tokenFiles,
} from "./template-token.js";
import { UNAVAILABLE, unavailable } from "./unavailable.js";
import { type WrappedModule, wrappedIn } from "./wrapped-module.js";

export interface TestTokenOptions extends FindOptions {
  /** The token's label, at most 32 bytes; by default "test". */
  readonly label?: string;
  /** Keys by label; by default none. */
  readonly keys?: Readonly<Record<string, TestKeyType | TestKeyOptions>>;
  /** The user's PIN, 4 to 255 characters; by default `random`: 8 digits. */
  readonly pin?: string;
  /** Labels of keys that get a self-signed certificate beside them; `true`: all that can sign. */
  readonly certificate?: boolean | string | readonly string[];
  /** The kind of token that it behaves like; by default `softhsm`. */
  readonly profile?: ProfileName | Profile;
}

/** A token of one's own, and a module that shows it and no other. */
export interface TestToken extends WrappedModule {
  readonly label: string;
  /** As in `pkcs11:token=test`. */
  readonly uri: string;
  /** The user's PIN. */
  readonly pin: string;
  /** The security officer's PIN. */
  readonly soPin: string;
  readonly serial: string;
  /**
   * Variables for other programs: `PKCS11_MODULE_PATH`, `SOFTHSM2_CONF`, `PKCS11_TOKEN_LABEL`,
   * `PKCS11_PIN`, `PKCS11_URI`, and what p11seal needs to use this token alone.
   */
  readonly env: Readonly<Record<string, string>>;
  /**
   * A key's URI, by its id: labels differ from profile to profile.
   *
   * @throws UsageError for a key that the token was not made with
   */
  keyUri(key: string): string;
  /** A key's public half, PEM. @throws UsageError for a key that the token was not made with */
  pem(key: string): string;
  /** A key's certificate, PEM. @throws UsageError where it was made without */
  certificate(key: string): string;
  /** A copy as it is now, with a folder and a module of its own, without faults. */
  clone(): Promise<TestToken>;
  /** Removes the token and its folder. Programs that have it open lose their keys. */
  close(): Promise<void>;
}

/**
 * Makes a token. The first one on a machine makes the keys, and compiles a module where the package
 * has none for this platform, which takes some seconds; after that a token takes milliseconds.
 *
 * @throws UnsupportedError `ERR_TEST_TOKEN_UNAVAILABLE` where SoftHSM, a C++ compiler that is
 * needed, or both pkcs11js and koffi are missing: `whyNoTestToken` tells that beforehand
 */
export async function testToken(options: TestTokenOptions = {}): Promise<TestToken> {
  const { label = "test", keys = {}, pin = "random", profile = "softhsm" } = options;
  const certificates = certificatesOf(options);
  const material = materialOf(options);
  const { softHsm, shim } = material instanceof Promise ? await material : material;
  const contents = { label, keys, pin, certificates };
  const found = templateToken(contents, { softHsm, shim });
  const template = found instanceof Promise ? await found : found;
  return tokenFrom(template.files, {
    template,
    label,
    softHsm,
    shim,
    profile: profileOf(profile),
  });
}

/**
 * Why no test token can be made on this machine, in one sentence; undefined if one can. For
 * `test.skip`.
 */
export async function whyNoTestToken(options: FindOptions = {}): Promise<string | undefined> {
  try {
    await materialOf(options);
    return undefined;
  } catch (error) {
    const { code, message, hint } = error as { code?: string; message: string; hint?: string };
    if (code !== UNAVAILABLE) throw error;
    return hint === undefined ? message : `${message}; ${hint}`;
  }
}

// ── Details ──

interface Made {
  readonly template: TemplateToken;
  readonly label: string;
  readonly softHsm: string;
  readonly shim: ShimLibrary;
  readonly profile: Profile;
}

function materialOf(options: FindOptions): Material | Promise<Material> {
  const { softhsm = process.env["SOFTHSM2_LIB"], download } = options;
  return materials.get(JSON.stringify([softhsm, download]), async () => {
    const softHsm = await findSoftHsm(options);
    const shim = await shimLibrary();
    await requireBinding();
    requireLoadable(tokensFolder(), "TMPDIR");
    requireLoadable(cacheFolder(), "P11SEAL_TESTING_CACHE");
    pruneCache();
    return { softHsm, shim };
  });
}

/** The template is made through pkcs11js or koffi. */
async function requireBinding(): Promise<void> {
  try {
    await loadBinding();
  } catch (error) {
    if (!(error instanceof TokenError) || error.code !== "ERR_NATIVE_MISSING") throw error;
    throw unavailable(error.message, error.hint ?? "", error);
  }
}

type Material = Pick<Made, "softHsm" | "shim">;

const materials = new Remembered<Material>();

function certificatesOf({ certificate = false, keys = {} }: TestTokenOptions): string[] {
  const labels = Object.keys(keys);
  if (certificate === false) return [];
  const typeOf = (label: string): string | undefined => {
    const key = keys[label];
    return typeof key === "string" ? key : key?.type;
  };
  const chosen =
    certificate === true
      ? labels.filter((label) => typeOf(label) !== "x25519")
      : [certificate].flat();
  for (const label of chosen) {
    if (!labels.includes(label)) throw noKey(label, labels);
    if (typeOf(label) !== "x25519") continue;
    throw new UsageError(
      "ERR_TEST_KEY",
      `key "${label}" is X25519, which can't sign a certificate`,
    );
  }
  return chosen;
}

function noKey(label: string, labels: readonly string[]): UsageError {
  const hint = labels.length === 0 ? "it was made without keys" : `its keys: ${labels.join(", ")}`;
  return new UsageError("ERR_TEST_KEY", `the test token has no key "${label}"`, { hint });
}

/** A token with these files of SoftHSM's. */
function tokenFrom(files: TemplateToken["files"], made: Made): TestToken {
  const { template, label, softHsm, shim, profile } = made;
  const folder = newTokenFolder();
  layToken(folder, shim, files);
  const softHsmConf = softHsmConfIn(folder);
  const { pin, serial, keys } = template;
  const person = { pin, soPin: SO_PIN };
  const wrapped = wrappedIn(folder, { real: softHsm, softHsmConf, profile, person });
  const { module } = wrapped;
  const uri = formatUri({ token: label });
  const keyNamed = (name: string): MadeKey => {
    const key = Object.hasOwn(keys, name) ? keys[name] : undefined;
    if (key === undefined) throw noKey(name, Object.keys(keys));
    return key;
  };
  return {
    ...wrapped,
    ...{ label, uri, pin, soPin: SO_PIN, serial },
    env: {
      PKCS11_MODULE_PATH: module,
      SOFTHSM2_CONF: softHsmConf,
      PKCS11_TOKEN_LABEL: label,
      PKCS11_PIN: pin,
      PKCS11_URI: uri,
      P11SEAL_MODULE: module,
      P11SEAL_SYSTEM_MODULES: "0",
      P11SEAL_HOME: join(folder, "home"),
      ...ownAgent(folder),
      // Nothing is read where a person types the PIN.
      ...(profile.shows?.pinPad ? {} : { P11SEAL_PIN_SOURCE: "env:PKCS11_PIN" }),
    },
    keyUri: (name) => formatUri({ token: label, id: Buffer.from(keyNamed(name).id, "hex") }),
    pem: (name) => keyNamed(name).spkiPem,
    certificate: (name) => {
      const { certificate } = keyNamed(name);
      if (certificate !== undefined) return certificate;
      throw new UsageError("ERR_TEST_KEY", `key "${name}" was made without a certificate`, {
        hint: "name it in the option `certificate`",
      });
    },
    clone: () => Promise.resolve(tokenFrom(tokenFiles(folder), made)),
  };
}

/** The place of an agent of the token's own, so that the user's is neither asked nor stopped. */
function ownAgent(folder: string): Readonly<Record<string, string>> {
  const socket = join(folder, "agent.sock");
  // A socket's path is short (unix(7)); in a deep folder for temporary files there can be none.
  return Buffer.byteLength(socket) > MAX_SOCKET_BYTES ? {} : { P11SEAL_AGENT_SOCK: socket };
}

const MAX_SOCKET_BYTES = 103;
