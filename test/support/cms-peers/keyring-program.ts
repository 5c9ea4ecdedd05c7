/**
 * A peer whose keys lie in a database of its own, into which holders' keys are brought first, and
 * which reads and writes files. It chooses all of an encryption by the certificate.
 */
import type { Holder } from "./holders.js";
import type { CmsProgram, Encryption, SignedForm } from "./peer.js";
import { unsupported } from "./peer.js";
import type { Workplace } from "./workplace.js";

/** Its command lines, each from files to the file `out`. */
export interface KeyringCommands {
  /** Brings the holder's key into the database. */
  importKey(holder: Holder): Promise<unknown>;
  encrypt(to: Holder, content: string, out: string): Promise<unknown>;
  decrypt(message: string, out: string): Promise<unknown>;
  sign(form: SignedForm, as: Holder, content: string, out: string): Promise<unknown>;
  /** `content` is that of a detached signature. */
  verify(message: string, content: string | undefined, out: string): Promise<unknown>;
  close?(): void;
}

export class KeyringProgram implements CmsProgram {
  readonly name: string;
  readonly #work: Workplace;
  readonly #commands: KeyringCommands;
  readonly #known = new Map<string, Promise<unknown>>();

  constructor(work: Workplace, commands: KeyringCommands) {
    this.name = work.peer.name;
    this.#work = work;
    this.#commands = commands;
  }

  async encrypt(how: Encryption, to: Holder, content: Uint8Array): Promise<Buffer> {
    if (how.form !== "enveloped") unsupported(this.name, "write AuthEnvelopedData");
    await this.#knows(to);
    return this.#made((out) => this.#commands.encrypt(to, this.#work.file(content), out));
  }

  async decrypt(as: Holder, message: Uint8Array): Promise<Buffer> {
    await this.#knows(as);
    return this.#made((out) => this.#commands.decrypt(this.#work.file(message), out));
  }

  async sign(form: SignedForm, as: Holder, content: Uint8Array): Promise<Buffer> {
    await this.#knows(as);
    return this.#made((out) => this.#commands.sign(form, as, this.#work.file(content), out));
  }

  verify(_by: Holder, message: Uint8Array, content?: Uint8Array): Promise<Buffer> {
    const apart = content === undefined ? undefined : this.#work.file(content);
    return this.#made((out) => this.#commands.verify(this.#work.file(message), apart, out));
  }

  close(): Promise<void> {
    this.#commands.close?.();
    return Promise.resolve();
  }

  #knows(holder: Holder): Promise<unknown> {
    const known = this.#known.get(holder.name) ?? this.#commands.importKey(holder);
    this.#known.set(holder.name, known);
    return known;
  }

  async #made(make: (out: string) => Promise<unknown>): Promise<Buffer> {
    const out = this.#work.fresh();
    await make(out);
    return this.#work.written(out);
  }
}
