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
  const folder = temporaryFolder();
  const anchor = join(folder, "root.pem");
  const root = readFileSync(join(pkits, "certs", "TrustAnchorRootCertificate.crt"));
  writeFileSync(anchor, pemOf("CERTIFICATE", root));

  // The command line makes no demands on policies: of each mail, what comes out without any.
  const cases = readdirSync(join(pkits, "smime")).flatMap((file) => {
    const name = file.replace(/^Signed|\.eml$/g, "");
    return outcomesOf(ALIASES[name] ?? name)
      .filter(([demands]) => Object.keys(demands).length === 0)
      .map(([, valid]) => [name, valid && !DSA.includes(name), file] as const);
  });

  it.each(cases)("%s: valid is %s", async (_, valid, file) => {
    const { status } = await run(
      [
        ...["verify", "--trust", anchor, "--from", "any", "--at", "2026-01-01"],
        join(pkits, "smime", file),
      ],
      { env: { P11SEAL_HOME: join(folder, "home") } },
    );
    expect(status === 0).toBe(valid);
  });
});
