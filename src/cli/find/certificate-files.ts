/** Certificates in files that a command line names. */
import { naming } from "../../keys/refusals.js";
import { certificatesIn } from "../../x509/certificate-file.js";
import { readSmall } from "../io/inputs.js";
import type { Io } from "../io/io.js";

/**
 * All certificates of the files, DER, in their order.
 *
 * @throws FormatError `ERR_CERTIFICATE`, `ERR_PEM`; FileError `ERR_READ`
 */
export async function certificatesAt(paths: readonly string[], io: Io): Promise<Uint8Array[]> {
  const found: Uint8Array[] = [];
  for (const path of paths) {
    const bytes = await readSmall(path, io);
    found.push(...naming(path, () => certificatesIn(bytes)).map(({ der }) => der));
  }
  return found;
}
