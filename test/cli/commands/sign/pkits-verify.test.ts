/**
 * PKITS' signed mails on the command line: each certificate is judged by the chain and the
 * revocation lists that its mail carries, and by nothing else but the anchor.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "@jest/globals";
import { pemOf } from "../../../support/certificates.js";
import { ALIASES, describePkits, DSA, outcomesOf } from "../../../trust/pkits.js";
import { temporaryFolder } from "../../support/folder.js";
import { run } from "../../support/run.js";

describePkits("verify with PKITS' mails", (pkits) => {
  const mails = join(pkits, "smime");
  const folder = temporaryFolder();
  const root = readFileSync(join(pkits, "certs", "TrustAnchorRootCertificate.crt"));
  const anchor = join(folder, "root.pem");
  const cases = readdirSync(mails).map((file) => file.replace(/^Signed|\.eml$/g, ""));

  it.each(cases)("%s", async (name) => {
    writeFileSync(anchor, pemOf("CERTIFICATE", root));
    const plain = outcomesOf(ALIASES[name] ?? name).find(([{ ...none }]) => {
      return Object.keys(none).length === 0;
    });
    if (plain === undefined) return; // only with demands that the command line doesn't make
    const mail = join(mails, `Signed${name}.eml`);
    const { status } = await run(
      ["verify", "--trust", anchor, "--from", "any", "--at", "2026-01-01", mail],
      {
        env: { P11SEAL_HOME: join(folder, "home") },
      },
    );
    const valid = plain[1] && !DSA.includes(name);
    expect(status === 0).toBe(valid);
  });
});
