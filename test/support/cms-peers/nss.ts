/** NSS's tools, which run the code that Thunderbird's S/MIME runs. */
import { PKCS12_PASSWORD, type Holders } from "./holders.js";
import { KeyringProgram } from "./keyring-program.js";
import type { CmsProgram } from "./peer.js";
import type { Workplace } from "./workplace.js";

export async function startNss(work: Workplace, holders: Holders): Promise<CmsProgram> {
  const database = ["-d", `sql:${work.folder}`];
  const cmsutil = (...args: readonly string[]): Promise<string> =>
    work.run("cmsutil", [...args, ...database]);
  await work.run("certutil", ["-N", "--empty-password", ...database]);
  const trusted = ["-A", "-n", "root", "-t", "C,C,C", "-i", holders.rootPem];
  await work.run("certutil", [...trusted, ...database]);
  return new KeyringProgram(work, {
    importKey: ({ pkcs12 }) =>
      work.run("pk12util", ["-i", pkcs12, "-W", PKCS12_PASSWORD, ...database]),
    encrypt: (to, content, out) => cmsutil("-E", "-r", to.mail, "-i", content, "-o", out),
    decrypt: (message, out) => cmsutil("-D", "-i", message, "-o", out),
    sign: (form, as, content, out) => {
      const apart = form === "detached" ? ["-T"] : [];
      const files = ["-i", content, "-o", out];
      return cmsutil("-S", "-G", "-H", "SHA256", "-N", as.name, ...apart, ...files);
    },
    verify: (message, content, out) => {
      const apart = content === undefined ? [] : ["-c", content];
      return cmsutil("-D", "-i", message, "-o", out, ...apart);
    },
  });
}
