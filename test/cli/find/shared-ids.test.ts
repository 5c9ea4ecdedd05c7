/**
 * Keys of one id on a token that shows private keys before login: what `doctor` says of them, and
 * that only those are certain of which a private key shows whose it is.
 */
import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { type ImportOptions } from "../../support/import-key.js";
import { freshToken, importKey, softHsmEnvironment, USER_PIN } from "../../support/softhsm.js";
import { temporaryFolder } from "../support/folder.js";
import { run } from "../support/run.js";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
let token: string;

const VISIBLE = { PRIVATE: false, SIGN: false, UNWRAP: false, DECRYPT: false, DERIVE: false };
const ec = (): KeyObject => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
const rsa = (): KeyObject => generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;

async function cli(...argv: string[]): Promise<{ status: number; text: string; stderr: string }> {
  const { status, stdout, stderr } = await run(argv, {
    env: {
      ...softHsmEnvironment(at("home")),
      P11SEAL_PIN_SOURCE: "env:PIN",
      PIN: USER_PIN,
    },
  });
  return { status, text: stdout.toString("utf8"), stderr };
}

/** Label, id, key, and the use it is for; the last has its public half only. */
const KEYS: readonly (readonly [string, number, KeyObject, ImportOptions["privateHalf"]])[] = [
  ["ec one", 1, ec(), { DERIVE: true }],
  ["ec other", 1, ec(), { DERIVE: true }],
  ["rsa one", 2, rsa(), { UNWRAP: true }],
  ["rsa other", 2, rsa(), { UNWRAP: true }],
  ["ec beside rsa", 3, ec(), { DERIVE: true }],
  ["rsa beside ec", 3, rsa(), { UNWRAP: true }],
  ["ec alone", 4, ec(), { DERIVE: true }],
];

beforeAll(async () => {
  const fresh = await freshToken("shared");
  token = fresh.uri;
  writeFileSync(at("note"), "meet at noon\n");
  for (const [label, id, key, uses] of KEYS) {
    const pem = key.export({ format: "pem", type: "pkcs8" }).toString();
    const privateHalf = { ...VISIBLE, ...uses };
    await importKey(fresh, pem, { label, id: Uint8Array.of(id), privateHalf });
  }
});

const uri = (label: string): string => `${token};object=${encodeURIComponent(label)}`;
const ASSUMED = /assumed: the private key found by id or label is its own, although another key/;

describe.each([
  ["ec one", false],
  ["ec other", false],
  ["rsa one", true],
  ["rsa other", true],
  ["ec beside rsa", true],
  ["rsa beside ec", true],
  ["ec alone", true],
])("of %s, doctor", (label, isCertain) => {
  it(isCertain ? "says that it opens" : "says that it may, and what would tell", async () => {
    const machine = await cli("doctor", "-i", uri(label));
    expect(machine.text).toMatch(isCertain ? /: opens with C_/ : /: may open with C_/);
    const argv = label.startsWith("rsa") ? ["--oaep", "sha1"] : [];
    await cli("seal", ...argv, "-r", uri(label), "-o", at(`${label}.p11s`), at("note"));
    const file = await cli("doctor", "-i", uri(label), at(`${label}.p11s`));
    expect(file.text).toMatch(isCertain ? /: will open\n/ : /: may open\n/);
    for (const { text } of [machine, file]) {
      if (isCertain) expect(text).not.toMatch(ASSUMED);
      else expect(text).toMatch(ASSUMED);
    }
    const opened = await cli("open", "-i", uri(label), at(`${label}.p11s`));
    expect(opened).toMatchObject({ status: 0, text: "meet at noon\n" });
  });
});

it("of two keys of one label and id, doctor foretells what opening does", async () => {
  const own = await freshToken("twins");
  const names = { label: "twin", id: Uint8Array.of(9) };
  for (const [n, key] of [rsa(), rsa()].entries()) {
    const pem = key.export({ format: "pem", type: "pkcs8" }).toString();
    const privateHalf = { ...VISIBLE, UNWRAP: true };
    await importKey(own, pem, { ...names, privateHalf });
    const spki = createPublicKey(key);
    writeFileSync(at(`twin${n}.pem`), spki.export({ format: "pem", type: "spki" }));
    const argv = ["--oaep", "sha1", "-r", at(`twin${n}.pem`), "-o", at(`twin${n}.p11s`)];
    expect(await cli("seal", ...argv, at("note"))).toMatchObject({ status: 0 });
  }
  for (const file of ["twin0.p11s", "twin1.p11s"]) {
    const { text } = await cli("doctor", "-i", own.uri, at(file));
    const opened = await cli("open", "-i", own.uri, at(file));
    expect(opened).toMatchObject({ status: 0, text: "meet at noon\n" });
    expect(text).toContain(": will open\n");
  }
});
