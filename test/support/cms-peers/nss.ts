/** NSS's tools, which run the code that Thunderbird's S/MIME runs. */
import { PKCS12_PASSWORD, type Holder, type Holders } from "./holders.js";
import type { CmsPeer, CmsProgram, Encryption, SignedForm } from "./peer.js";
import { unsupported } from "./peer.js";
import type { Workplace } from "./workplace.js";

export class NssProgram implements CmsProgram {
  readonly name: string;
  readonly #work: Workplace;
  readonly #known = new Map<string, Promise<unknown>>();

  static async start(peer: CmsPeer, work: Workplace, holders: Holders): Promise<CmsProgram> {
    const program = new NssProgram(peer.name, work);
    await work.run("certutil", ["-N", "--empty-password", "-d", program.#database]);
    const trusted = ["-A", "-n", "root", "-t", "C,C,C", "-i", holders.rootPem];
    await work.run("certutil", [...trusted, "-d", program.#database]);
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
    await this.#cmsutil("-E", "-r", to.mail, "-i", this.#work.file(content), "-o", out);
    return this.#work.written(out);
  }

  async decrypt(as: Holder, message: Uint8Array): Promise<Buffer> {
    const out = this.#work.fresh();
    await this.#knows(as);
    await this.#cmsutil("-D", "-i", this.#work.file(message), "-o", out);
    return this.#work.written(out);
  }

  async sign(form: SignedForm, as: Holder, content: Uint8Array): Promise<Buffer> {
    const out = this.#work.fresh();
    await this.#knows(as);
    const files = ["-i", this.#work.file(content), "-o", out];
    const apart = form === "detached" ? ["-T"] : [];
    await this.#cmsutil("-S", "-G", "-H", "SHA256", "-N", as.name, ...apart, ...files);
    return this.#work.written(out);
  }

  async verify(_by: Holder, message: Uint8Array, content?: Uint8Array): Promise<Buffer> {
    const out = this.#work.fresh();
    const apart = content === undefined ? [] : ["-c", this.#work.file(content)];
    await this.#cmsutil("-D", "-i", this.#work.file(message), "-o", out, ...apart);
    return this.#work.written(out);
  }

  async close(): Promise<void> {
    // No process of its own is left.
  }

  get #database(): string {
    return `sql:${this.#work.folder}`;
  }

  #knows(holder: Holder): Promise<unknown> {
    const args = ["-i", holder.pkcs12, "-W", PKCS12_PASSWORD, "-d", this.#database];
    const known = this.#known.get(holder.name) ?? this.#work.run("pk12util", args);
    this.#known.set(holder.name, known);
    return known;
  }

  #cmsutil(...args: readonly string[]): Promise<string> {
    return this.#work.run("cmsutil", [...args, "-d", this.#database]);
  }
}
