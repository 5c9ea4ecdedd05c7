/** Signers who are known by a certificate below an authority that the user trusts. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import {
  DAY_MS,
  type Issuer,
  keyUsage,
  pemOf,
  personal,
  rootAuthority,
} from "../../../support/certificates.js";
import { crl, ocspResponse, revoked } from "../../../support/revocation.js";
import { temporaryFolder } from "../../support/folder.js";
import { writePerson } from "../../support/people.js";
import { errorCode, run, type Outcome } from "../../support/run.js";

const folder = temporaryFolder();
const now = Date.now();
const times = { notBeforeMs: now - DAY_MS, notAfterMs: now + 30 * DAY_MS };
const lists = { thisUpdateMs: now - DAY_MS / 2, nextUpdateMs: now + DAY_MS };
const long = { notBeforeMs: now - 10 * DAY_MS, notAfterMs: now + 30 * DAY_MS };
const root = rootAuthority("Root", long);
const between = root.authority("Between", long);
const foreign = rootAuthority("Foreign", times);
let bob: Issuer;
let homes = 0;

beforeAll(async () => {
  process.chdir(folder);
  const people: [string, Issuer, object][] = [
    ["bob", between, {}],
    ["mallory", foreign, {}],
    ["expired", between, { notBeforeMs: now - 3 * DAY_MS, notAfterMs: now - 2 * DAY_MS }],
    ["sealer", between, { extensions: [keyUsage("keyAgreement")] }],
  ];
  for (const [name, issuer, options] of people) {
    const own = personal(name === "mallory" ? "bob" : name, "digitalSignature");
    const made = issuer.issue({ ...own, ...times, ...options });
    if (name === "bob") bob = made;
    writePerson(folder, name, made, [issuer]);
    writeFileSync(`${name}.txt`, `from ${name}\n`);
    const signed = await p11seal(`sign -k ${name}.key --cert ${name}.crt ${name}.txt`);
    expect(signed).toMatchObject({ status: 0 });
  }
  writeFileSync("root.pem", pemOf("CERTIFICATE", root.certificate.der));
  writeFileSync("foreign.pem", pemOf("CERTIFICATE", foreign.certificate.der));
  const all = [root, between].map((issuer) => crl(issuer, lists));
  writeFileSync("good.crl", pemOf("X509 CRL", ...all));
  const entries = [revoked(bob.certificate)];
  writeFileSync(
    "bad.crl",
    pemOf("X509 CRL", crl(root, lists), crl(between, { ...lists, entries })),
  );
  writeFileSync("half.crl", crl(between, lists));
  writeFileSync("good.ocsp", ocspResponse(bob.certificate, between.certificate, between, lists));
  writeFileSync(
    "bad.ocsp",
    ocspResponse(bob.certificate, between.certificate, between, { ...lists, status: "revoked" }),
  );
});

function p11seal(argv: string, home = join(folder, `home${homes++}`)): Promise<Outcome> {
  return run(argv.split(" "), { env: { P11SEAL_HOME: home } });
}

async function codeOf(argv: string, home?: string): Promise<string | undefined> {
  const { status, stderr } = await p11seal(`${argv} --json`, home);
  if (status === 0) return undefined;
  return errorCode({ stderr });
}

describe("verify --trust", () => {
  it("knows a signer by a certificate below the authority, and says why", async () => {
    const told = await p11seal("verify --trust root.pem bob.txt.p7s");
    expect(told).toMatchObject({ status: 0 });
    const text = told.stdout.toString();
    expect(text).toMatch(/known as +CN=bob,O=Example/);
    expect(text).toMatch(
      /certificate +believed, below CN=Root; whether it was revoked is not known/,
    );
    const data = JSON.parse(
      (await p11seal("verify --trust root.pem bob.txt.p7s --json")).stdout.toString(),
    ) as unknown;
    expect(data).toMatchObject({
      signers: [
        {
          name: "CN=bob,O=Example",
          trust: { path: ["CN=bob,O=Example", "CN=Between", "CN=Root"], anchor: "CN=Root" },
        },
      ],
    });
  });

  it.each([
    ["bob@example.org", undefined],
    ["bob@EXAMPLE.ORG", undefined],
    ["CN=Bob,O=example", undefined],
    ["bob", undefined],
    ["BOB@example.org", "ERR_SENDER_UNEXPECTED"],
    ["CN=bob", "ERR_SENDER_UNEXPECTED"],
    ["alice@example.org", "ERR_SENDER_UNEXPECTED"],
    ["X=y", "ERR_NAME_TEXT"],
  ])("--from %s", async (name, code) => {
    expect(await codeOf(`verify --trust root.pem --from ${name} bob.txt.p7s`)).toBe(code);
  });

  it.each([
    ["another authority's of the same name", "mallory", "ERR_CERTIFICATE_PATH"],
    ["expired", "expired", "ERR_CERTIFICATE_TIME"],
    ["not for signatures", "sealer", "ERR_CERTIFICATE_USAGE"],
  ])("refuses a certificate that is %s", async (_what, name, code) => {
    expect(await codeOf(`verify --trust root.pem --from any ${name}.txt.p7s`)).toBe(code);
  });

  it("--at is the time of the check; the signature must be of the certificate's time all the same", async () => {
    const day = new Date(now - 2.5 * DAY_MS).toISOString().replace(/\.\d+/, "");
    expect(await codeOf(`verify --trust root.pem --at ${day} bob.txt.p7s`)).toBe(
      "ERR_CERTIFICATE_TIME",
    );
    // Signed after it had expired.
    expect(await codeOf(`verify --trust root.pem --at ${day} expired.txt.p7s`)).toBe(
      "ERR_CERTIFICATE_TIME",
    );
    const later = new Date(now + 60 * DAY_MS).toISOString().slice(0, 10);
    expect(await codeOf(`verify --trust root.pem --at ${later} bob.txt.p7s`)).toBe(
      "ERR_CERTIFICATE_TIME",
    );
    const soon = new Date(now + 20 * DAY_MS).toISOString().slice(0, 10);
    expect(await codeOf(`verify --trust root.pem --at ${soon} bob.txt.p7s`)).toBeUndefined();
    expect(await codeOf("verify --trust root.pem --at yesterday bob.txt.p7s")).toBe("ERR_MOMENT");
  });

  it.each([
    ["--crl good.crl", undefined],
    ["--crl bad.crl", "ERR_CERTIFICATE_REVOKED"],
    ["--crl half.crl", "ERR_REVOCATION_UNKNOWN"],
    ["--crl half.crl --crl good.crl", undefined],
    ["--ocsp good.ocsp --crl good.crl", undefined],
    ["--ocsp bad.ocsp --crl good.crl", "ERR_CERTIFICATE_REVOKED"],
    ["--crl root.pem", "ERR_CRL"],
    ["--ocsp good.crl", "ERR_OCSP"],
    ["--crl missing.crl", "ERR_READ"],
  ])("%s", async (options, code) => {
    expect(await codeOf(`verify --trust root.pem ${options} bob.txt.p7s`)).toBe(code);
  });

  it("says that nothing was revoked, if a list says so", async () => {
    const told = await p11seal("verify --trust root.pem --crl good.crl bob.txt.p7s");
    expect(told.stdout.toString()).toMatch(/believed, below CN=Root\n/);
  });
});

describe("authorities that are kept", () => {
  it("are believed without --trust: by p11seal trust, and by config.toml", async () => {
    const home = join(folder, "kept");
    expect(await codeOf("verify bob.txt.p7s", home)).toBe("ERR_SENDER_UNKNOWN");
    await p11seal("trust add ca root.pem", home);
    expect(await codeOf("verify bob.txt.p7s", home)).toBeUndefined();
    expect(await codeOf("verify --from bob@example.org bob.txt.p7s", home)).toBeUndefined();
    // Others may have a certificate for this common name from one of all authorities.
    expect(await codeOf("verify --from bob bob.txt.p7s", home)).toBe("ERR_SENDER_UNEXPECTED");
    expect(await codeOf("verify --trust ca --from bob bob.txt.p7s", home)).toBeUndefined();
    // What the command line names counts alone.
    expect(await codeOf("verify --trust foreign.pem bob.txt.p7s", home)).toBe(
      "ERR_CERTIFICATE_PATH",
    );
    await p11seal("trust remove ca --yes", home);
    expect(await codeOf("verify bob.txt.p7s", home)).toBe("ERR_SENDER_UNKNOWN");

    writeFileSync(join(home, "config.toml"), `trust = ["${join(folder, "root.pem")}"]\n`, {
      mode: 0o600,
    });
    expect(await codeOf("verify bob.txt.p7s", home)).toBeUndefined();
    writeFileSync(join(home, "config.toml"), 'trust = ["none.pem"]\n', { mode: 0o600 });
    expect(await codeOf("verify bob.txt.p7s", home)).toBe("ERR_READ");
  });

  it("what the user says of a key counts before what an authority says", async () => {
    const home = join(folder, "limits");
    mkdirSync(home, { mode: 0o700 });
    await p11seal("trust add ca root.pem", home);
    expect(await p11seal("senders add robert bob.crt --not-after 2020-01-01", home)).toMatchObject({
      status: 0,
    });
    expect(await codeOf("verify bob.txt.p7s", home)).toBe("ERR_SENDER_EXPIRED");
    expect(await codeOf("verify --from robert --from bob@example.org bob.txt.p7s", home)).toBe(
      "ERR_SENDER_EXPIRED",
    );
    await p11seal("senders remove robert --yes", home);
    await p11seal("senders add robert bob.crt", home);
    const told = await p11seal("verify bob.txt.p7s", home);
    expect(told.stdout.toString()).toMatch(/known as +robert/);
    expect(await codeOf("verify --from bob@example.org bob.txt.p7s", home)).toBeUndefined();
    await p11seal("senders add zoe mallory.crt", home);
    expect(await codeOf("verify --from zoe bob.txt.p7s", home)).toBe("ERR_SENDER_UNEXPECTED");
    expect(
      await codeOf("verify --from zoe --from bob@example.org bob.txt.p7s", home),
    ).toBeUndefined();
  });
});
