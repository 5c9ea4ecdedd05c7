/** CMS messages that `openssl cms` made, on the command line: with key files, and with a token. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { TEST_KEYS } from "../../../support/keys.js";
import {
  freshToken,
  importKey,
  SOFTHSM_MODULE,
  type TestToken,
  USER_PIN,
} from "../../../support/softhsm.js";
import { Random } from "../../../support/mutate.js";
import { temporaryFolder, writeKeys } from "../../support/folder.js";
import { run, type Outcome, type RunOptions } from "../../support/run.js";
import { p11seal } from "../../support/spawn.js";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const content = Buffer.from(new Random(5).bytes(100_000));

function openssl(...argv: readonly string[]): void {
  execFileSync("openssl", argv, { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
}

const OAEP = ["-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256"];
const OAEP_SHA1 = ["-keyopt", "rsa_padding_mode:oaep"];
const KDF = ["-keyopt", "ecdh_kdf_md:sha256", "-aes256-wrap"];
const GCM = "-aes-256-gcm";

/** Encrypts the content to a holder's certificate. */
function encrypt(name: string, holder: "alice" | "bob", ...how: readonly string[]): void {
  const message = ["-binary", "-in", "content", "-out", name];
  const form = how.includes("-outform") ? [] : ["-outform", "DER"];
  openssl("cms", "-encrypt", ...message, ...form, "-recip", `${holder}.crt`, ...how);
}

const open = (argv: readonly string[], options: RunOptions = {}): Promise<Outcome> =>
  run(["open", ...argv], { ...options, env: { P11SEAL_HOME: at("home"), ...options.env } });

const withAlice = ["-i", at("alice.key"), "--cert", at("alice.crt")];
const withBob = ["-i", at("bob.key"), "--cert", at("bob.crt")];

beforeAll(() => {
  writeKeys(folder);
  writeFileSync(at("content"), content);
  for (const name of ["alice", "bob"]) {
    const subject = ["-subj", `/O=Example/CN=${name}`, "-days", "30"];
    openssl("req", "-x509", "-new", "-key", `${name}.key`, ...subject, "-out", `${name}.crt`);
  }
  encrypt("rsa.p7m", "alice", GCM, ...OAEP);
  encrypt("stream.p7m", "alice", GCM, "-stream", ...OAEP);
  encrypt("ec.p7m", "bob", GCM, ...KDF);
  encrypt("keyid.p7m", "bob", GCM, "-keyid", ...KDF);
  encrypt("pem.p7m", "bob", GCM, "-outform", "PEM", "-stream", ...KDF);
  encrypt("cbc.p7m", "bob", "-aes-256-cbc", ...KDF);
  encrypt("old.p7m", "alice", "-des-ede3-cbc");
  encrypt("v15.p7m", "alice", GCM);
});

