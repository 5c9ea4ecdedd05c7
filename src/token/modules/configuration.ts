/**
 * The environment that libraries need: configuration files, folders, daemons. It is checked only
 * when a library fails to start or shows no token, to say what is missing. Nothing is loaded or
 * changed here.
 */
import {
  accessSync,
  constants,
  existsSync,
  readdirSync,
  readFileSync,
  realpathSync,
} from "node:fs";
import { homedir } from "node:os";
import { basename, join } from "node:path";
import { bytesOfText, textOfBytes } from "../byte-text.js";
import { type Discovery, developmentToken, namedSoftHsmConf } from "./discover.js";

/** A fault in a library's environment. */
export interface ConfigurationFault {
  /** A fact: lower case, no full stop. */
  readonly message: string;
  /** One sentence of advice. */
  readonly hint: string;
}

/**
 * The fault in the environment of the library at `path`; undefined when none was found or the
 * library is not a known one.
 */
export function configurationFault(path: string, where: Discovery): ConfigurationFault | undefined {
  return LIBRARIES.find(([name]) => name.test(basename(path)))?.[1](where);
}

/**
 * SoftHSM reads one configuration alone. The fault is that another one has tokens, which nobody
 * sees: the user's or the system's beside the development token's, or the development token's
 * beside the one in SOFTHSM2_CONF.
 */
export function overlookedTokens(
  where: Pick<Discovery, "env" | "home">,
): ConfigurationFault | undefined {
  const { conf } = developmentToken(where.home);
  if (!existsSync(conf)) return undefined;
  const read = softHsmConfiguration(where).path;
  const other = read === conf ? usualConfiguration(where) : conf;
  if (other === undefined) return undefined;
  const folder = tokenFolder(other);
  if (folder === undefined || !holdsTokens(folder)) return undefined;
  if (realPath(folder) === realPath(tokenFolder(read) ?? "")) return undefined;
  return {
    message: `SoftHSM's tokens of "${other}" are not looked at: it reads one configuration, "${read}"`,
    hint:
      other === conf
        ? "unset SOFTHSM2_CONF to use them"
        : `to use them, set SOFTHSM2_CONF=${other}`,
  };
}

/**
 * The configuration that SoftHSM will read: from the variable, of the development token, the user's
 * or the system's.
 */
function softHsmConfiguration({ env, home }: Pick<Discovery, "env" | "home">): {
  readonly path: string;
  readonly isNamed: boolean;
} {
  const named = namedSoftHsmConf(env);
  if (named !== undefined) return { path: named, isNamed: true };
  const { conf } = developmentToken(home);
  const found = existsSync(conf) ? conf : usualConfiguration({ env });
  return { path: found ?? "/etc/softhsm/softhsm2.conf", isNamed: false };
}

/** The one that SoftHSM reads when no variable is set: the user's, or else the system's. */
function usualConfiguration({ env }: Pick<Discovery, "env">): string | undefined {
  return [
    join(env["HOME"] ?? homedir(), ".config", "softhsm2", "softhsm2.conf"),
    "/etc/softhsm/softhsm2.conf",
    "/etc/softhsm2.conf",
    "/opt/homebrew/etc/softhsm/softhsm2.conf",
    "/usr/local/etc/softhsm/softhsm2.conf",
  ].find((path) => existsSync(path));
}

/** `directories.tokendir` of a configuration, as `textOfBytes` gives it. */
function tokenFolder(conf: string): string | undefined {
  return /^\s*directories\.tokendir\s*=\s*(.+?)\s*$/m.exec(textOf(conf))?.[1];
}

/** Each token is a folder. What this user can't read holds none for them. */
function holdsTokens(folder: string): boolean {
  try {
    const entries = readdirSync(bytesOfText(folder), { withFileTypes: true, encoding: "buffer" });
    return entries.some((entry) => entry.isDirectory());
  } catch {
    return false;
  }
}

type Look = (where: Discovery) => ConfigurationFault | undefined;

const LIBRARIES: readonly (readonly [RegExp, Look])[] = [
  [/^(?:lib)?softhsm2(?:-x64)?\./i, softHsm],
  [/^(?:lib)?softokn3\./i, nss],
  [/^(?:onepin-)?opensc-pkcs11\./i, openSc],
  [/^(?:lib)?(?:opencryptoki|pkcs11_api)\./i, openCryptoki],
  [/^libtpm2_pkcs11\./i, tpm],
  [/^p11-kit-client\./i, p11Kit],
];

