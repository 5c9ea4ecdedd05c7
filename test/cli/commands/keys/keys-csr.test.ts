import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { generateKeyPairSync } from "node:crypto";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { freshNssToken, describeNss } from "../../../support/nss.js";
import {
  findAll,
  freshToken,
  objectCount,
  softHsmEnvironment,
  type TestToken,
  USER_PIN,
  withRawSession,
} from "../../../support/softhsm.js";
import { temporaryFolder } from "../../support/folder.js";
import { run, type Outcome } from "../../support/run.js";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const SUBJECT = ["--subject", "CN=Zoë\\, of Example,O=Example,C=DE", "--mail", "zoe@example.org"];

let token: TestToken;
let env: Record<string, string | undefined>;

beforeAll(async () => {
  token = await freshToken("csr");
  writeFileSync(at("pin"), `${USER_PIN}\n`, { mode: 0o600 });
  env = softHsmEnvironment(at("home"));
});

function p11seal(...argv: string[]): Promise<Outcome> {
  return run([...argv, "--pin-source", `file:${at("pin")}`], { env });
}

async function generated(label: string, type: string, ...more: string[]): Promise<Outcome> {
  const words = ["--token", token.uri, "--label", label, "--type", type];
  return p11seal("keys", "generate", ...words, ...more);
}

