/** Recipients: every form of -r and -R, and what could be mistaken for something else. */
import { createPublicKey } from "node:crypto";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import type { MessageInfo } from "../../../src/index.js";
import { publicDer, publicPem, TEST_KEYS } from "../../support/keys.js";
import { temporaryFolder, writeKeys } from "../support/folder.js";
import { run, type Outcome, type RunOptions } from "../support/run.js";

const folder = temporaryFolder();
const home = join(folder, "home");
const fixtures = new URL("../../keys/fixtures/", import.meta.url);
const at = (...names: string[]): string => join(folder, ...names);

const sshLine = readFileSync(new URL("p256.ssh", fixtures), "utf8").trim();
const ed25519Line = readFileSync(new URL("ed25519.ssh", fixtures), "utf8").trim();
const jwk = JSON.stringify(createPublicKey(TEST_KEYS.p256).export({ format: "jwk" }));

beforeAll(() => {
  writeKeys(folder);
  mkdirSync(at("team"));
  mkdirSync(home);
  writeFileSync(at("bob.der"), publicDer(TEST_KEYS.p256));
  writeFileSync(at("bob.jwk"), jwk);
  writeFileSync(at("bob.ssh"), `${sshLine}\n`);
  writeFileSync(at("team", "alice.pem"), publicPem(TEST_KEYS.rsa2048));
  writeFileSync(
    at("team", "list"),
    `# the team\n\nalice = alice.pem\nbob = ${jwk}\n\n${publicPem(TEST_KEYS.x25519)}`,
  );
  writeFileSync(at("empty-list"), "# nobody yet\n");
  writeFileSync(join(home, "recipients"), `carol = ${at("carol.pem")}\n`);
  process.chdir(folder);
});

/** Seals a word and returns the header's description. */
async function sealedTo(
  argv: readonly string[],
  options: RunOptions = {},
): Promise<Outcome & { types: string[] }> {
  const stdin = options.stdin === undefined ? { stdin: "word" } : {};
  const env = { P11SEAL_HOME: home };
  const outcome = await run(["seal", ...argv], { env, ...stdin, ...options });
  if (outcome.status !== 0) return { ...outcome, types: [] };
  const shown = await run(["inspect", "--json"], { stdin: outcome.stdout });
  const info = JSON.parse(shown.stdout.toString("utf8")) as MessageInfo;
  return { ...outcome, types: info.recipients.map(({ type, oaep }) => oaep ?? type) };
}

