/**
 * GnuPG's S/MIME program. Its keys are with gpg-agent, which it starts, and which ends when its
 * folder is removed.
 */
import { X509Certificate } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { PKCS12_PASSWORD, type Holder, type Holders } from "./holders.js";
import type { CmsPeer, CmsProgram, Encryption, SignedForm } from "./peer.js";
import { unsupported } from "./peer.js";
import type { Workplace } from "./workplace.js";

export class GpgsmProgram implements CmsProgram {
  readonly name: string;
  readonly #work: Workplace;
  readonly #known = new Map<string, Promise<unknown>>();

  static async start(peer: CmsPeer, work: Workplace, holders: Holders): Promise<CmsProgram> {
    const program = new GpgsmProgram(peer.name, work);
    const root = new X509Certificate(readFileSync(holders.rootPem));
    writeFileSync(work.at("trustlist.txt"), `${root.fingerprint} S relax\n`);
    writeFileSync(work.at("gpg-agent.conf"), "allow-loopback-pinentry\n");
    await program.#gpgsm("--import", holders.rootPem);
    return program;
  }

  private constructor(name: string, work: Workplace) {
    this.name = name;
    this.#work = work;
  }

  async encrypt(how: Encryption, to: Holder, content: Uint8Array): Promise<Buffer> {
    // It chooses all of it by the certificate.
    if (how.form !== "enveloped") unsupported(this.name, "write AuthEnvelopedData");
    const out = this.#work.fresh();
    await this.#knows(to);
    await this.#gpgsm("-o", out, "-r", to.mail, "--encrypt", this.#work.file(content));
    return this.#work.written(out);
  }

  async decrypt(as: Holder, message: Uint8Array): Promise<Buffer> {
    const out = this.#work.fresh();
    await this.#knows(as);
    await this.#gpgsm("-o", out, "--decrypt", this.#work.file(message));
    return this.#work.written(out);
  }

  async sign(form: SignedForm, as: Holder, content: Uint8Array): Promise<Buffer> {
    const out = this.#work.fresh();
    await this.#knows(as);
    const command = form === "detached" ? "--detach-sign" : "--sign";
    await this.#gpgsm("-o", out, "-u", as.mail, command, this.#work.file(content));
    return this.#work.written(out);
  }

  async verify(_by: Holder, message: Uint8Array, content?: Uint8Array): Promise<Buffer> {
    const out = this.#work.fresh();
    const apart = content === undefined ? [] : [this.#work.file(content)];
    await this.#gpgsm("-o", out, "--verify", this.#work.file(message), ...apart);
    return this.#work.written(out);
  }

  close(): Promise<void> {
    rmSync(this.#work.folder, { recursive: true });
    return Promise.resolve();
  }

  #knows(holder: Holder): Promise<unknown> {
    const known = this.#known.get(holder.name) ?? this.#gpgsm("--import", holder.pkcs12);
    this.#known.set(holder.name, known);
    return known;
  }

  #gpgsm(...args: readonly string[]): Promise<string> {
    const [agent] = this.#work.command("agent");
    const quiet = ["--batch", "--no-tty", "--yes", "--disable-crl-checks", "--disable-dirmngr"];
    const secret = ["--pinentry-mode", "loopback", "--passphrase-fd", "0"];
    const own = ["--homedir", this.#work.folder, "--agent-program", agent];
    return this.#work.run("gpgsm", [...own, ...quiet, ...secret, ...args], `${PKCS12_PASSWORD}\n`);
  }
}
