/** OpenSSL's `cms` command. */
import type { Holder, Holders } from "./holders.js";
import type { CmsProgram, Encryption, SignedForm } from "./peer.js";
import { unsupported } from "./peer.js";
import type { Workplace } from "./workplace.js";

export type MessageForm = "DER" | "PEM" | "SMIME";

export class OpenSslProgram implements CmsProgram {
  readonly name: string;
  readonly #work: Workplace;
  readonly #root: string;

  static start(work: Workplace, holders: Holders): Promise<CmsProgram> {
    return Promise.resolve(new OpenSslProgram(work, holders.rootPem));
  }

  private constructor(work: Workplace, root: string) {
    this.name = work.peer.name;
    this.#work = work;
    this.#root = root;
  }

  /** @param more - options of `openssl cms`, which prevail: `-outform SMIME` makes a mail */
  async encrypt(
    how: Encryption,
    to: Holder,
    content: Uint8Array,
    more: readonly string[] = [],
  ): Promise<Buffer> {
    if (how.form === "auth-enveloped-attributes") unsupported(this.name, "write attributes");
    const out = this.#work.fresh();
    const files = ["-in", this.#work.file(content), "-out", out, "-outform", "DER"];
    const options = [`-${how.cipher.replace("3des-cbc", "des3")}`, "-recip", to.certificate];
    const key = keyOptions(this.name, how.recipient);
    await this.#cms("-encrypt", ...options, ...key, ...files, ...more);
    return this.#work.written(out);
  }

  /** It alone reads mails and PEM, too. */
  async decrypt(as: Holder, message: Uint8Array, form: MessageForm = "DER"): Promise<Buffer> {
    const out = this.#work.fresh();
    const files = ["-in", this.#work.file(message), "-inform", form, "-out", out];
    await this.#cms("-decrypt", "-inkey", as.key, "-recip", as.certificate, ...files);
    return this.#work.written(out);
  }

  /** @param more - as for `encrypt` */
  async sign(
    form: SignedForm,
    as: Holder,
    content: Uint8Array,
    more: readonly string[] = [],
  ): Promise<Buffer> {
    const out = this.#work.fresh();
    const files = ["-in", this.#work.file(content), "-out", out, "-outform", "DER"];
    const options = ["-signer", as.certificate, "-inkey", as.key];
    // RFC 8419 §3.1: it does not choose by itself.
    if (as.name === "ed25519") options.push("-md", "sha512");
    if (form === "opaque") options.push("-nodetach");
    await this.#cms("-sign", ...options, ...files, ...more);
    return this.#work.written(out);
  }

  async verify(
    _by: Holder,
    message: Uint8Array,
    content?: Uint8Array,
    form: MessageForm = "DER",
  ): Promise<Buffer> {
    const out = this.#work.fresh();
    const files = ["-in", this.#work.file(message), "-inform", form, "-out", out];
    const apart = content === undefined ? [] : ["-content", this.#work.file(content)];
    await this.#cms("-verify", "-CAfile", this.#root, ...apart, ...files);
    return this.#work.written(out);
  }

  async close(): Promise<void> {
    // No process of its own is left.
  }

  #cms(...args: readonly string[]): Promise<string> {
    return this.#work.run("openssl", ["cms", "-binary", ...args]);
  }
}

function keyOptions(name: string, recipient: string): readonly string[] {
  const [, kind, hash = ""] =
    /^(rsa-oaep|ecdh|cofactor|rsa-pkcs1|ml-kem)-?(.*)$/.exec(recipient) ?? [];
  switch (kind) {
    case "rsa-pkcs1":
    case "ml-kem":
      return [];
    case "rsa-oaep":
      return options("rsa_padding_mode:oaep", `rsa_oaep_md:${hash}`, `rsa_mgf1_md:${hash}`);
    case "ecdh":
      return options(`ecdh_kdf_md:${hash}`);
    case "cofactor":
      return options("ecdh_cofactor_mode:1", `ecdh_kdf_md:${hash}`);
    case undefined:
    default:
      return unsupported(name, `encrypt for ${recipient}`);
  }
}

function options(...all: readonly string[]): readonly string[] {
  return all.flatMap((one) => ["-keyopt", one]);
}