describe("with a key file, a CMS message", () => {
  it.each([
    ["rsa.p7m", withAlice],
    ["stream.p7m", withAlice],
    ["ec.p7m", withBob],
    ["keyid.p7m", ["-i", at("bob.key")]],
    ["pem.p7m", withBob],
    ["v15.p7m", [...withAlice, "--allow-legacy"]],
  ])("%s opens, to a file and to a pipe", async (name, keys) => {
    const { status, stderr } = await open([...keys, "-o", at(`${name}.out`), at(name)]);
    expect([status, stderr]).toEqual([0, ""]);
    expect(readFileSync(at(`${name}.out`)).equals(content)).toBe(true);
    const piped = await open([...keys, at(name)]);
    expect([piped.status, piped.stdout.equals(content)]).toEqual([0, true]);
  });

  it("opens with the certificate that stands in the key's file", async () => {
    writeFileSync(
      at("both.pem"),
      [readFileSync(at("bob.key")), readFileSync(at("bob.crt"))].join(""),
      {
        mode: 0o600,
      },
    );
    expect(await open(["-i", at("both.pem"), at("ec.p7m")])).toMatchObject({ status: 0 });
  });

  it("is not tried without its certificate, and the hint says how to give it", async () => {
    const { status, stderr } = await open(["-i", at("bob.key"), at("ec.p7m")]);
    expect(status).toBe(3);
    expect(stderr).toContain("--cert FILE");
    const other = await open([...withAlice, at("ec.p7m")]);
    expect(other.status).toBe(3);
  });

  it("is told by certificates in inspect and doctor, too", async () => {
    const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    openssl("req", "-x509", ...newKey, "-keyout", "other.key", "-subj", "/CN=x", "-out", "o.crt");
    const told = async (command: string, ...argv: readonly string[]): Promise<Outcome> =>
      run([command, ...argv, at("ec.p7m")], { env: { P11SEAL_HOME: at("home") } });
    const withOther = ["-i", at("other.key"), "--cert", at("o.crt")];

    expect((await told("doctor", ...withBob)).stdout.toString()).toContain("will open");
    expect((await told("inspect", ...withBob)).stdout.toString()).toContain("way: ");

    for (const [command, status] of [
      ["doctor", 3],
      ["inspect", 0],
    ] as const) {
      const without = await told(command, "-i", at("bob.key"));
      expect([without.status, without.stdout.toString()]).toEqual([
        status,
        expect.stringMatching(/names certificates, and none of this key is at hand[^]*--cert FILE/),
      ]);
      const other = await told(command, ...withOther);
      expect([other.status, other.stdout.toString()]).toEqual([
        status,
        expect.stringMatching(/was sealed to (?:none of these keys|another key)/),
      ]);
    }
    expect((await told("doctor", ...withOther)).stdout.toString()).toContain("--cert FILE");
    expect((await told("open", ...withOther)).stderr).toContain("--cert FILE");

    const several = ["-i", at("other.key"), ...withBob, "--cert", at("o.crt")];
    expect((await told("doctor", ...several)).stdout.toString()).toContain(at("bob.key"));
    expect((await told("inspect", "--cert", at("bob.crt"))).status).toBe(2);
    expect((await run(["doctor", "--cert", at("bob.crt")])).status).toBe(2);
  });

  it("in CBC opens only where that is said, one at a time, and not to a terminal", async () => {
    const refused = await open([...withBob, "-o", at("no"), at("cbc.p7m")]);
    expect([refused.status, existsSync(at("no"))]).toEqual([6, false]);
    expect(refused.stderr).toContain("--allow-unauthenticated");

    const allowed = [...withBob, "--allow-unauthenticated"];
    const opened = await open([...allowed, at("cbc.p7m")]);
    expect([opened.status, opened.stdout.equals(content)]).toEqual([0, true]);
    expect(opened.stderr).toContain("NOT AUTHENTICATED");

    const shown = await open([...allowed, at("cbc.p7m")], { tty: ["stdout"] });
    expect([shown.status, shown.stdout.length]).toEqual([6, 0]);
    const several = await open([...allowed, at("cbc.p7m"), at("ec.p7m")]);
    expect(several.status).toBe(2);
  });

  it("in triple DES under PKCS#1 v1.5 needs both flags", async () => {
    for (const flags of [[], ["--allow-legacy"], ["--allow-unauthenticated"]]) {
      const { status, stdout } = await open([...withAlice, ...flags, at("old.p7m")]);
      expect([status, stdout.length]).toEqual([6, 0]);
    }
    const flags = ["--allow-legacy", "--allow-unauthenticated"];
    const opened = await open([...withAlice, ...flags, at("old.p7m")]);
    expect([opened.status, opened.stdout.equals(content)]).toEqual([0, true]);
  });

  it.each(["stream.p7m", "pem.p7m", "rsa.p7m"])(
    "%s that was cut or altered anywhere leaves nothing",
    async (name) => {
      const whole = readFileSync(at(name));
      const keys = name === "pem.p7m" ? withBob : withAlice;
      const random = new Random(whole.length);
      writeFileSync(at("damaged"), whole);
      const before = readdirSync(folder).length;
      for (let i = 0; i < 40; i++) {
        const cut = i < 8 ? whole.length - 1 - i : random.below(whole.length);
        const altered = Buffer.from(whole);
        altered[cut] = (altered[cut] as number) ^ (1 << random.below(7));
        for (const bytes of [whole.subarray(0, cut), altered]) {
          writeFileSync(at("damaged"), bytes);
          const piped = await open([...keys, at("damaged")]);
          const { status } = await open([...keys, "-o", at("damaged.out"), at("damaged")]);
          // A damaged line break of PEM may still be one.
          if (status === 0 && name === "pem.p7m") {
            expect(piped.stdout.equals(content)).toBe(true);
            rmSync(at("damaged.out"));
            continue;
          }
          expect(status).not.toBe(0);
          expect([piped.status, piped.stdout.length]).toEqual([status, 0]);
          expect(readdirSync(folder).length).toBe(before);
        }
      }
    },
  );
});

it("a key is not tried on after five CMS messages that did not open with it", async () => {
  const whole = readFileSync(at("keyid.p7m"));
  const names = Array.from({ length: 12 }, (_, i) => {
    const altered = Buffer.from(whole);
    altered[whole.length - 1] = (altered[whole.length - 1] as number) ^ (i + 1);
    writeFileSync(at(`guess${i}.p7m`), altered);
    return at(`guess${i}.p7m`);
  });
  const { status, stderr } = await open(["-i", at("bob.key"), ...names, at("keyid.p7m")]);
  expect(status).toBe(4);
  // Four are opened at a time.
  const tried = stderr.split("\n").filter((line) => line.includes("was altered")).length;
  expect([5, 6, 7, 8]).toContain(tried);
  expect(stderr).toContain("5 messages did not open with this key");
  expect(existsSync(at("keyid"))).toBe(false);
});

describe("with a token, a CMS message", () => {
  let token: TestToken;

  beforeAll(async () => {
    token = await freshToken("cms files");
    const half = (id: number, label: string) => ({ label, id: Uint8Array.of(id) });
    const derive = { ...half(1, "curve"), privateHalf: { DERIVE: true } };
    await importKey(token, TEST_KEYS.p256, derive);
    const unwrap = { ...half(2, "unwrap"), privateHalf: { UNWRAP: true, DECRYPT: false } };
    await importKey(token, TEST_KEYS.rsa2048, unwrap);
    encrypt("sha1.p7m", "alice", GCM, ...OAEP_SHA1);
  });

  it.each([
    ["ec.p7m", "bob.crt"],
    ["sha1.p7m", "alice.crt"],
  ])("%s opens after one PIN", async (name, certificate) => {
    // Tokens of other files may hold the same keys.
    const key = ["-i", token.uri, "--cert", certificate, "--pin-source", "env:PIN"];
    const argv = ["open", ...key, "-o", "-", name];
    const env = { PIN: USER_PIN, P11SEAL_MODULE: SOFTHSM_MODULE };
    const opened = await p11seal(argv, { cwd: folder, env });
    expect(opened).toMatchObject({ status: 0 });
    expect(Buffer.compare(Buffer.from(opened.stdout), content)).toBe(0);
  });
});
