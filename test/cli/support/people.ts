/** People with certificates, whose keys lie in files as a test's commands want them. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Issuer, pemOf } from "../../support/certificates.js";

/**
 * Writes `NAME.key`, `NAME.pem` (its public half), `NAME.crt` and `NAME-both.pem` (key and
 * certificates).
 * @param chain - the certificates that follow the person's own
 */
export function writePerson(
  folder: string,
  name: string,
  { certificate, keys }: Issuer,
  chain: readonly Issuer[] = [],
): void {
  const write = (ending: string, content: string): void => {
    writeFileSync(join(folder, name + ending), content, { mode: 0o600 });
  };
  const key = String(keys.privateKey.export({ type: "pkcs8", format: "pem" }));
  const all = [certificate, ...chain.map((one) => one.certificate)];
  const certificates = pemOf("CERTIFICATE", ...all.map(({ der }) => der));
  write(".key", key);
  write(".pem", String(keys.publicKey.export({ type: "spki", format: "pem" })));
  write(".crt", certificates);
  write("-both.pem", key + certificates);
}
