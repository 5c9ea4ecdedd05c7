/** Certificates in files that a command line names. */
import { naming } from "../../keys/refusals.js";
import type { Certificate } from "../../x509/certificate.js";
import { certificatesIn } from "../../x509/certificate-file.js";
import { readSmall } from "../io/inputs.js";
import type { Io } from "../io/io.js";

/**
 * All certificates of the files, in their order.
 *
 * @throws FormatError `ERR_CERTIFICATE`, `ERR_PEM`, naming the file; FileError `ERR_READ`
 */
export async function certificatesAt(paths: readonly string[], io: Io): Promise<Certificate[]> {
  const found: Certificate[] = [];
  for (const path of paths) {
    const bytes = await readSmall(path, io);
    found.push(...naming(path, () => certificatesIn(bytes)));
  }
  return found;
}