function softHsm(where: Discovery): ConfigurationFault | undefined {
  const { path, isNamed } = softHsmConfiguration(where);
  const who = isNamed ? `SOFTHSM2_CONF names "${path}"` : `SoftHSM's configuration is "${path}"`;
  const hint =
    "set SOFTHSM2_CONF to SoftHSM's configuration, or make a development token with `p11seal token init`";
  const fault = faultOf(path, constants.R_OK);
  if (fault !== undefined) return { message: `${who}, which ${fault}`, hint };
  const folder = tokenFolder(path);
  if (folder === undefined) return { message: `${who}, which names no directories.tokendir`, hint };
  const folderFault = faultOf(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  if (folderFault === undefined) return undefined;
  return {
    message: `SoftHSM keeps its tokens in "${folder}", which ${folderFault}`,
    hint: "make the folder, or let this user read and write it (on Debian: the group softhsm)",
  };
}

function nss({ env }: Discovery): ConfigurationFault | undefined {
  if (env["P11SEAL_NSS_PARAMETERS"] !== undefined) return undefined;
  const folder = env["P11SEAL_NSS_DIR"];
  const hint = "set P11SEAL_NSS_DIR to the folder of the NSS database (cert9.db)";
  if (folder === undefined || folder === "") {
    return { message: "no database is set for NSS softoken", hint };
  }
  const fault = faultOf(join(folder, "cert9.db"), constants.R_OK);
  if (fault === undefined) return undefined;
  return { message: `P11SEAL_NSS_DIR names "${folder}", whose cert9.db ${fault}`, hint };
}

function openSc(): ConfigurationFault | undefined {
  if (process.platform !== "linux") return undefined;
  if (PCSCD_SOCKETS.some((path) => existsSync(path))) return undefined;
  return {
    message: "pcscd is not running; it is needed for readers",
    hint: "start it (Debian: apt install pcscd, systemctl start pcscd.socket), and insert the card",
  };
}

function openCryptoki(): ConfigurationFault | undefined {
  const conf = "/etc/opencryptoki/opencryptoki.conf";
  const fault = faultOf(conf, constants.R_OK);
  if (fault !== undefined) {
    return {
      message: `openCryptoki's configuration is "${conf}", which ${fault}`,
      hint: "install openCryptoki's package, and add this user to the group pkcs11",
    };
  }
  if (SLOTD_FILES.some((path) => existsSync(path))) return undefined;
  return {
    message: "pkcsslotd is not running; openCryptoki needs it",
    hint: "start pkcsslotd, and add this user to the group pkcs11",
  };
}

function tpm({ env }: Discovery): ConfigurationFault | undefined {
  const store = env["TPM2_PKCS11_STORE"];
  const storeFault = store ? faultOf(store, constants.R_OK) : undefined;
  if (storeFault !== undefined) {
    return {
      message: `TPM2_PKCS11_STORE names "${store ?? ""}", which ${storeFault}`,
      hint: "make the folder, or name the one that tpm2_ptool or pkcs11-tool made the token in",
    };
  }
  if (env["TPM2_PKCS11_TCTI"] !== undefined) return undefined;
  const fault = faultOf("/dev/tpmrm0", constants.R_OK | constants.W_OK);
  if (fault === undefined) return undefined;
  return {
    message: `the TPM's device "/dev/tpmrm0" ${fault}`,
    hint: "add this user to the group tss, or set TPM2_PKCS11_TCTI to another connection to a TPM",
  };
}

function p11Kit({ env }: Discovery): ConfigurationFault | undefined {
  const address = env["P11_KIT_SERVER_ADDRESS"];
  if (address === undefined || address === "") {
    return {
      message: "P11_KIT_SERVER_ADDRESS is not set; p11-kit's client needs a server",
      hint: "start `p11-kit server TOKEN`, and set what it prints",
    };
  }
  const socket = /^unix:path=(.+)$/.exec(address)?.[1];
  const fault = socket === undefined ? undefined : faultOf(socket, constants.R_OK | constants.W_OK);
  if (fault === undefined) return undefined;
  return {
    message: `P11_KIT_SERVER_ADDRESS names "${socket ?? ""}", which ${fault}`,
    hint: "the server may have ended: start `p11-kit server TOKEN` again",
  };
}

const PCSCD_SOCKETS = ["/run/pcscd/pcscd.comm", "/var/run/pcscd/pcscd.comm"];
const SLOTD_FILES = [
  "/run/pkcsslotd.socket",
  "/run/opencryptoki/pkcsslotd.pid",
  "/run/pkcsslotd.pid",
];

/** As in "does not exist"; undefined when the path exists and this user has the access needed. */
function faultOf(path: string, mode: number): string | undefined {
  try {
    accessSync(bytesOfText(path), mode);
    return undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return "does not exist";
    if (code === "EACCES" || code === "EPERM") return "this user may not use";
    return `cannot be used (${code ?? "unknown"})`;
  }
}

function textOf(path: string): string {
  try {
    return textOfBytes(readFileSync(path));
  } catch {
    return "";
  }
}

function realPath(path: string): string {
  try {
    return textOfBytes(realpathSync(bytesOfText(path), { encoding: "buffer" }));
  } catch {
    return path;
  }
}
