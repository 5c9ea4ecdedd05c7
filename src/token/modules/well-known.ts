/**
 * The paths where vendors' packages install modules, per platform. A path that does not exist costs
 * one stat call.
 */
import { join } from "node:path";

/** Where to look for modules. */
export interface SystemPaths {
  /** Absolute paths that may hold a module, most common first. */
  readonly wellKnown: readonly string[];
  /** Folders with p11-kit's `*.module` files; later ones override earlier ones. */
  readonly p11KitConfigs: readonly string[];
  /** Folders that a relative `module:` is resolved against. */
  readonly p11KitModules: readonly string[];
}

/** The paths of this machine. `env` gives the user's folders. */
export function systemPaths(
  env: Readonly<Record<string, string | undefined>>,
  platform: NodeJS.Platform = process.platform,
  arch: string = process.arch,
): SystemPaths {
  if (platform === "win32") return windowsPaths(env);
  const libraries = platform === "darwin" ? MAC_LIBRARIES : linuxLibraries(arch);
  const names = platform === "darwin" ? MAC_NAMES : LINUX_NAMES;
  const user = env["XDG_CONFIG_HOME"] ?? (env["HOME"] && join(env["HOME"], ".config"));
  return {
    wellKnown: [
      ...names.flatMap((name) => libraries.map((folder) => `${folder}/${name}`)),
      ...(platform === "darwin" ? MAC_PATHS : LINUX_PATHS),
    ],
    p11KitConfigs: [
      "/usr/share/p11-kit/modules",
      "/usr/local/share/p11-kit/modules",
      "/opt/homebrew/share/p11-kit/modules",
      "/etc/pkcs11/modules",
      ...(user ? [join(user, "pkcs11", "modules")] : []),
    ],
    p11KitModules: libraries.map((folder) => `${folder}/pkcs11`),
  };
}

function linuxLibraries(arch: string): string[] {
  const triplet = TRIPLETS[arch];
  return [
    ...(triplet === undefined ? [] : [`/usr/lib/${triplet}`]),
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
    "/usr/local/lib64",
  ];
}

/** Debian's multiarch folders. */
const TRIPLETS: Readonly<Partial<Record<string, string>>> = {
  arm: "arm-linux-gnueabihf",
  arm64: "aarch64-linux-gnu",
  ia32: "i386-linux-gnu",
  loong64: "loongarch64-linux-gnu",
  ppc64: "powerpc64le-linux-gnu",
  riscv64: "riscv64-linux-gnu",
  s390x: "s390x-linux-gnu",
  x64: "x86_64-linux-gnu",
};

/**
 * Relative to a library folder. NSS softoken is missing: it starts only with a database that the
 * user names.
 */
const LINUX_NAMES = [
  "softhsm/libsofthsm2.so",
  "pkcs11/libsofthsm2.so",
  "libsofthsm2.so",
  "opensc-pkcs11.so",
  "pkcs11/opensc-pkcs11.so",
  "libykcs11.so",
  "libykcs11.so.2",
  "pkcs11/yubihsm_pkcs11.so",
  "pkcs11/libtpm2_pkcs11.so",
  "libtpm2_pkcs11.so",
  "libtpm2_pkcs11.so.1",
  "pkcs11/libopencryptoki.so",
  "opencryptoki/libopencryptoki.so",
  "libsc-hsm-pkcs11.so",
  "pkcs11/libsc-hsm-pkcs11.so",
  "libeTPkcs11.so",
  "libIDPrimePKCS11.so",
  "libbeidpkcs11.so",
  "libcastle.so",
  "libcs_pkcs11_R3.so",
  "libcknfast.so",
];

const LINUX_PATHS = [
  "/opt/nfast/toolkits/pkcs11/libcknfast.so",
  "/usr/safenet/lunaclient/lib/libCryptoki2_64.so",
  "/opt/cloudhsm/lib/libcloudhsm_pkcs11.so",
  "/opt/utimaco/lib/libcs_pkcs11_R3.so",
];

const MAC_LIBRARIES = ["/opt/homebrew/lib", "/usr/local/lib", "/Library/OpenSC/lib"];

const MAC_NAMES = [
  "softhsm/libsofthsm2.so",
  "opensc-pkcs11.so",
  "pkcs11/opensc-pkcs11.so",
  "libykcs11.dylib",
  "pkcs11/yubihsm_pkcs11.dylib",
  "libeTPkcs11.dylib",
  "libsc-hsm-pkcs11.so",
];

const MAC_PATHS = ["/Library/Frameworks/eToken.framework/Versions/A/libIDPrimePKCS11.dylib"];

function windowsPaths(env: Readonly<Record<string, string | undefined>>): SystemPaths {
  const system = `${env["SystemRoot"] ?? "C:\\Windows"}\\System32`;
  const programs = env["ProgramFiles"] ?? "C:\\Program Files";
  return {
    wellKnown: [
      "C:\\SoftHSM2\\lib\\softhsm2-x64.dll",
      `${programs}\\SoftHSM2\\lib\\softhsm2-x64.dll`,
      `${programs}\\OpenSC Project\\OpenSC\\pkcs11\\opensc-pkcs11.dll`,
      `${programs}\\Yubico\\Yubico PIV Tool\\bin\\libykcs11.dll`,
      `${programs}\\Yubico\\YubiHSM Shell\\bin\\pkcs11\\yubihsm_pkcs11.dll`,
      `${programs}\\nCipher\\nfast\\toolkits\\pkcs11\\cknfast.dll`,
      `${programs}\\SafeNet\\LunaClient\\cryptoki.dll`,
      `${system}\\eTPKCS11.dll`,
      `${system}\\beidpkcs11.dll`,
    ],
    p11KitConfigs: [],
    p11KitModules: [],
  };
}