/** OpenSSL's account of a request whose signature it verified. */
function checked(name: string): string {
  const words = ["-verify", "-noout", "-text", "-nameopt", "RFC2253,-esc_msb,utf8"];
  return execFileSync("openssl", ["req", "-in", at(name), ...words], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
}

function requestedKey(name: string): string {
  return execFileSync("openssl", ["req", "-in", at(name), "-noout", "-pubkey"]).toString();
}

const PEM = /-----BEGIN PUBLIC KEY-----[^]*-----END PUBLIC KEY-----\n/;

describe("keys generate --csr: an exchange key that signs its request and nothing else", () => {
  it.each([
    ["rsa:2048", "Key Encipherment", "sha256WithRSAEncryption"],
    ["ec:p256", "Key Agreement", "ecdsa-with-SHA256"],
    ["ec:p384", "Key Agreement", "ecdsa-with-SHA384"],
  ])("%s", async (type, usage, algorithm) => {
    const label = `mail ${type}`;
    const name = `${type.replace(":", "-")}.csr`;
    const made = await generated(
      label,
      type,
      "--csr",
      at(name),
      ...SUBJECT,
      "-o",
      at(`${name}.pem`),
    );
    expect(made).toMatchObject({ status: 0 });
    expect(made.stdout.toString()).toContain(name);

    const text = checked(name);
    expect(text).toContain("Subject: CN=Zoë\\, of Example,O=Example,C=DE");
    expect(text).toContain("email:zoe@example.org");
    expect(text).toContain("E-mail Protection");
    expect(text).toMatch(new RegExp(`Key Usage: critical\\s+${usage}\n`));
    expect(text).toContain(`Signature Algorithm: ${algorithm}`);
    const exported = PEM.exec(readFileSync(at(`${name}.pem`), "utf8"))?.[0];
    expect(requestedKey(name)).toBe(exported);

    // The pair is on the token once, can't sign, and can't be made to.
    await withRawSession(token, (native, session) => {
      const named = findAll(native, session, [{ type: CKA.LABEL, value: label }]);
      expect(named).toHaveLength(2);
      const [key] = findAll(native, session, [
        { type: CKA.LABEL, value: label },
        { type: CKA.CLASS, value: 3 },
      ]) as [Buffer];
      const flags = [
        CKA.SIGN,
        CKA.MODIFIABLE,
        CKA.EXTRACTABLE,
        CKA.SENSITIVE,
        CKA.NEVER_EXTRACTABLE,
      ];
      const values = native.C_GetAttributeValue(
        session,
        key,
        flags.map((one) => ({ type: one })),
      );
      expect(values.map(({ value }) => value[0])).toEqual([0, 0, 0, 1, 1]);
      expect(() => {
        native.C_SetAttributeValue(session, key, [{ type: CKA.SIGN, value: true }]);
      }).toThrow();
      expect(() => native.C_CopyObject(session, key, [{ type: CKA.SIGN, value: true }])).toThrow();
    });
    const again = await p11seal(
      "keys",
      "csr",
      `${token.uri};object=${encodeURIComponent(label)}`,
      ...SUBJECT,
    );
    expect(again.status).not.toBe(0);
    expect(again.stderr).toContain("keys generate --csr");
    expect(again.stdout).toHaveLength(0);
  });

  it.each(["x25519", "ec:p521"])("%s is refused before anything is made", async (type) => {
    const before = await objectCount(token);
    const made = await generated("never", type, "--csr", at("never.csr"), ...SUBJECT);
    expect(made).toMatchObject({ status: 2 });
    expect(made.stderr).toContain("-force_pubkey");
    expect(await objectCount(token)).toBe(before);
    expect(existsSync(at("never.csr"))).toBe(false);
  });

  it("a signing key signs its request, and goes on to sign", async () => {
    const made = await generated(
      "signs",
      "ec:p256",
      "--use",
      "sign",
      "--csr",
      at("s.csr"),
      ...SUBJECT,
    );
    expect(made).toMatchObject({ status: 0 });
    expect(checked("s.csr")).toMatch(/Key Usage: critical\s+Digital Signature\n/);
    const again = await p11seal(
      "keys",
      "csr",
      `${token.uri};object=signs`,
      ...SUBJECT,
      "-o",
      at("2.csr"),
    );
    expect(again).toMatchObject({ status: 0 });
    expect(requestedKey("2.csr")).toBe(requestedKey("s.csr"));
  });

  it.each([
    [["--subject", "CN=a"], "--subject needs --csr"],
    [["--csr", "-", "--mail", "a@b.de"], "--csr takes the name of a file"],
    [["--csr", "no.csr"], "a request needs a name"],
    [["--csr", "no.csr", "--subject", "/CN=a"], "starts with a slash"],
    [["--csr", "no.csr", "--mail", "a b@c.de"], "not a mail address"],
  ])("refuses %j", async (words, fact) => {
    const before = await objectCount(token);
    const made = await generated("never", "ec:p256", ...words);
    expect(made.status).not.toBe(0);
    expect(made.stderr).toContain(fact);
    expect(await objectCount(token)).toBe(before);
  });
});

describe("keys csr", () => {
  it.each([
    ["rsa:2048", "sha256WithRSAEncryption"],
    ["ec:p384", "ecdsa-with-SHA384"],
    ["ed25519", "ED25519"],
  ])("a signing key on a token: %s", async (type, algorithm) => {
    const label = `s-${type}`;
    expect(await generated(label, type, "--use", "sign")).toMatchObject({ status: 0 });
    const told = await p11seal(
      "keys",
      "csr",
      `${token.uri};object=${encodeURIComponent(label)}`,
      "--mail",
      "a@example.org",
      "--mail",
      "b@example.org",
      "-o",
      at("k.csr"),
      "--force",
    );
    expect(told).toMatchObject({ status: 0 });
    const text = checked("k.csr");
    expect(text).toContain(`Signature Algorithm: ${algorithm}`);
    expect(text).toContain("Subject: CN=a@example.org");
    expect(text).toContain("email:a@example.org, email:b@example.org");
  });

  it("a key file, in DER", async () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    writeFileSync(at("f.pem"), privateKey.export({ format: "pem", type: "pkcs8" }), {
      mode: 0o600,
    });
    const told = await run(["keys", "csr", at("f.pem"), "--subject", "CN=f", "--format", "der"], {
      env,
    });
    expect(told.status).toBe(0);
    writeFileSync(at("f.der"), told.stdout);
    const words = ["-inform", "DER", "-in", at("f.der"), "-verify", "-noout", "-text"];
    const text = execFileSync("openssl", ["req", ...words], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
    expect(text).toContain("Subject: CN = f");
    expect(text).not.toContain("Key Usage");
  });

  it("an exchange key: says how to get a certificate all the same", async () => {
    expect(await generated("plain", "ec:p256")).toMatchObject({ status: 0 });
    const told = await p11seal("keys", "csr", `${token.uri};object=plain`, "--subject", "CN=a");
    expect(told.status).not.toBe(0);
    expect(told.stderr).toContain("keys generate --csr");
    expect(told.stderr).toContain("-force_pubkey");
  });
});

describeNss("keys generate --csr on NSS softoken", () => {
  it.each(["rsa:2048", "ec:p256"])("%s", async (type) => {
    const nss = await freshNssToken();
    const words = ["--token", nss.uri, "--label", "n", "--type", type, "--module", nss.module];
    const made = await run(
      [
        "keys",
        "generate",
        ...words,
        "--csr",
        at("n.csr"),
        "--force",
        ...SUBJECT,
        "--pin-source",
        `file:${at("pin")}`,
      ],
      { env: { ...env, ...nss.env, P11SEAL_MODULE: undefined } },
    );
    expect(made).toMatchObject({ status: 0 });
    expect(made.stderr).not.toContain("(CKA_SIGN)");
    expect(checked("n.csr")).toContain("email:zoe@example.org");
    const audit = await run(
      [
        "keys",
        "audit",
        nss.uri,
        "--module",
        nss.module,
        "--json",
        "--pin-source",
        `file:${at("pin")}`,
      ],
      {
        env: { ...env, ...nss.env, P11SEAL_MODULE: undefined },
      },
    );
    expect(audit.stdout.toString()).not.toMatch(/"rule":"[^"]*sign/);
  });
});

const CKA = {
  CLASS: 0x000,
  LABEL: 0x003,
  SENSITIVE: 0x103,
  SIGN: 0x108,
  EXTRACTABLE: 0x162,
  NEVER_EXTRACTABLE: 0x164,
  MODIFIABLE: 0x170,
};
