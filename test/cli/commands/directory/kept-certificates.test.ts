/** Certificates that names have in the directory. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { parseX509 } from "../../../../src/x509/certificate.js";
import { DAY_MS, keyUsage, newKeys, pemOf, rootAuthority } from "../../../support/certificates.js";
import { temporaryFolder } from "../../support/folder.js";
import { run, type Outcome } from "../../support/run.js";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const times = { notBeforeMs: Date.now() - DAY_MS, notAfterMs: Date.now() + 30 * DAY_MS };
const root = rootAuthority("Root", times);
const middle = root.authority("Middle", times);
const keys = newKeys();
const bob = (CN: string) =>
  middle.issue({
    subject: { O: "Example", CN },
    extensions: [keyUsage("digitalSignature", "keyAgreement")],
    keys,
    ...times,
  });
const first = bob("Bob");
writeFileSync(at("bob.crt"), pemOf("CERTIFICATE", first.certificate.der, middle.certificate.der));
writeFileSync(at("renewed.crt"), pemOf("CERTIFICATE", bob("Bob again").certificate.der));
writeFileSync(at("bob.pem"), keys.publicKey.export({ format: "pem", type: "spki" }));
writeFileSync(at("bob.der"), first.certificate.der);

let homes = 0;
const freshHome = (): string => at(`home${homes++}`);
const p11seal = (home: string, ...argv: string[]): Promise<Outcome> =>
  run(argv, { env: { P11SEAL_HOME: home } });

/** The certificates in the list's file, by their subjects' last parts. */
function kept(home: string, kind: string): string[] {
  const text = readFileSync(join(home, `${kind}.toml`), "utf8");
  const list = /^certificates = \[(.*)\]$/m.exec(text)?.[1] ?? "";
  return [...list.matchAll(/"([^"]*)"/g)].map(([, base64 = ""]) => {
    const { subject } = parseX509(Buffer.from(base64, "base64"));
    return subject.rdns.at(-1)?.[0]?.text ?? "";
  });
}

describe.each(["recipients", "senders", "custodians"])("%s", (kind) => {
  it("keep a certificate with those behind it, and show it", async () => {
    const home = freshHome();
    expect(await p11seal(home, kind, "add", "bob", at("bob.crt"))).toMatchObject({ status: 0 });
    expect(kept(home, kind)).toEqual(["Bob", "Middle"]);
    const shown = (await p11seal(home, kind, "show", "bob")).stdout.toString();
    expect(shown).toMatch(/certificate +CN=Bob,O=Example until /);
    expect(shown).toMatch(/its issuer +CN=Middle until /);
    const data = JSON.parse(
      (await p11seal(home, kind, "list", "--json")).stdout.toString(),
    ) as Record<string, unknown[]>;
    expect(data[kind]).toMatchObject([
      { certificate: { subject: "CN=Bob,O=Example", issuer: "CN=Middle" }, notAfter: null },
    ]);
  });

  it("keep it when the key comes again without one, and take another of the same key", async () => {
    const home = freshHome();
    await p11seal(home, kind, "add", "bob", at("bob.pem"));
    expect(kept(home, kind)).toEqual([]);
    await p11seal(home, kind, "add", "bob", at("bob.der"));
    expect(kept(home, kind)).toEqual(["Bob"]);
    await p11seal(home, kind, "add", "bob", at("bob.pem"), "--not-after", "2090-01-01");
    expect(kept(home, kind)).toEqual(["Bob"]);
    await p11seal(home, kind, "add", "bob", at("renewed.crt"));
    expect(kept(home, kind)).toEqual(["Bob again"]);
  });

  it.each([
    ["another key's", () => root.certificate.der, "another key's"],
    ["damaged", () => first.certificate.der.subarray(0, 50), "certificates: "],
    ["text", () => undefined, "not a list of 1 to 10 texts"],
  ])("a file with a certificate that is %s is refused", async (_what, bytes, fact) => {
    const home = freshHome();
    await p11seal(home, kind, "add", "bob", at("bob.der"));
    const path = join(home, `${kind}.toml`);
    const [der] = [bytes()];
    const value = der === undefined ? '"x"' : `["${Buffer.from(der).toString("base64")}"]`;
    writeFileSync(
      path,
      readFileSync(path, "utf8").replace(/^certificates = .*$/m, `certificates = ${value}`),
    );
    const told = await p11seal(home, kind, "list");
    expect(told.status).toBe(1);
    expect(told.stderr).toContain(fact);
  });
});
