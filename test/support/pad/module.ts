/** The module whose reader has a PIN pad, and the person who types there. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { temporaryFolder } from "../../token/modules/temporary.js";
import { buildModule } from "../build-module.js";
import { SOFTHSM_MODULE } from "../softhsm.js";

export class Pad {
  /** The module's path. */
  readonly module: string;
  /** For the process that loads the module. */
  readonly env: Readonly<Record<string, string>>;
  readonly #person: string;
  readonly #log: string;

  constructor() {
    const folder = temporaryFolder("pad");
    this.module = buildModule(fileURLToPath(new URL("./module.cc", import.meta.url)), "pad");
    this.#person = join(folder, "person");
    this.#log = join(folder, "log");
    this.env = { PAD_MODULE: SOFTHSM_MODULE, PAD_PERSON: this.#person, PAD_LOG: this.#log };
    this.person();
  }

  /**
   * What the person does from now on, at each question of the reader: `types PIN`, `types OLD NEW`,
   * `returns VALUE` or `crashes`, after so many milliseconds.
   */
  person(...acts: readonly (readonly [ms: number, act: string])[]): void {
    writeFileSync(this.#person, acts.map(([ms, act]) => `${ms} ${act}\n`).join(""));
    writeFileSync(this.#log, "");
  }

  /** The calls since then, as in "C_Login user". */
  calls(): string[] {
    return readFileSync(this.#log, "utf8").trimEnd().split("\n").filter(Boolean);
  }
}

/** Return values of readers (CK_RV). */
export const RETURNS = {
  cancelled: "returns 0x50",
  rejected: "returns 0x200",
  refused: "returns 0xa0",
  locked: "returns 0xa4",
  expired: "returns 0xa3",
  failed: "returns 0x6",
} as const;
