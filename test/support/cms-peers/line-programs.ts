/**
 * BouncyCastle and Mono: libraries, with a small program of ours around each (BouncyCastle.java,
 * Mono.cs) that answers a line of request with a line.
 */
import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Holder } from "./holders.js";
import type { CmsProgram, Encryption, SignedForm } from "./peer.js";
import { unsupported } from "./peer.js";
import type { Workplace } from "./workplace.js";

const source = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

export class BouncyCastleProgram implements CmsProgram {
  readonly name: string;
  readonly #work: Workplace;
  readonly #process: LineProcess;

  static start(work: Workplace): Promise<CmsProgram> {
    return Promise.resolve(new BouncyCastleProgram(work));
  }

  private constructor(work: Workplace) {
    this.name = work.peer.name;
    this.#work = work;
    this.#process = new LineProcess(work, "java", [source("BouncyCastle.java")]);
  }

  async encrypt(how: Encryption, to: Holder, content: Uint8Array): Promise<Buffer> {
    const [plain, out] = [this.#work.file(content), this.#work.fresh()];
    const { form, recipient, cipher } = how;
    await this.#process.ask("encrypt", form, recipient, cipher, to.certificate, plain, out);
    return this.#work.written(out);
  }

  async decrypt(as: Holder, message: Uint8Array): Promise<Buffer> {
    const out = this.#work.fresh();
    await this.#process.ask("decrypt", as.key, as.certificate, this.#work.file(message), out);
    return this.#work.written(out);
  }

  async sign(form: SignedForm, as: Holder, content: Uint8Array): Promise<Buffer> {
    const [plain, out] = [this.#work.file(content), this.#work.fresh()];
    await this.#process.ask("sign", form, as.key, as.certificate, plain, out);
    return this.#work.written(out);
  }

  async verify(by: Holder, message: Uint8Array, content?: Uint8Array): Promise<Buffer> {
    const file = content === undefined ? this.#work.fresh() : this.#work.file(content);
    await this.#process.ask("verify", this.#work.file(message), file, by.certificate);
    return this.#work.written(file);
  }

  close(): Promise<void> {
    return this.#process.end();
  }
}

/** It knows RSA with PKCS#1 v1.5 and AES-256-CBC, and nothing else. */
export class MonoProgram implements CmsProgram {
  readonly name: string;
  readonly #work: Workplace;
  readonly #process: LineProcess;

  static async start(work: Workplace): Promise<CmsProgram> {
    await work.run("compiler", [`-out:${work.at("peer.exe")}`, source("Mono.cs")]);
    return new MonoProgram(work);
  }

  private constructor(work: Workplace) {
    this.name = work.peer.name;
    this.#work = work;
    this.#process = new LineProcess(work, "mono", [work.at("peer.exe")]);
  }

  async encrypt(how: Encryption, to: Holder, content: Uint8Array): Promise<Buffer> {
    if (how.form !== "enveloped") unsupported(this.name, "write AuthEnvelopedData");
    const [plain, out] = [this.#work.file(content), this.#work.fresh()];
    const name = how.recipient.endsWith("+ski") ? "ski" : "issuer";
    await this.#process.ask("encrypt", name, to.certificateDer, plain, out);
    return this.#work.written(out);
  }

  async decrypt(as: Holder, message: Uint8Array): Promise<Buffer> {
    const out = this.#work.fresh();
    await this.#process.ask("decrypt", as.pkcs12Open, this.#work.file(message), out);
    return this.#work.written(out);
  }

  /** `bare`: without signed attributes, as is the default of .NET. */
  async sign(form: SignedForm | "bare", as: Holder, content: Uint8Array): Promise<Buffer> {
    const [plain, out] = [this.#work.file(content), this.#work.fresh()];
    await this.#process.ask("sign", form, as.pkcs12Open, plain, out);
    return this.#work.written(out);
  }

  async verify(_by: Holder, message: Uint8Array, content?: Uint8Array): Promise<Buffer> {
    const file = content === undefined ? this.#work.fresh() : this.#work.file(content);
    await this.#process.ask("verify", this.#work.file(message), file);
    return this.#work.written(file);
  }

  close(): Promise<void> {
    return this.#process.end();
  }
}

/** A process that answers each line with one; requests wait for one another. */
class LineProcess {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string, undefined>;
  readonly #name: string;
  #last: Promise<unknown> = Promise.resolve();
  #said = "";

  constructor(work: Workplace, program: string, args: readonly string[]) {
    const [file, ...first] = work.command(program);
    this.#name = work.peer.name;
    this.#child = spawn(file, [...first, ...args], {
      env: { ...process.env, ...work.peer.env, LC_ALL: "C.UTF-8", HOME: work.folder },
      stdio: "pipe",
    });
    this.#child.stderr.on("data", (data) => (this.#said += String(data)));
    this.#child.on("error", (error) => (this.#said += error.message));
    this.#child.stdin.on("error", () => undefined);
    this.#lines = createInterface(this.#child.stdout)[Symbol.asyncIterator]();
  }

  /** @throws an error with the program's words, if it can't or refuses */
  ask(...request: readonly string[]): Promise<string> {
    const answer = this.#last.then(async () => {
      this.#child.stdin.write(`${request.join("\t")}\n`);
      const line = await this.#lines.next();
      if (line.done === true) throw new Error(`${this.#name} ended: ${this.#said}`);
      const [verdict, said = ""] = line.value.split("\t");
      if (verdict !== "ok") throw new Error(`${this.#name}: ${said}`);
      return said;
    });
    this.#last = answer.catch(() => undefined);
    return answer;
  }

  async end(): Promise<void> {
    const { exitCode } = this.#child;
    this.#child.stdin.end();
    if (exitCode === null) await once(this.#child, "close");
  }
}
