/**
 * Arguments and variables as they were given. Node decodes them as UTF-8 and puts U+FFFD for what
 * is not: a name of such bytes would become the name of another file. So it is refused.
 */
import { isUtf8 } from "node:buffer";
import { readFileSync } from "node:fs";
import { UsageError } from "../../errors.js";

/** @throws UsageError `ERR_NOT_UTF8` */
export function requireExactText(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): void {
  const word = argv.find(isDoubtful);
  if (word !== undefined && !isExact("cmdline")) {
    throw new UsageError("ERR_NOT_UTF8", `an argument is not UTF-8: "${word}"`, {
      hint: "rename the file, name its folder, or redirect: p11seal … < FILE > OUT",
    });
  }
  const name = Object.keys(env).find((one) => NAMES_FILES.test(one) && isDoubtful(env[one] ?? ""));
  if (name !== undefined && !isExact("environ")) {
    throw new UsageError("ERR_NOT_UTF8", `the variable ${name} is not UTF-8`, {
      hint: "give a path of UTF-8 characters, such as a symbolic link to that place",
    });
  }
}

/** Variables that p11seal, or a module, reads a path from. */
const NAMES_FILES = /^(?:P11SEAL_|PKCS11_|SOFTHSM2_|XDG_|HOME$|TMPDIR$|LOCALAPPDATA$)/;

function isDoubtful(text: string): boolean {
  return text.includes("\u{fffd}");
}

/** Linux keeps the bytes. Elsewhere nothing tells a U+FFFD that was given from one that was put. */
function isExact(file: "cmdline" | "environ"): boolean {
  try {
    return isUtf8(readFileSync(`/proc/self/${file}`));
  } catch {
    return false;
  }
}
