/** What the tests with other programs share: a folder, holders of keys, the programs, p11seal. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect } from "@jest/globals";
import { Holders } from "../../support/cms-peers/holders.js";
import { CMS_PEERS, type CmsPeer, type CmsProgram } from "../../support/cms-peers/peer.js";
import { startPeer } from "../../support/cms-peers/programs.js";
import { softHsmEnvironment, USER_PIN } from "../../support/softhsm.js";
import { temporaryFolder } from "../support/folder.js";
import { run, type Outcome } from "../support/run.js";

export class CmsBench {
  readonly folder: string;
  readonly holders: Holders;
  readonly #programs = new Map<string, Promise<CmsProgram>>();
  #files = 0;

  constructor() {
    if (CMS_PEERS.length === 0) throw new Error("P11SEAL_TEST_CMS is not set: run npm test");
    // Before the folder goes.
    afterAll(() => this.#close());
    this.folder = temporaryFolder();
    this.holders = new Holders(this.folder);
    writeFileSync(this.at("pin"), USER_PIN, { mode: 0o600 });
  }

  at(name: string): string {
    return join(this.folder, name);
  }

  fresh(ending: string): string {
    return this.at(`${this.#files++}${ending}`);
  }

  /** The path of a new file with these bytes. */
  file(ending: string, bytes: Uint8Array | string): string {
    const path = this.fresh(ending);
    writeFileSync(path, bytes);
    return path;
  }

  /** Started when it is first asked for. */
  program(peer: CmsPeer): Promise<CmsProgram> {
    const program = this.#programs.get(peer.name) ?? startPeer(peer, this.folder, this.holders);
    this.#programs.set(peer.name, program);
    return program;
  }

  p11seal(args: readonly string[]): Promise<Outcome> {
    const env = softHsmEnvironment(this.at("home"));
    return run(args, { env: { ...env, P11SEAL_PIN_SOURCE: `file:${this.at("pin")}` } });
  }

  /** What a command writes to the file that it is given as `-o`. */
  async written(ending: string, args: readonly string[]): Promise<Buffer> {
    const out = this.fresh(ending);
    const [command = "", ...rest] = args;
    const { status, stderr } = await this.p11seal([command, "-o", out, ...rest]);
    if (status !== 0) throw new Error(`p11seal ${command} ended with ${status}: ${stderr}`);
    return readFileSync(out);
  }

  /** The same of a command that must refuse: with this code, and without any output. */
  async refuses(args: readonly string[], code: string | RegExp): Promise<void> {
    const out = this.fresh(".none");
    const [command = "", ...rest] = args;
    const { status, stderr } = await this.p11seal([command, "--json", "-o", out, ...rest]);
    const said = stderr.trim().split("\n").at(-1) ?? "";
    expect({ status, said, exists: existsSync(out) }).toEqual({
      status: expect.any(Number),
      said: expect.stringMatching(code),
      exists: false,
    });
    expect(status).not.toBe(0);
  }

  async #close(): Promise<void> {
    for (const started of this.#programs.values()) {
      const program = await started.catch(() => undefined);
      await program?.close();
    }
  }
}
