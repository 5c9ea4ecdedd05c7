/** `open --from` where the sender is known by a certificate below an authority. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import {
  DAY_MS,
  type Issuer,
  pemOf,
  personal,
  rootAuthority,
} from "../../../support/certificates.js";
import { crl, revoked } from "../../../support/revocation.js";
import { temporaryFolder } from "../../support/folder.js";
import { writePerson } from "../../support/people.js";
import { errorCode, run, type Outcome } from "../../support/run.js";

const folder = temporaryFolder();
const now = Date.now();
const times = { notBeforeMs: now - DAY_MS, notAfterMs: now + 30 * DAY_MS };
const lists = { thisUpdateMs: now - DAY_MS / 2, nextUpdateMs: now + DAY_MS };
const root = rootAuthority("Root", times);
const foreign = rootAuthority("Root", times);
const home = join(folder, "home");
const people = new Map<string, Issuer>();

function p11seal(argv: string): Promise<Outcome> {
  return run(argv.split(" "), { env: { P11SEAL_HOME: home, P11SEAL_SYSTEM_MODULES: "0" } });
}

function person(name: string, issuer: Issuer, cn = name): void {
  const made = issuer.issue({ ...personal(cn, "digitalSignature", "keyAgreement"), ...times });
  people.set(name, made);
  writePerson(folder, name, made);
}

beforeAll(async () => {
  process.chdir(folder);
  mkdirSync(home, { mode: 0o700 });
  for (const name of ["alice", "bob"]) person(name, root);
  person("mallory", foreign, "bob");
  writeFileSync("root.pem", pemOf("CERTIFICATE", root.certificate.der));
  const entries = [revoked((people.get("bob") as Issuer).certificate)];
  writeFileSync("good.crl", crl(root, lists));
  writeFileSync("bad.crl", crl(root, { ...lists, entries }));
  writeFileSync("plan.txt", "the plan\n");
  await p11seal("recipients add alice alice.crt");
  // A ledger is made with the first sender.
  await p11seal("senders add nobody mallory.crt");
  await p11seal("senders remove nobody --yes");
  for (const name of ["bob", "mallory"]) {
    const words = `--sign-with ${name}.key --cert ${name}.crt -o ${name}.p7m plan.txt`;
    expect(await p11seal(`seal --format cms -r alice ${words}`)).toMatchObject({ status: 0 });
  }
  await p11seal("seal --format cms --smime -r alice -o mail.eml plan.txt");
  // Encrypted, then signed.
  const sign = "cms -sign -binary -nodetach -signer bob.crt -inkey bob.key -outform DER";
  execFileSync("openssl", [...sign.split(" "), "-in", "mail.eml", "-out", "outside.p7m"]);
});

beforeEach(() => {
  rmSync("out", { force: true });
});

async function opened(argv: string): Promise<string> {
  const { status, stderr } = await p11seal(`open -i alice-both.pem -o out --json ${argv}`);
  if (status === 0) {
    // A mail's content is a part with its header.
    expect(["the plan\n", "dGhlIHBsYW4K\r\n"]).toContain(
      readFileSync("out", "utf8").replace(/^Content[^]*?\r\n\r\n/, ""),
    );
    return "opened";
  }
  expect(existsSync("out")).toBe(false);
  return errorCode({ stderr });
}

describe("open without --from", () => {
  it("says whose certificate the signer has, and whether it is believed", async () => {
    const open = ["bob.p7m", "outside.p7m", "mallory.p7m"].map(
      (file) => `open -i alice-both.pem -o - ${file}`,
    );
    for (const argv of open) {
      const told = await p11seal(argv);
      expect(told).toMatchObject({ status: 0 });
      expect(told.stderr).toMatch(/signed by an unknown key, [0-9a-f]{4} .*; the signature holds/);
      expect(told.stderr).toContain(
        "the signer's certificate is of CN=bob,O=Example <bob@example.org>: not believed: no authority is trusted",
      );
    }
    await p11seal("trust add ca root.pem");
    for (const argv of open.slice(0, 2)) {
      const { stderr } = await p11seal(argv);
      expect(stderr).toMatch(
        /signed by CN=bob,O=Example <bob@example.org>, .*; the signature holds/,
      );
      expect(stderr).toContain(": believed, below CN=Root; whether it was revoked is not known");
    }
    const { stderr } = await p11seal(open[2] as string);
    expect(stderr).toMatch(/signed by an unknown key/);
    expect(stderr).toMatch(/<bob@example.org>: not believed: .*not signed by the key/);
    await p11seal("senders add robert bob.crt");
    expect((await p11seal(open[0] as string)).stderr).toContain('signed by "robert"');
    await p11seal("senders remove robert --yes");
    await p11seal("trust remove ca --yes");
  });
});

describe("open --from --trust", () => {
  it.each([
    ["--trust root.pem --from alice@example.org bob.p7m", "ERR_SENDER_UNEXPECTED"],
    ["--trust root.pem --from bob@example.org mallory.p7m", "ERR_CERTIFICATE_SIGNATURE"],
    ["--trust root.pem --from any mallory.p7m", "ERR_CERTIFICATE_SIGNATURE"],
    ["--trust root.pem --crl bad.crl --from any bob.p7m", "ERR_CERTIFICATE_REVOKED"],
    ["--trust root.pem --at 2020-01-01 --from any bob.p7m", "ERR_CERTIFICATE_TIME"],
    ["--from bob@example.org bob.p7m", "ERR_SENDER_UNKNOWN"],
    ["--from any bob.p7m", "ERR_SENDER_UNKNOWN"],
    ["--trust root.pem bob.p7m", "ERR_USAGE"],
    ["--crl good.crl bob.p7m", "ERR_USAGE"],
    ["--trust none.pem --from any bob.p7m", "ERR_READ"],
    ["--trust - --from any -", "ERR_USAGE"],
    ["--trust root.pem --from alice@example.org outside.p7m", "ERR_SENDER_UNEXPECTED"],
  ])("%s: %s", async (argv, code) => {
    expect(await opened(argv)).toBe(code);
  });

  it("opens what the holder of that address signed inside the encryption, once", async () => {
    const words = "--trust root.pem --crl good.crl --from bob@example.org bob.p7m";
    const told = await p11seal(`open -i alice-both.pem -o out ${words}`);
    expect(told).toMatchObject({ status: 0 });
    expect(told.stderr).toContain('from "bob@example.org"');
    rmSync("out");
    expect(await opened(words)).toBe("ERR_REPLAYED");
  });

  it("opens what was signed outside the encryption, once, below an authority that is kept", async () => {
    await p11seal("trust add ca root.pem");
    const words = "--from CN=Bob,O=Example outside.p7m";
    expect(await opened(words)).toBe("opened");
    rmSync("out");
    expect(await opened(words)).toBe("ERR_REPLAYED");
  });
});
