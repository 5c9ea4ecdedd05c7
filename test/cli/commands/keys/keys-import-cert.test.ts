import { createPublicKey } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { TokenProcess } from "../../../../src/token/process/token-process.js";
import { parseUri } from "../../../../src/token/uri.js";
import { DAY_MS, type Issuer, pemOf, rootAuthority } from "../../../support/certificates.js";
import { describeNss, freshNssToken } from "../../../support/nss.js";
import {
  findAll,
  freshToken,
  softHsmEnvironment,
  SOFTHSM_MODULE,
  type TestToken,
  USER_PIN,
  withRawSession,
} from "../../../support/softhsm.js";
import { temporaryFolder } from "../../support/folder.js";
import { run, type Outcome } from "../../support/run.js";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const now = Date.now();
const times = { notBeforeMs: now - DAY_MS, notAfterMs: now + 30 * DAY_MS };

let token: TestToken;
let env: Record<string, string | undefined>;
let root: Issuer;

beforeAll(async () => {
  token = await freshToken("cert");
  writeFileSync(at("pin"), `${USER_PIN}\n`, { mode: 0o600 });
  env = softHsmEnvironment(at("home"));
  root = rootAuthority("Root", times);
});

interface Place {
  readonly uri: string;
  readonly env: Record<string, string | undefined>;
}
const softHsm = (): Place => ({ uri: token.uri, env });

function p11seal(place: Place, ...argv: string[]): Promise<Outcome> {
  return run([...argv, "--pin-source", `file:${at("pin")}`], { env: place.env });
}

/** A new key's URI, and the maker of its certificates: `NAME.crt`. */
async function newKey(label: string, type = "ec:p256", place = softHsm()) {
  const words = ["--token", place.uri, "--label", label, "--type", type];
  const made = await p11seal(
    place,
    "keys",
    "generate",
    ...words,
    "-o",
    at(`${label}.pem`),
    "--json",
  );
  expect(made).toMatchObject({ status: 0 });
  const { uri } = JSON.parse(made.stdout.toString()) as { uri: string };
  const publicKey = createPublicKey(readFileSync(at(`${label}.pem`)));
  const certified = (name: string, CN = label): Uint8Array => {
    const certificate = root.certify(publicKey, { subject: { O: "Example", CN }, ...times });
    writeFileSync(at(name), pemOf("CERTIFICATE", certificate.der));
    return certificate.der;
  };
  return { uri, certified };
}

interface Listed {
  readonly keys: readonly {
    readonly label: string;
    readonly seenAs: string;
    readonly certificates: readonly { readonly subject: string; readonly notAfter: string }[];
  }[];
}

async function listed(label: string, place = softHsm()): Promise<Listed["keys"]> {
  const told = await run(["keys", "list", place.uri, "--json"], { env: place.env });
  expect(told).toMatchObject({ status: 0 });
  const { keys } = JSON.parse(told.stdout.toString()) as Listed;
  return keys.filter((key) => key.label === label);
}

