/** Rules that a key on a token signs: one PIN, and none where nothing is signed. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, expect, it } from "@jest/globals";
import { toHex } from "../../../../src/bytes.js";
import { publicKeyFromSpki } from "../../../../src/keys/public-key.js";
import type { WrappedModule } from "../../../../src/testing/index.js";
import { countedCalls, softHsmBehind } from "../../../support/behind-shim.js";
import { publicDer, TEST_KEYS } from "../../../support/keys.js";
import { freshToken, importKey, type TestToken, USER_PIN } from "../../../support/softhsm.js";
import { temporaryFolder } from "../../support/folder.js";
import { p11seal, type Ended } from "../../support/spawn.js";

const root = temporaryFolder();
const path = join(root, "tree", "p11seal-rules.toml");
const home = join(root, "home");
let watched: WrappedModule;
let token: TestToken;

const fingerprint = (name: "p256" | "x25519"): string =>
  toHex(publicKeyFromSpki(publicDer(TEST_KEYS[name])).fingerprint);

beforeAll(async () => {
  watched = await softHsmBehind();
  token = await freshToken("rules-card");
  const key = { label: "sign", id: Uint8Array.of(1), privateHalf: { SIGN: true } };
  await importKey(token, TEST_KEYS.p256, key);
  mkdirSync(join(root, "tree"), { mode: 0o755 });
  mkdirSync(home, { mode: 0o700 });
  writeFileSync(join(home, "config.toml"), `rules_signer = "${fingerprint("p256")}"\n`, {
    mode: 0o600,
  });
});

beforeEach(() => {
  watched.forgetCalls();
});

function rules(version: number): void {
  writeFileSync(
    path,
    `version = ${version}\nroot = true\nenforce = true\n[[recipient]]\nname = "vault"\n` +
      `fingerprint = "SHA256:${fingerprint("x25519")}"\n` +
      '[[rule]]\npaths = ["**"]\nalways = ["vault"]\n',
    { mode: 0o644 },
  );
}

function p11sealWith(pin: string, ...words: readonly string[]): Promise<Ended> {
  return p11seal(words, {
    cwd: root,
    env: { PIN: pin, P11SEAL_HOME: home, P11SEAL_MODULE: watched.module },
  });
}

const sign = (pin: string): Promise<Ended> =>
  p11sealWith(pin, "rules", "sign", "--key", token.uri, "--pin-source", "env:PIN", path);

const logins = (): number | undefined => countedCalls(watched, "C_Login")[0];

it("signs with one PIN, and nobody needs one to verify", async () => {
  rules(1);
  expect(await sign(USER_PIN)).toMatchObject({ status: 0 });
  expect(logins()).toBe(1);
  watched.forgetCalls();
  expect(await p11sealWith(USER_PIN, "rules", "verify", path)).toMatchObject({ status: 0 });
  expect(logins()).toBe(0);
});

it("sends a wrong PIN once, and leaves the rules unsigned", async () => {
  rules(2);
  expect(await sign("999999")).toMatchObject({ status: 5 });
  expect(logins()).toBe(1);
  expect(await p11sealWith(USER_PIN, "rules", "verify", path)).toMatchObject({ status: 6 });
});

it("asks for no PIN where there is nothing to sign", async () => {
  writeFileSync(path, "version = 3\nroot = maybe\n");
  expect((await sign(USER_PIN)).status).not.toBe(0);
  expect(logins()).toBe(0);
});
