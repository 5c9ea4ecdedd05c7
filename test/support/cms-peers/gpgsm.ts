/**
 * GnuPG's S/MIME program. Its keys are with gpg-agent, which it starts, and which ends when its
 * folder is removed.
 */
import { X509Certificate } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { PKCS12_PASSWORD, type Holders } from "./holders.js";
import { KeyringProgram } from "./keyring-program.js";
import type { CmsProgram } from "./peer.js";
import type { Workplace } from "./workplace.js";

export async function startGpgsm(work: Workplace, holders: Holders): Promise<CmsProgram> {
  const gpgsm = (...args: readonly string[]): Promise<string> => {
    const [agent] = work.command("agent");
    const quiet = ["--batch", "--no-tty", "--yes", "--disable-crl-checks", "--disable-dirmngr"];
    const secret = ["--pinentry-mode", "loopback", "--passphrase-fd", "0"];
    const own = ["--homedir", work.folder, "--agent-program", agent];
    return work.run("gpgsm", [...own, ...quiet, ...secret, ...args], `${PKCS12_PASSWORD}\n`);
  };
  const root = new X509Certificate(readFileSync(holders.rootPem));
  writeFileSync(work.at("trustlist.txt"), `${root.fingerprint} S relax\n`);
  writeFileSync(work.at("gpg-agent.conf"), "allow-loopback-pinentry\n");
  await gpgsm("--import", holders.rootPem);
  return new KeyringProgram(work, {
    importKey: (holder) => gpgsm("--import", holder.pkcs12),
    encrypt: (to, content, out) => gpgsm("-o", out, "-r", to.mail, "--encrypt", content),
    decrypt: (message, out) => gpgsm("-o", out, "--decrypt", message),
    sign: (form, as, content, out) => {
      const command = form === "detached" ? "--detach-sign" : "--sign";
      return gpgsm("-o", out, "-u", as.mail, command, content);
    },
    verify: (message, content, out) => {
      const apart = content === undefined ? [] : [content];
      return gpgsm("-o", out, "--verify", message, ...apart);
    },
    close: () => {
      rmSync(work.folder, { recursive: true });
    },
  });
}
