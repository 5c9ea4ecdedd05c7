/** For the tests of `p11seal capi …`: keys in every form, data folders, and command lines. */
import { createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "@jest/globals";
import { encodePublicKeyBlob, softwareRsaKey, type KeyUse } from "../../../src/capi/index.js";
import { run, type RunOptions } from "./run.js";

export interface Told {
  readonly status: number;
  /** The error's code, if there was one. */
  readonly code: string | undefined;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export class CapiBench {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** A file in this test's folder. */
  at(name: string): string {
    return join(this.folder, name);
  }

  read(name: string): Buffer {
    return readFileSync(this.at(name));
  }

  write(name: string, bytes: Uint8Array | string): string {
    writeFileSync(this.at(name), bytes);
    return this.at(name);
  }

  exists(name: string): boolean {
    return existsSync(this.at(name));
  }

  /** Runs `p11seal capi …`; `home` is a folder of this test, made if it is missing. */
  async capi(argv: readonly string[], options: RunOptions & { home?: string } = {}): Promise<Told> {
    const { home = "home", env, ...rest } = options;
    const folder = this.home(home);
    const words = argv.map((word) => word.replaceAll("@", `${this.folder}/`));
    const ended = await run(["capi", ...words, "--json"], {
      ...rest,
      env: { ...env, P11SEAL_HOME: folder },
    });
    const line = ended.stderr.split("\n").find((one) => one.startsWith('{"error"'));
    const error =
      line === undefined ? undefined : (JSON.parse(line) as { error: { code: string } });
    return { ...ended, code: error?.error.code };
  }

  /** The same; the command must succeed. */
  async ok(argv: readonly string[], options: RunOptions & { home?: string } = {}): Promise<Told> {
    const told = await this.capi(argv, options);
    expect({ argv, status: told.status, stderr: told.stderr }).toMatchObject({ argv, status: 0 });
    return told;
  }

  /** The same; the command must be refused with that status and code. */
  async refused(
    argv: readonly string[],
    code: string,
    options: RunOptions & { home?: string } = {},
  ): Promise<Told> {
    const told = await this.capi(argv, options);
    expect({ argv, code: told.code }).toEqual({ argv, code });
    expect(told.status).not.toBe(0);
    return told;
  }

  home(name = "home"): string {
    const folder = this.at(name);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return folder;
  }

  /** `NAME.key`, private, and `NAME.blob`, `NAME.pem`, public. */
  keyPair(name: string, use: KeyUse, key: KeyObject = newKey()): void {
    const { publicKey } = softwareRsaKey(key);
    this.write(`${name}.key`, key.export({ format: "pem", type: "pkcs8" }));
    chmodSync(this.at(`${name}.key`), 0o600);
    this.write(`${name}.blob`, encodePublicKeyBlob({ use, publicKey }));
    this.write(`${name}.pem`, publicKey.object.export({ format: "pem", type: "spki" }));
  }

  /** Lines of the audit log. */
  log(home = "home"): Record<string, unknown>[] {
    const path = join(this.at(home), "audit.jsonl");
    if (!existsSync(path)) return [];
    return readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }
}

/** RSA-2048, as DER, since exporting a new key as JWK may hang in Node 20. */
export function newKey(): KeyObject {
  const { privateKey } = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    privateKeyEncoding: { format: "der", type: "pkcs8" },
    publicKeyEncoding: { format: "der", type: "spki" },
  });
  return createPrivateKey({ key: privateKey, format: "der", type: "pkcs8" });
}
