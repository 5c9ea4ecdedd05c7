/**
 * What p11seal writes, read by standard tools. If a tool is not installed, its suite is skipped by
 * name.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { formatPublicKey, parsePublicKey } from "../../src/keys/formats/key-file.js";
import { TEST_KEYS, type TestKeyName } from "../support/keys.js";
import { skipped } from "../support/missing.js";
import { ALL_KEY_NAMES, testKey } from "./support.js";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "p11seal-interop-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function saved(name: string, content: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  chmodSync(path, 0o600);
  return path;
}

function run(tool: string, args: readonly string[]): Uint8Array {
  const { status, stdout, stderr } = spawnSync(tool, args);
  if (status !== 0) throw new Error(`${tool} ${args.join(" ")}: ${stderr.toString()}`);
  return new Uint8Array(stdout);
}

function describeWith(tool: string, probe: readonly string[], suite: () => void): void {
  if (spawnSync(tool, probe).error === undefined) describe(`with ${tool}`, suite);
  else skipped(`with ${tool}`, "not installed");
}

describeWith("openssl", ["version"], () => {
  it.each(ALL_KEY_NAMES)("%s: our PEM, with comment and record, is openssl's key", (name) => {
    const key = testKey(name);
    const options = { comment: "alice", ...(key.type === "rsa" ? { oaep: "sha1" as const } : {}) };
    const path = saved("key.pem", formatPublicKey(key, "pem", options));
    expect(run("openssl", ["pkey", "-pubin", "-in", path, "-outform", "DER"])).toEqual(key.spki);
  });

  it.each(ALL_KEY_NAMES)("%s: our DER is openssl's key", (name) => {
    const key = testKey(name);
    const path = saved("key.der", formatPublicKey(key, "der"));
    const args = ["pkey", "-pubin", "-inform", "DER", "-in", path, "-outform", "DER"];
    expect(run("openssl", args)).toEqual(key.spki);
  });

  it.each(ALL_KEY_NAMES)("%s: openssl's PEM and DER of it are read", (name) => {
    const path = saved("private.pem", TEST_KEYS[name]);
    for (const form of ["PEM", "DER"]) {
      const file = run("openssl", ["pkey", "-in", path, "-pubout", "-outform", form]);
      expect(parsePublicKey(file, "key").publicKey.spki).toEqual(testKey(name).spki);
    }
  });

  it.each(["rsa2048", "p256", "p384", "p521", "ed25519"] as const)(
    "%s: a certificate that openssl just made is read, in PEM and DER",
    (name: TestKeyName) => {
      const path = saved("private.pem", TEST_KEYS[name]);
      for (const form of ["PEM", "DER"]) {
        const subject = ["-subj", "/CN=p11seal TEST", "-days", "2"];
        const args = ["req", "-x509", "-new", "-key", path, ...subject, "-outform", form];
        const { publicKey, warnings } = parsePublicKey(run("openssl", args), "certificate");
        expect(publicKey.spki).toEqual(testKey(name).spki);
        expect(warnings).toEqual([]);
      }
    },
  );
});

describeWith("ssh-keygen", ["-?"], () => {
  it.each(["rsa2048", "rsa3072", "rsa4096", "p256", "p384", "p521"] as const)(
    "%s: our OpenSSH line, turned into PEM by ssh-keygen, is the same key",
    (name) => {
      const key = testKey(name);
      const options = key.type === "rsa" ? { oaep: "sha1" as const } : { comment: "alice" };
      const path = saved("key.pub", formatPublicKey(key, "ssh", options));
      const pem = run("ssh-keygen", ["-e", "-m", "PKCS8", "-f", path]);
      expect(parsePublicKey(pem, "key").publicKey.spki).toEqual(key.spki);
    },
  );

  it.each(["rsa2048", "p256", "p384", "p521"] as const)(
    "%s: our PEM, turned into an OpenSSH line by ssh-keygen, is the same key",
    (name) => {
      const key = testKey(name);
      const path = saved("key.pem", formatPublicKey(key, "pem", { comment: "alice" }));
      const line = run("ssh-keygen", ["-i", "-m", "PKCS8", "-f", path]);
      expect(parsePublicKey(line, "key").publicKey.spki).toEqual(key.spki);
    },
  );
});
