/**
 * NIST's test suite for paths of certificates (PKITS), as Debian packages it for pyca/cryptography:
 * where it is installed, or unpacked into .cache/.
 */
import fs from "node:fs";
import path from "node:path";
import { aptFailure, aptUnpack, hasApt } from "./apt.mjs";
import { cache } from "./run.mjs";

const PACKAGE = "python3-cryptography-vectors";
const DATA = "usr/lib/python3/dist-packages/cryptography_vectors/x509/PKITS_data";

/**
 * The folder with `certs`, `crls` and `smime`.
 * @returns {{ path: string } | { reason: string }}
 */
export function ensurePkits() {
  const unpacked = path.join(cache, "pkits");
  const present = [path.join("/", DATA), path.join(unpacked, DATA)].find((folder) =>
    fs.existsSync(folder),
  );
  if (present !== undefined) return { path: present };
  if (!hasApt()) return { reason: `there is no apt to get ${PACKAGE} with` };
  return aptUnpack([PACKAGE], unpacked)
    ? { path: path.join(unpacked, DATA) }
    : { reason: `${PACKAGE} could not be got:\n${aptFailure()}` };
}
