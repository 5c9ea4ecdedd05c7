/** The examples of docs/library.md, run unchanged with the built package. */
import { spawnSync } from "node:child_process";
import { createPrivateKey, createPublicKey, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "@jest/globals";
import {
  AUTHORITY_EXTENSIONS,
  DAY_MS,
  generalName,
  keyUsage,
  pemOf,
  pkcs7,
  policies,
  rootAuthority,
  subjectAltNames,
  type CertificateOptions,
} from "../support/certificates.js";
import { publicPem, TEST_KEYS } from "../support/keys.js";
import { crl, ocspResponse } from "../support/revocation.js";
import { optionsNotSet } from "./option-coverage.js";

const root = join(import.meta.dirname, "../..");
const page = readFileSync(join(root, "docs/library.md"), "utf8");
const examples = [...page.matchAll(/^##+ ([^\n]+)$(?:(?!^##+ ).)*?^```js\n(.*?)^```$/gms)].map(
  ([, title = "", code = ""]) => [title, code] as const,
);

// Inside the checkout, so that "p11seal" means this package.
mkdirSync(join(root, ".cache"), { recursive: true });
const folder = mkdtempSync(join(root, ".cache", "library-"));
writeFileSync(join(folder, "alice.key"), TEST_KEYS.p256, { mode: 0o600 });
const zoe = createPrivateKey(TEST_KEYS.p384).export({
  ...{ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "open sesame" },
});
writeFileSync(join(folder, "zoe.key"), zoe, { mode: 0o600 });
for (const [name, key] of [
  ["office.key", TEST_KEYS.rsa2048],
  ["peer.key", TEST_KEYS.rsa3072],
  ["peer-sign.key", TEST_KEYS.rsa4096],
] as const) {
  writeFileSync(join(folder, name), key, { mode: 0o600 });
}
writeFileSync(join(folder, "alice.pem"), publicPem(TEST_KEYS.p256));
// The example of C2SP's "age".
writeFileSync(
  join(folder, "bob.txt"),
  "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX\n",
);
writeFileSync(join(folder, "signer.key"), TEST_KEYS.rsa2048, { mode: 0o600 });
const valid = { notBeforeMs: Date.now() - DAY_MS, notAfterMs: Date.now() + DAY_MS };
const office = rootAuthority("Example CA", valid);
writeCertificate("office.crt", issued("office.key", "Office", [keyUsage("keyEncipherment")]));
const address = subjectAltNames(generalName.email("zoe@example.org"));
writeCertificate(
  "signer.crt",
  issued("signer.key", "Zoe", [keyUsage("digitalSignature", "keyEncipherment"), address]),
);
writeFileSync(join(folder, "rejection.secret"), randomBytes(32), { mode: 0o600 });
writeFileSync(join(folder, "alice.pin"), "123456\n", { mode: 0o600 });

const { root: exampleRoot, bob, ca } = exampleChain();
for (const [name, bytes] of [
  ["root.crt", pemOf("CERTIFICATE", exampleRoot.certificate.der)],
  ["chain.p7b", pkcs7([bob.certificate.der, ca.certificate.der])],
  ["root.crl", pemOf("X509 CRL", crl(exampleRoot))],
  ["bob.ocsp", ocspResponse(bob.certificate, ca.certificate, ca)],
] as const) {
  writeFileSync(join(folder, name), bytes);
}

function exampleChain() {
  const root = rootAuthority("Example Root");
  const policy = policies("1.2.3.4");
  const ca = root.authority("Example CA", { extensions: [...AUTHORITY_EXTENSIONS, policy] });
  return { root, ca, bob: ca.issue({ extensions: [keyUsage("keyAgreement"), policy] }) };
}

function writeCertificate(name: string, bytes: Uint8Array): void {
  writeFileSync(join(folder, name), pemOf("CERTIFICATE", bytes));
}

function issued(
  keyFile: string,
  name: string,
  extensions: NonNullable<CertificateOptions["extensions"]>,
): Uint8Array {
  const privateKey = createPrivateKey(readFileSync(join(folder, keyFile)));
  const keys = { privateKey, publicKey: createPublicKey(privateKey) };
  return office.issueBytes({ ...valid, subject: { CN: name }, extensions, keys });
}

const wanted: Readonly<Record<string, string>> = {
  seal: "",
  "Keys and their files": "sha256 exchange\n",
  inspect: "true true\n",
  open: "the report\n",
  "age files": "for bob\n",
  "CMS messages": "by CMS\ntrue\n",
  "Signatures as CMS has them": "as-is zoe@example.org\na contract\n11\ntrue\nan order by CMS\n",
  "watch and interrupt": "100 %\nERR_ABORTED\n",
  "sign, and demand a signature": "an order\n0 true\n",
  rewrap: "for others\n1 true\n",
  "open a part": "report",
  "open with a token": "",
  "The parts of the data folder": "an order\n2 0\n",
  "Exchange with CryptoAPI": "an order\n",
  "An old peer": "an old order\n",
  "Session keys that are kept": "16 true\n",
  "Three phases": "complete complete\n",
  "Keys of your own making": "hello\n",
  "A key in another process": "hello\nhello\n",
  "Hybrid keys": "hello\n",
  Certificates: "CN=Bob < CN=Example CA < CN=Example Root\nCN=Bob: ocsp\nCN=Example CA: crl\n",
};

// These examples must not see the tokens of other tests.
const env: NodeJS.ProcessEnv = { ...process.env, NODE_OPTIONS: "" };
delete env["SOFTHSM2_CONF"];

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe("docs/library.md", () => {
  it("has the examples this test knows", () => {
    expect(examples.map(([title]) => title)).toEqual(Object.keys(wanted));
  });

  it("shows every option, together with the programs in examples/", () => {
    const ofPage = examples.map(([, code], i) => {
      const file = join(folder, `example-${i}.mjs`);
      writeFileSync(file, code);
      return file;
    });
    const programs = readdirSync(join(root, "examples"))
      .filter((name) => name.endsWith(".mjs"))
      .map((name) => join(root, "examples", name));
    const { all, unset } = optionsNotSet(join(root, "dist"), [...ofPage, ...programs]);
    expect(unset).toEqual([]);
    // Some of each kind: of functions, classes, methods, parts of options, every entry point.
    expect(all).toEqual(
      expect.arrayContaining([
        "seal: oaep",
        "TokenAccess: force",
        "TokenProcess: timeoutMs",
        "TokenAccess.generate: use",
        "CipherParameters: salt",
        "ThreePhase.begin: reserve",
        "Ledger.prune: windowMs",
      ]),
    );
    expect(optionsNotSet(join(root, "dist"), programs).unset).toContain(
      "ThreePhase.begin: reserve",
    );
  });

  it.each(examples)("%s: the example runs", (title, code) => {
    const file = join(folder, "example.mjs");
    writeFileSync(file, code);
    const done = spawnSync(process.execPath, [file], {
      cwd: folder,
      encoding: "utf8",
      env,
    });
    expect({ output: done.stdout, errors: done.stderr, status: done.status }).toEqual({
      output: wanted[title],
      errors: "",
      status: 0,
    });
    // An aborted opening leaves nothing.
    const names = readdirSync(folder);
    expect(names.filter((name) => name === "never.txt" || name.endsWith(".part"))).toEqual([]);
  });
});