describe("a recipient", () => {
  it.each([
    ["PEM", "bob.pem"],
    ["DER", "bob.der"],
    ["a JWK", "bob.jwk"],
    ["an OpenSSH line", "bob.ssh"],
  ])("can be a file with %s, and its holder opens the message", async (_form, path) => {
    const { stdout, stderr, types } = await sealedTo(["-r", path]);
    expect({ stderr, types }).toEqual({ stderr: "", types: ["hpke-p256"] });
    const opened = await run(["open", "-i", "bob.key"], { stdin: stdout });
    expect(opened.stdout.toString("utf8")).toBe("word");
  });

  it("can be a certificate, and is told of when it is for signatures only", async () => {
    const path = new URL("rsa2048-sig.crt.pem", fixtures).pathname;
    const { types, stderr } = await sealedTo(["-r", path]);
    expect(types).toEqual(["sha256", "sha1"]);
    expect(stderr).toMatch(/^p11seal: .*rsa2048-sig.crt.pem: certificate's key usage/);
  });

  it.each([
    ["an OpenSSH line", sshLine],
    ["a JWK", jwk],
  ])("can be %s itself", async (_form, text) => {
    expect(await sealedTo(["-r", text])).toMatchObject({ status: 0, types: ["hpke-p256"] });
  });

  it("can be a name from the recipients file, in either case of letters", async () => {
    expect((await sealedTo(["-r", "carol"])).types).toEqual(["hpke-x25519"]);
    expect((await sealedTo(["-r", "Carol"])).types).toEqual(["hpke-x25519"]);
  });

  it("known by name is not replaced by a file that happens to lie here", async () => {
    writeFileSync("carol", publicPem(TEST_KEYS.rsa2048));
    const known = await sealedTo(["-r", "carol"]);
    expect(known.types).toEqual(["hpke-x25519"]);
    expect(known.stderr).toContain("write ./carol for the file here");
    expect((await sealedTo(["-r", "./carol"])).types).toEqual(["sha256", "sha1"]);
  });
});

it.each([0o620, 0o602, 0o666])(
  "the recipients file of mode %o, that others may change, is not believed",
  async (mode) => {
    chmodSync(join(home, "recipients"), mode);
    const { status, stderr } = await sealedTo(["-r", "carol", "--json"]);
    expect({ status, code: /ERR_[A-Z_]+/.exec(stderr)?.[0] }).toEqual({
      status: 6,
      code: "ERR_RECIPIENTS_FILE_MODE",
    });
    chmodSync(join(home, "recipients"), 0o600);
    expect((await sealedTo(["-r", "carol"])).status).toBe(0);
  },
);

describe("a list of recipients", () => {
  it("may have names, comments, keys, PEM blocks, and paths relative to itself", async () => {
    const { types, stderr } = await sealedTo(["-R", "team/list"]);
    expect({ types, stderr }).toEqual({
      types: ["sha256", "sha1", "hpke-p256", "hpke-x25519"],
      stderr: "",
    });
  });

  it("can come from stdin while the message is a file", async () => {
    const argv = ["-R", "-", "bob.der"];
    expect((await sealedTo(argv, { stdin: `${jwk}\n` })).types).toEqual(["hpke-p256"]);
  });

  it("that is empty is noted, and alone is nobody to seal to", async () => {
    const { status, stderr } = await sealedTo(["-R", "empty-list"]);
    expect(status).toBe(2);
    expect(stderr).toContain("empty-list: holds no recipients");
    expect(stderr).toContain("a message needs at least one recipient");
  });

  it.each([
    ["a damaged key", "x = ssh-rsa AAAA", 1],
    ["a file that is not there", "x = nowhere.pem", 1],
    ["a file that holds no key", "list-of-faults", 1],
    ["a key that can only sign", `x = ${ed25519Line}`, 1],
    ["a weak key", new URL("rsa1024.spki.pem", fixtures).pathname, 6],
    ["options before a key", `no-pty,command="/bin/true" ${sshLine}`, 1],
    ["a token that is not there", "pkcs11:token=nobody;object=x", 5],
    ["a URI that is none", "pkcs11:=", 1],
    ["a URI that names code", "pkcs11:token=a?module-path=/x.so", 6],
  ])("with a fault names file and line: %s", async (_name, entry, expected) => {
    writeFileSync("list-of-faults", "not a key\n");
    writeFileSync("faulty", `alice.pem\n\n${entry}\n`);
    const { status, stderr } = await sealedTo(["-R", "faulty"]);
    expect(stderr).toMatch(/^p11seal: faulty:3: /m);
    expect(stderr.split("faulty:3").length).toBe(2);
    expect(status).toBe(expected);
  });

  it("of a forge's user leaves out keys that can only sign, and says which", async () => {
    const keys = [ed25519Line, "sk-ssh-ed25519@openssh.com AAAA", sshLine].join("\n");
    const { types, stderr } = await sealedTo(["-R", "-", "bob.der"], { stdin: keys });
    expect(types).toEqual(["hpke-p256"]);
    expect(stderr).toMatch(/^p11seal: stdin:1: passed over: .*ssh-ed25519.*\n.*stdin:2: .*sk-ssh/);
  });

  it("in which nobody can receive is refused, whoever else receives", async () => {
    writeFileSync("signers", `# bob\n${ed25519Line}\n`);
    const { status, stderr } = await sealedTo(["-r", "alice.pem", "-R", "signers"]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^p11seal: signers: no key in it can receive/);
  });
});

describe("the OAEP hash", () => {
  const record = (hash: string): string => `p11seal-oaep: ${hash}\n${publicPem(TEST_KEYS.rsa2048)}`;

  it("follows what is recorded with the key", async () => {
    writeFileSync("recorded.pem", record("sha1"));
    expect((await sealedTo(["-r", "recorded.pem"])).types).toEqual(["sha1"]);
  });

  it("is the record's even when the same key came without one before", async () => {
    const { types, stderr } = await sealedTo(["-r", "alice.pem", "-r", "recorded.pem"]);
    expect(types).toEqual(["sha1"]);
    expect(stderr).toContain("recorded.pem: the same key as alice.pem, used once");
  });

  it("is that of --oaep above all", async () => {
    expect((await sealedTo(["--oaep", "sha384", "-r", "recorded.pem"])).types).toEqual(["sha384"]);
  });
});

it("a message has no more recipients than its format allows", async () => {
  const many = Array.from({ length: 1025 }, (_, i) => `n${i} = ${jwk}`).join("\n");
  writeFileSync("many", many);
  const { status, stderr } = await sealedTo(["-R", "many"]);
  expect(status).toBe(1);
  expect(stderr).toContain("more than 1024 entries");
});

it("a key file of unlikely size is not read whole", async () => {
  const { status, stderr } = await sealedTo(["-r", "/dev/zero"]);
  expect(status).toBe(1);
  expect(stderr).toContain('cannot read "/dev/zero": file too large (EFBIG)');
});

describe("a signing key as a recipient", () => {
  const env = { P11SEAL_HOME: join(folder, "home-with-senders") };
  const recorded = (use: string): string => `p11seal-use: ${use}\n${publicPem(TEST_KEYS.p256)}`;

  beforeAll(async () => {
    mkdirSync(env.P11SEAL_HOME, { mode: 0o700 });
    writeFileSync(at("sign.pem"), recorded("sign"));
    writeFileSync(at("sign.ssh"), `${sshLine} p11seal-use=sign\n`);
    writeFileSync(at("exchange.pem"), recorded("exchange"));
    expect((await run(["senders", "add", "Dave", "alice.pem"], { env })).status).toBe(0);
  });

  it.each([
    ["recorded as one in PEM", "sign.pem", "the key is recorded as one for signatures"],
    ["recorded as one by OpenSSH", "sign.ssh", "recorded as one for signatures"],
    ["a sender's in the directory", "alice.pem", 'alice.pem: the signing key of the sender "Dave"'],
  ])("is refused if it is %s", async (_how, path, message) => {
    const commands = [
      ["seal", "-r", path],
      ["recipients", "add", "eve", path],
    ];
    for (const argv of commands) {
      const refused = await run(argv, { env, stdin: "word" });
      expect({ argv, status: refused.status }).toEqual({ argv, status: 6 });
      expect(refused.stderr).toContain(message);
      expect(refused.stderr).toContain("--allow-signing-key");
    }
    const allowed = await run(["seal", "--allow-signing-key", "-r", path], { env, stdin: "word" });
    expect(allowed.status).toBe(0);
  });

  it("is refused in a recipients file", async () => {
    writeFileSync(at("signers"), "sign.pem\n");
    const { status, stderr } = await run(["seal", "-R", "signers"], { env, stdin: "word" });
    expect({ status, stderr }).toMatchObject({ status: 6 });
    expect(stderr).toContain("signers:1: the key is recorded");
  });

  it("is none if it is recorded for exchange", async () => {
    expect((await run(["seal", "-r", "exchange.pem"], { env, stdin: "word" })).status).toBe(0);
  });

  it("with a record that can't be understood is a fault", async () => {
    writeFileSync(at("odd.pem"), recorded("both"));
    const { stderr } = await run(["seal", "-r", "odd.pem", "--json"], { env, stdin: "word" });
    expect(stderr).toContain("ERR_USE_RECORD");
  });
});