describe("keys import-cert", () => {
  it("stores the certificate with its key's id and label, and all that a certificate object has", async () => {
    const { uri, certified } = await newKey("whole");
    const bytes = certified("whole.crt");
    const told = await p11seal(softHsm(), "keys", "import-cert", uri, at("whole.crt"));
    expect(told).toMatchObject({ status: 0, stderr: "" });
    expect(told.stdout.toString()).toContain("CN=whole,O=Example until ");
    await withRawSession(token, (native, session) => {
      const wanted = [CKA.CLASS, CKA.ID, CKA.SUBJECT, CKA.ISSUER, CKA.SERIAL_NUMBER, CKA.VALUE];
      const [object, ...more] = findAll(native, session, [
        { type: CKA.CLASS, value: 1 },
        { type: CKA.LABEL, value: "whole" },
      ]);
      const [key] = findAll(native, session, [
        { type: CKA.CLASS, value: 3 },
        { type: CKA.LABEL, value: "whole" },
      ]);
      if (object === undefined || key === undefined) throw new Error("not found");
      expect(more).toEqual([]);
      const [, id, subject, issuer, serial, value] = native
        .C_GetAttributeValue(
          session,
          object,
          wanted.map((type) => ({ type })),
        )
        .map((one) => one.value);
      const [own] = native.C_GetAttributeValue(session, key, [{ type: CKA.ID }]);
      expect(id).toEqual(own?.value);
      expect(value?.equals(bytes)).toBe(true);
      const der = Buffer.from(bytes);
      for (const part of [subject, issuer, serial]) expect(der.includes(part ?? "no")).toBe(true);
    });
    expect(await listed("whole")).toMatchObject([
      { seenAs: "public key", certificates: [{ subject: "CN=whole,O=Example" }] },
    ]);
    const table = await run(["keys", "list", token.uri], { env });
    expect(table.stdout.toString()).toContain("certificate: CN=whole,O=Example until ");
  });

  it("takes the key's own out of a chain, and does nothing when it is there", async () => {
    const { uri, certified } = await newKey("chain", "rsa:2048");
    const own = certified("own.crt");
    writeFileSync(at("chain.pem"), pemOf("CERTIFICATE", root.certificate.der, own));
    const first = await p11seal(softHsm(), "keys", "import-cert", uri, at("chain.pem"), "--json");
    expect(first).toMatchObject({ status: 0 });
    expect(first.stderr).toContain("1 other certificate(s) in it were not stored");
    expect(JSON.parse(first.stdout.toString())).toMatchObject({
      done: "added",
      certificate: { subject: "CN=chain,O=Example", issuer: "CN=Root" },
    });
    const again = await p11seal(softHsm(), "keys", "import-cert", uri, at("own.crt"), "--json");
    expect(JSON.parse(again.stdout.toString())).toMatchObject({ done: "nothing" });
    expect(await listed("chain")).toMatchObject([{ certificates: [{}] }]);
  });

  it("another certificate is refused, kept beside it, or put in its place, as asked", async () => {
    const { uri, certified } = await newKey("renewed");
    certified("old.crt", "old");
    certified("new.crt", "new");
    const subjects = async () =>
      (await listed("renewed")).flatMap((key) => key.certificates.map((one) => one.subject)).sort();
    expect(await p11seal(softHsm(), "keys", "import-cert", uri, at("old.crt"))).toMatchObject({
      status: 0,
    });
    const refused = await p11seal(softHsm(), "keys", "import-cert", uri, at("new.crt"));
    expect(refused.status).not.toBe(0);
    expect(refused.stderr).toContain("CN=old,O=Example until ");
    expect(refused.stderr).toContain("--add keeps it");
    expect(await subjects()).toEqual(["CN=old,O=Example"]);

    const added = await p11seal(softHsm(), "keys", "import-cert", uri, at("new.crt"), "--add");
    expect(added).toMatchObject({ status: 0 });
    expect(await subjects()).toEqual(["CN=new,O=Example", "CN=old,O=Example"]);
    // Both reach whoever opens with the key, also from the token's own process.
    const service = new TokenProcess({
      ...{ modules: [SOFTHSM_MODULE], home: at("home"), env: process.env },
      pin: () => Promise.reject(new Error("no PIN is needed")),
    });
    try {
      const key = await service.findKey(parseUri(uri));
      expect(service.identity(key).certificates).toHaveLength(2);
    } finally {
      await service.close();
    }

    certified("newest.crt", "newest");
    const replaced = await p11seal(
      softHsm(),
      "keys",
      "import-cert",
      uri,
      at("newest.crt"),
      "--replace",
      "--json",
    );
    expect(JSON.parse(replaced.stdout.toString())).toMatchObject({ done: "replaced", others: 2 });
    expect(await subjects()).toEqual(["CN=newest,O=Example"]);
  });

  it.each([
    ["another key's", "other.crt", "no certificate of"],
    ["no certificate", "pin", "neither PEM nor DER"],
    ["missing", "missing.crt", "no such file"],
  ])("refuses a file that is %s", async (_what, name, fact) => {
    const { uri } = await newKey(`refuses ${name}`);
    if (name === "other.crt") (await newKey("other")).certified("other.crt");
    const told = await p11seal(softHsm(), "keys", "import-cert", uri, at(name));
    expect(told.status).not.toBe(0);
    expect(told.stderr).toContain(fact);
    expect(await listed(`refuses ${name}`)).toMatchObject([{ certificates: [] }]);
  });

  it("keys export --format cert writes the one that was issued last", async () => {
    const { uri, certified } = await newKey("exported");
    const none = await p11seal(softHsm(), "keys", "export", uri, "--format", "cert");
    expect(none.status).not.toBe(0);
    expect(none.stderr).toContain('no certificate of "exported"');
    const bytes = certified("exported.crt");
    await p11seal(softHsm(), "keys", "import-cert", uri, at("exported.crt"));
    const told = await p11seal(softHsm(), "keys", "export", uri, "--format", "cert");
    expect(told).toMatchObject({ status: 0 });
    expect(told.stdout.toString()).toBe(pemOf("CERTIFICATE", bytes));
  });

  it("keys delete says what becomes of it, and deletes it too with --certificates", async () => {
    const { uri, certified } = await newKey("gone");
    certified("gone.crt");
    await p11seal(softHsm(), "keys", "import-cert", uri, at("gone.crt"));
    const kept = await p11seal(softHsm(), "keys", "delete", uri, "--yes");
    expect(kept).toMatchObject({ status: 0 });
    expect(kept.stderr).toContain("its certificate is still on the token");
    expect(await listed("gone")).toMatchObject([{ seenAs: "certificate" }]);
    const gone = await p11seal(softHsm(), "keys", "delete", uri, "--yes", "--certificates");
    expect(gone).toMatchObject({ status: 0 });
    expect(await listed("gone")).toEqual([]);
  });
});

describeNss("keys import-cert on NSS softoken", () => {
  it("stores a certificate, and shows it without a PIN", async () => {
    const nss = await freshNssToken();
    const place = { uri: nss.uri, env: { ...env, ...nss.env, P11SEAL_MODULE: nss.module } };
    const { uri, certified } = await newKey("nss", "ec:p256", place);
    certified("nss.crt");
    const told = await p11seal(place, "keys", "import-cert", uri, at("nss.crt"));
    expect(told).toMatchObject({ status: 0, stderr: "" });
    expect(await listed("nss", place)).toMatchObject([
      { certificates: [{ subject: "CN=nss,O=Example" }] },
    ]);
  });
});

const CKA = {
  CLASS: 0x000,
  LABEL: 0x003,
  VALUE: 0x011,
  ISSUER: 0x081,
  SERIAL_NUMBER: 0x082,
  SUBJECT: 0x101,
  ID: 0x102,
};
