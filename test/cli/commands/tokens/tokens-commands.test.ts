/** The commands that use tokens, as their users run them, on SoftHSM. */
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { parsePluginIdentity } from "../../../../src/plugin/plugin-identity.js";
import { parsePublicKey } from "../../../../src/keys/formats/key-file.js";
import { atTerminal } from "../../support/at-terminal.js";
import { temporaryFolder, writeKeys } from "../../support/folder.js";
import { run, type Outcome, type RunOptions } from "../../support/run.js";
import { p11seal, type Ended } from "../../support/spawn.js";

const PIN = "correct-7291";
const SO_PIN = "officer-8814";
const folder = temporaryFolder();
const home = join(folder, "home");
const RSA = "pkcs11:token=cli-alice;object=exchange";
const EC = "pkcs11:token=cli-alice;object=exchange-ec";
const at = (name: string): string => join(folder, name);
const text = (name: string): string => readFileSync(at(name), "utf8");

/**
 * Within this process the module reads the SOFTHSM2_CONF with which the process was started. The
 * token is made there, under its own label.
 */
const env = {
  P11SEAL_HOME: home,
  P11SEAL_MODULE: process.env["TEST_SOFTHSM2_MODULE"],
  P11SEAL_SOFTHSM2: process.env["TEST_SOFTHSM2_MODULE"],
  SOFTHSM2_CONF: process.env["SOFTHSM2_CONF"],
};

function cli(argv: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return run(argv, { ...options, env: { ...env, ...options.env } });
}

/** A PIN source that notes each request. */
const counting = (pin: string): string[] => ["--pin-source", `cmd:echo x >> asked; echo ${pin}`];
const timesAsked = (): number => (existsSync(at("asked")) ? text("asked").length / 2 : 0);

async function ok(argv: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const ended = await cli(argv, options);
  expect({ argv, status: ended.status, stderr: ended.stderr }).toMatchObject({ argv, status: 0 });
  return ended;
}

const withPin = { env: { P11SEAL_PIN_SOURCE: "env:PIN", PIN } };

beforeAll(async () => {
  mkdirSync(home, { mode: 0o700 });
  writeKeys(folder);
  process.chdir(folder);
  writeFileSync(at("note"), "meet at noon\n");
  await ok(
    ["token", "init", "--label", "cli-alice", "--pin-source", "env:A", "--so-pin-source", "env:B"],
    {
      env: { A: PIN, B: SO_PIN },
    },
  );
  for (const [label, type] of [
    ["exchange", "rsa:2048"],
    ["exchange-ec", "ec:p256"],
  ] as const) {
    const argv = ["--token", "pkcs11:token=cli-alice", "--label", label, "--type", type];
    await ok(["keys", "generate", ...argv, "-o", `${label}.pem`], withPin);
    await ok(["seal", "-r", `${label}.pem`, "-o", `${label}.p11s`, "note"]);
  }
  // Not a TEST key, since other tests' tokens hold those.
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  writeFileSync(at("nobody.pem"), publicKey.export({ format: "pem", type: "spki" }));
  await ok(["seal", "-r", "nobody.pem", "-o", "for-nobody.p11s", "note"]);
});

beforeEach(() => {
  writeFileSync(at("asked"), "");
});

describe("token init", () => {
  it("prints the new token's URI, which finds it", async () => {
    const { stdout } = await ok(
      ["token", "init", "--label", "cli second token", ...counting(PIN)],
      {
        env: { P11SEAL_SO_PIN_SOURCE: "env:B", B: SO_PIN },
      },
    );
    const uri = stdout.toString("utf8").trim();
    expect(uri).toMatch(/^pkcs11:token=cli%20second%20token;/);
    expect((await ok(["keys", "list", uri])).stderr).toContain("no key was found");
  });

  it("prints variables for a CI job, with a PIN of its own", async () => {
    const github = await ok(["token", "init", "--label", "cli ci", "--env", "github"]);
    const lines = github.stdout.toString("utf8").trimEnd().split("\n");
    const made: Record<string, string> = {};
    for (const line of lines) {
      const at = line.indexOf("=");
      made[line.slice(0, at)] = line.slice(at + 1);
    }
    expect(made).toMatchObject({
      ...{ PKCS11_TOKEN_LABEL: "cli ci", P11SEAL_PIN_SOURCE: "env:PKCS11_PIN", P11SEAL_HOME: home },
      ...{ PKCS11_MODULE_PATH: env.P11SEAL_MODULE, SOFTHSM2_CONF: env.SOFTHSM2_CONF },
    });
    const uri = made["PKCS11_URI"] ?? "";
    const words = ["--token", uri, "--label", "k", "--type", "ec:p256"];
    await ok(["keys", "generate", ...words], { env: made });
    expect(made["PKCS11_PIN"]).toMatch(/^[0-9]{8}$/);
    expect(github.stderr).not.toContain(made["PKCS11_PIN"]);
  });

  it("prints no PIN that comes from a source", async () => {
    const source = { P11SEAL_PIN_SOURCE: "env:A", A: PIN };
    const words = ["token", "init", "--label", "cli it's", "--env", "sh"];
    const { stdout } = await ok(words, { env: source });
    const text = stdout.toString("utf8");
    expect(text).toContain(`export PKCS11_TOKEN_LABEL='cli it'\\''s'\n`);
    expect(text).toContain("export P11SEAL_PIN_SOURCE='env:A'\n");
    expect(text).not.toMatch(/PKCS11_PIN=/);
    expect(text).not.toContain(PIN);
    const refused = await cli([...words, "--json"]);
    expect(refused).toMatchObject({ status: 2 });
    expect(refused.stderr).toContain("--env and --json exclude each other");
  });

  it("asks for both PINs twice at a terminal, without echo", async () => {
    const { status, shown } = await atTerminal(
      ["token", "init", "--label", "cli-third"],
      [
        ["PIN for token", `${SO_PIN}\r`],
        ["again", `${SO_PIN}\r`],
        ["PIN for token", `${PIN}\r`],
        ["again", `${PIN}\r`],
      ],
      { cwd: folder, env: env },
    );
    expect({ status, shown }).toMatchObject({ status: 0 });
    expect(shown).not.toContain(PIN);
    expect(shown).not.toContain(SO_PIN);
  });
});

describe("a process of its own", () => {
  const alone = { P11SEAL_HOME: join(folder, "own-home"), SOFTHSM2_CONF: undefined };
  const own = async (...argv: string[]): Promise<Ended> =>
    p11seal(argv, { cwd: folder, env: { ...alone, ...withPin.env, SO_PIN } });

  it("needs no configuration from init to open", async () => {
    const steps = [
      ["token", "init", "--label", "own", "--so-pin-source", "env:SO_PIN"],
      ["keys", "generate", "--token", "pkcs11:token=own", "--label", "k", "--type", "ec:p384"],
      ["seal", "-r", "pkcs11:token=own;object=k", "-o", "own.p11s", "note"],
      ["open", "-o", "own", "own.p11s"],
    ];
    for (const argv of steps) {
      const { status, stderr } = await own(...argv);
      expect({ argv, status, stderr }).toMatchObject({ argv, status: 0 });
    }
    expect(text("own")).toBe("meet at noon\n");
  });

  it("says so where there is no token at all", async () => {
    writeFileSync(at("empty.conf"), `directories.tokendir = ${folder}/none\n`);
    mkdirSync(at("none"));
    const { status, stderr } = await p11seal(["open", "exchange.p11s"], {
      cwd: folder,
      env: { ...env, SOFTHSM2_CONF: at("empty.conf") },
    });
    expect(status).toBe(5);
    expect(stderr).toContain("no token is present");
  });

  it("tells nobody its PIN: not in its arguments, its environment, or its children's", async () => {
    const source = `cmd:tr "\\0" "\\n" < /proc/$PPID/environ > seen; cat /proc/$PPID/cmdline >> seen; env >> seen; cat pin.txt`;
    writeFileSync(at("pin.txt"), PIN);
    const argv = ["open", "-o", "unseen", "--pin-source", source, "exchange.p11s"];
    const { status } = await p11seal(argv, { cwd: folder, env });
    expect(status).toBe(0);
    expect(text("seen")).toContain("P11SEAL_TOKEN_LABEL=cli-alice");
    expect(text("seen")).not.toContain(PIN);
  });
});

describe("tokens", () => {
  it("lists modules and tokens, by label and serial and never by slot", async () => {
    const { stdout } = await ok(["tokens"]);
    expect(stdout.toString("utf8")).toMatch(
      /^token +cli-alice +serial [0-9a-f]+ .*PIN (?:ok|low)/m,
    );
    expect(stdout.toString("utf8")).not.toMatch(/slot/i);
  });

  it("is JSON for programs", async () => {
    const { stdout } = await ok(["tokens", "--json"]);
    const listed = JSON.parse(stdout.toString("utf8")) as {
      modules: { path: string }[];
      tokens: { label: string; uri: string }[];
    };
    expect(listed.modules.map(({ path }) => path)).toEqual([env.P11SEAL_MODULE]);
    expect(listed.tokens.map(({ label }) => label)).toContain("cli-alice");
  });

  it.each([
    ["is missing", () => at("missing.so")],
    ["is no PKCS#11 library", () => at("note")],
    [
      "anyone may write to",
      () => {
        copyFileSync(env.P11SEAL_MODULE ?? "", at("open.so"));
        chmodSync(at("open.so"), 0o777);
        return at("open.so");
      },
    ],
  ])("says so when a module that was named %s", async (_what, path) => {
    const module = path();
    const { status, stderr, stdout } = await cli(["tokens", "--module", module]);
    expect(status).toBe(5);
    expect(stderr).toContain(module);
    expect(stdout.toString("utf8")).toContain(module);
  });
});

describe("keys generate", () => {
  it("prints URI and fingerprint, and writes a public key with its OAEP record", async () => {
    const argv = ["--token", "pkcs11:token=cli-alice", "--label", "made", "--type", "rsa:2048"];
    const { stdout } = await ok(["keys", "generate", ...argv, "--json", "-o", "made.pem"], withPin);
    const made = JSON.parse(stdout.toString("utf8")) as Record<string, unknown>;
    const { publicKey, oaep } = parsePublicKey(readFileSync(at("made.pem")), "made.pem");
    const fingerprint = Buffer.from(publicKey.fingerprint).toString("hex");
    expect(made).toMatchObject({
      uri: expect.stringMatching(/^pkcs11:.*token=cli-alice.*object=made/) as unknown,
      kind: "RSA-2048",
      uses: ["exchange"],
      fingerprint: `SHA256:${fingerprint}`,
      file: "made.pem",
    });
    expect((made["oaep"] as string[])[0]).toBe(oaep);
    expect(made["notHonoured"]).toEqual(expect.any(Array));
  });

  it("makes no key when its public half can't be written", async () => {
    const argv = ["--token", "pkcs11:token=cli-alice", "--label", "unwritten", "--type", "ec:p256"];
    const refused = await cli(["keys", "generate", ...argv, "-o", "note", ...counting(PIN)]);
    expect(refused.status).toBe(1);
    expect(timesAsked()).toBe(0);
    const listed = await ok(["keys", "list", "pkcs11:token=cli-alice;object=unwritten"]);
    expect(listed.stderr).toContain("no key was found");
  });

  it("has one purpose for a key: signing excludes decryption", async () => {
    const argv = ["--token", "pkcs11:token=cli-alice", "--label", "x", "--type", "rsa:2048"];
    const { status } = await cli(["keys", "generate", ...argv, "--use", "sign", "--allow-decrypt"]);
    expect(status).toBe(2);
  });
});

describe("keys list", () => {
  it("shows keys without asking for a PIN", async () => {
    const { stdout } = await ok(["keys", "list", "pkcs11:token=cli-alice", "--json"]);
    const { keys } = JSON.parse(stdout.toString("utf8")) as { keys: Record<string, unknown>[] };
    expect(keys.map(({ label, kind }) => [label, kind])).toEqual(
      expect.arrayContaining([
        ["exchange", "RSA-2048"],
        ["exchange-ec", "P-256"],
      ]),
    );
    const table = (await ok(["keys", "list", "pkcs11:token=cli-alice"])).stdout.toString("utf8");
    expect(table).toMatch(/^exchange +RSA-2048 +exchange +SHA256:[0-9a-f]{64} +pkcs11:/m);
  });
});

describe("keys export", () => {
  it.each(["pem", "der", "jwk", "ssh"])("as %s is a recipient for others", async (format) => {
    await ok(["keys", "export", EC, "--format", format, "--force", "-o", "exported"]);
    await ok(["seal", "-r", "exported", "--force", "-o", "exported.p11s", "note"]);
    const { stdout } = await ok(["open", "-i", EC, "exported.p11s"], withPin);
    expect(stdout.toString("utf8")).toBe("meet at noon\n");
  });

  it("as capi is a PUBLICKEYBLOB: a recipient for others, and no binary on a terminal", async () => {
    await ok(["keys", "export", RSA, "--format", "capi", "--force", "-o", "exported.blob"]);
    expect(readFileSync(at("exported.blob")).subarray(0, 8).toString("hex")).toBe(
      "0602000000a40000",
    );
    await ok(["seal", "-r", "exported.blob", "--force", "-o", "exported.p11s", "note"]);
    const { stdout } = await ok(["open", "-i", RSA, "exported.p11s"], withPin);
    expect(stdout.toString("utf8")).toBe("meet at noon\n");
    const { status } = await cli(["keys", "export", EC, "--format", "capi", "-o", "no.blob"]);
    expect({ status, there: existsSync(at("no.blob")) }).toEqual({ status: 1, there: false });
  });

  it("as capi says of a signing key that it only signs: no recipient, but a sender", async () => {
    const label = "capi-sign";
    const make = ["--token", "pkcs11:token=cli-alice", "--type", "rsa:2048", "--use", "sign"];
    await ok(["keys", "generate", ...make, "--label", label], withPin);
    const uri = `pkcs11:token=cli-alice;object=${label}`;
    await ok(["keys", "export", uri, "--format", "capi", "--force", "-o", "sign.blob"]);
    expect(readFileSync(at("sign.blob")).subarray(0, 8).toString("hex")).toBe("0602000000240000");
    const sealed = await cli(["seal", "-r", "sign.blob", "-o", "no.p11s", "--json", "note"]);
    const { error } = JSON.parse(sealed.stderr) as { error: { code: string } };
    expect([sealed.status, error.code]).toEqual([1, "ERR_SIGN_ONLY"]);
    expect((await cli(["recipients", "add", "windows", "sign.blob"])).status).toBe(1);
    await ok(["senders", "add", "windows", "sign.blob"]);
    await ok(["senders", "remove", "windows", "--yes"]);
  });

  it("as age-identity names the key for age, asks for no PIN, and holds no path", async () => {
    const { stdout } = await ok(["keys", "export", EC, "--format", "age-identity"]);
    const [about, recipient, identity = "", ...rest] = stdout.toString("utf8").split("\n");
    expect([about, recipient, rest]).toEqual([
      '# key "exchange-ec" on token "cli-alice"',
      expect.stringMatching(/^# recipient: age1tag1[0-9a-z]+$/),
      [""],
    ]);
    const { uri, moduleName } = parsePluginIdentity(identity);
    expect(uri).toMatchObject({ token: "cli-alice", type: "private" });
    expect(moduleName).toMatch(/^[^/]+$/);
    // p11seal takes the file as well, and no line of it that another program made.
    writeFileSync(at("alice.age-id"), stdout);
    const opened = await ok(["open", "-i", "alice.age-id", "exchange-ec.p11s"], withPin);
    expect(opened.stdout.toString("utf8")).toBe("meet at noon\n");
    writeFileSync(at("bad.age-id"), `${identity}\n${identity.slice(0, -1)}\n`);
    const bad = await cli(["open", "-i", "bad.age-id", "exchange-ec.p11s"]);
    expect(bad.status).toBe(1);
    expect(bad.stderr).toMatch(/bad\.age-id:2: not Bech32/);
    const signing = ["--type", "ed25519", "--use", "sign", "--label", "no-age"];
    await ok(["keys", "generate", "--token", "pkcs11:token=cli-alice", ...signing], withPin);
    const none = ["keys", "export", "pkcs11:token=cli-alice;object=no-age", "--format"];
    const { status, stderr } = await cli([...none, "age-identity", "-o", "no-id"]);
    expect({ status, there: existsSync(at("no-id")) }).toEqual({ status: 6, there: false });
    expect(stderr).toContain("the token shows the key as one for signatures");
  });

  it("prints what keys generate wrote, and asks for no PIN", async () => {
    const { stdout, stderr } = await ok(["keys", "export", EC]);
    expect(createPublicKey(stdout.toString("utf8")).export({ format: "jwk" })).toEqual(
      createPublicKey(text("exchange-ec.pem")).export({ format: "jwk" }),
    );
    expect(stderr).toMatch(/^p11seal: fingerprint SHA256:[0-9a-f]{64}$/m);
  });

  it("with --probe records the OAEP hash that the token can really undo", async () => {
    const sure = (await ok(["keys", "export", RSA, ...counting(PIN)])).stdout.toString("utf8");
    // SoftHSM undoes only one hash; that is known without a test.
    expect(sure).toContain("sha1");
    expect(timesAsked()).toBe(0);
    const { stdout } = await ok(["keys", "export", RSA, "--probe", ...counting(PIN)]);
    expect(timesAsked()).toBe(1);
    const { oaep } = parsePublicKey(stdout, "stdout");
    expect(oaep).toBe(parsePublicKey(readFileSync(at("exchange.pem")), "exchange.pem").oaep);
  });

  it("of a key that isn't there is a failure of the token", async () => {
    const { status, stderr } = await cli(["keys", "export", "pkcs11:token=cli-alice;object=none"]);
    expect({ status, stderr }).toMatchObject({ status: 5 });
  });
});

describe("open with a token", () => {
  it.each([
    ["RSA", "exchange.p11s", RSA],
    ["EC", "exchange-ec.p11s", EC],
  ])("opens a message to its %s key, named by URI", async (_kind, file, uri) => {
    const { stdout } = await ok(["open", "-i", uri, file], withPin);
    expect(stdout.toString("utf8")).toBe("meet at noon\n");
  });

  it.each(["exchange.p11s", "exchange-ec.p11s"])(
    "finds the key for %s by itself, and asks for one PIN",
    async (file) => {
      const { stdout } = await ok(["open", file, ...counting(PIN)]);
      expect(stdout.toString("utf8")).toBe("meet at noon\n");
      expect(timesAsked()).toBe(1);
    },
  );

  it("seals to a URI and opens with a token's URI, any key of it", async () => {
    await ok(["seal", "-r", EC, "--force", "-o", "to-uri.p11s", "note"]);
    const { stdout } = await ok(["open", "-i", "pkcs11:token=cli-alice", "to-uri.p11s"], withPin);
    expect(stdout.toString("utf8")).toBe("meet at noon\n");
  });

  it("takes an identity file, with comments and without a secret", async () => {
    writeFileSync(at("identity"), `# alice's key\n${RSA}\n`);
    const { stdout } = await ok(["open", "-i", "identity", "exchange.p11s"], withPin);
    expect(stdout.toString("utf8")).toBe("meet at noon\n");
  });

  it("takes the PIN from the URI's pin-source", async () => {
    writeFileSync(at("pin"), `${PIN}\n`, { mode: 0o600 });
    await ok(["open", "-i", `${RSA}?pin-source=file:${at("pin")}`, "exchange.p11s"]);
  });

  it("takes the PIN typed at the terminal while the message is on stdin", async () => {
    const { shown, status } = await atTerminal(
      ["open", "-o", "typed"],
      [['PIN for token "cli-alice"', `${PIN}\r`]],
      {
        cwd: folder,
        stdin: at("exchange.p11s"),
        env: env,
      },
    );
    expect({ status, shown }).toMatchObject({ status: 0 });
    expect(shown).not.toContain(PIN);
    expect(text("typed")).toBe("meet at noon\n");
  });

  it("says with -v which way the token took", async () => {
    const { stderr } = await ok(["open", "-v", "-i", RSA, "exchange.p11s"], withPin);
    expect(stderr).toContain("C_UnwrapKey");
    expect(stderr).toMatch(/opened with pkcs11:token=cli-alice;.*;type=private;id=%/);
  });

  it("logs in once for many files", async () => {
    mkdirSync(at("many"), { recursive: true });
    for (const name of ["a", "b", "c"]) copyFileSync(at("exchange.p11s"), at(`many/${name}.p11s`));
    await ok(["open", ...counting(PIN), "many/a.p11s", "many/b.p11s", "many/c.p11s"]);
    expect(timesAsked()).toBe(1);
    for (const name of ["a", "b", "c"]) expect(text(`many/${name}`)).toBe("meet at noon\n");
  });
});

describe("a PIN is not asked for", () => {
  it.each([
    ["when no key matches", ["for-nobody.p11s"], 3],
    [
      "when no key of the token named matches",
      ["-i", "pkcs11:token=cli-alice", "for-nobody.p11s"],
      3,
    ],
    ["when the file is not a message", ["note"], 1],
    ["when the output exists", ["-o", "note", "exchange.p11s"], 1],
    ["when the output's folder is missing", ["-o", "missing/out", "exchange.p11s"], 1],
  ])("%s", async (_when, argv, expected) => {
    const { status } = await cli(["open", ...argv, ...counting(PIN)]);
    expect({ status, asked: timesAsked() }).toEqual({ status: expected, asked: 0 });
  });
});

describe("a PIN that is wrong, empty or missing", () => {
  it("is sent once and not asked for again, and shown nowhere", async () => {
    const wrong = "wrong-5566";
    const { status, stderr, stdout } = await cli(
      ["open", "-v", "exchange.p11s", ...counting(wrong)],
      { env: { P11SEAL_DEBUG: "1" } },
    );
    expect({ status, asked: timesAsked() }).toEqual({ status: 5, asked: 1 });
    expect(stderr).toContain("refuses the PIN");
    expect(stderr + stdout.toString("utf8")).not.toContain(wrong);
    await ok(["open", "exchange.p11s"], withPin);
  });

  it("ends a run of many files: the others would spend more tries", async () => {
    mkdirSync(at("wrong"), { recursive: true });
    for (const name of ["a", "b"]) copyFileSync(at("exchange.p11s"), at(`wrong/${name}.p11s`));
    const files = ["wrong/a.p11s", "wrong/b.p11s"];
    const { status, stderr } = await cli(["open", ...files, ...counting("wrong-5566")]);
    expect({ status, asked: timesAsked() }).toEqual({ status: 5, asked: 1 });
    expect(stderr).toContain("1 more not opened");
    await ok(["open", "exchange.p11s"], withPin);
  });

  it.each([
    ["empty", { EMPTY: "" }, ["--pin-source", "env:EMPTY"]],
    ["from a variable that is not set", {}, ["--pin-source", "env:UNSET"]],
    ["from a command that fails", {}, ["--pin-source", "cmd:exit 3"]],
    ["not given, where nobody can be asked", {}, []],
  ])("is a failure: %s", async (_how, variables, argv) => {
    const { status, stderr } = await cli(["open", "exchange.p11s", ...argv], { env: variables });
    expect(status).toBe(5);
    expect(stderr).toMatch(/^p11seal: /);
  });
});

describe("keys that are not one", () => {
  it("two keys that match are not chosen between", async () => {
    const { status, stderr } = await cli(["keys", "export", "pkcs11:token=cli-alice;type=private"]);
    expect(status).toBe(5);
    expect(stderr).toMatch(/keys match pkcs11:token=cli-alice/);
  });
});

describe("keys delete", () => {
  const uri = "pkcs11:token=cli-alice;object=doomed";
  const make = (): Promise<Outcome> =>
    ok(
      [
        "keys",
        "generate",
        "--token",
        "pkcs11:token=cli-alice",
        "--label",
        "doomed",
        "--type",
        "ec:p256",
      ],
      withPin,
    );
  const isThere = async (): Promise<boolean> =>
    (await ok(["keys", "list", uri])).stdout.toString("utf8") !== "";
  const terminal = {
    cwd: folder,
    env: { ...env, P11SEAL_PIN_SOURCE: "env:PIN", PIN },
  };

  it("wants a confirmation, and the whole label for one", async () => {
    await make();
    expect((await cli(["keys", "delete", uri], withPin)).status).toBe(2);
    const no = await atTerminal(["keys", "delete", uri], [["to confirm:", "doom\r"]], terminal);
    expect(no.status).toBe(2);
    expect(await isThere()).toBe(true);
    const yes = await atTerminal(["keys", "delete", uri], [["to confirm:", "doomed\r"]], terminal);
    expect({ status: yes.status, shown: yes.shown }).toMatchObject({ status: 0 });
    expect(await isThere()).toBe(false);
  });

  it("deletes with --yes, both halves and nothing else", async () => {
    await make();
    await ok(["keys", "delete", "--yes", uri], withPin);
    expect(await isThere()).toBe(false);
    await ok(["open", "-i", EC, "exchange-ec.p11s"], withPin);
  });
});

describe("keys audit", () => {
  it("finds nothing to say about keys that keys generate made", async () => {
    const { stdout } = await ok(["keys", "audit", RSA, "--strict"], withPin);
    expect(stdout.toString("utf8")).toBe("");
  });

  it("asks which of several tokens is meant where none was named", async () => {
    const argv = ["keys", "generate", "--label", "x", "--type", "ec:p256"];
    const { status, stderr } = await cli(argv, withPin);
    expect(status).toBe(5);
    expect(stderr).toMatch(/there are \d+ tokens\nhint: say which with --token, as in 'pkcs11:/);
  });

  it("names a key that may decrypt too, and fails for it only with --strict", async () => {
    const argv = ["--token", "pkcs11:token=cli-alice", "--label", "both", "--type", "rsa:2048"];
    await ok(["keys", "generate", ...argv, "--allow-decrypt"], withPin);
    const uri = "pkcs11:token=cli-alice;object=both";
    const { stdout } = await ok(["keys", "audit", uri, "--json"], withPin);
    const { findings } = JSON.parse(stdout.toString("utf8")) as { findings: { rule: string }[] };
    expect(findings.map(({ rule }) => rule)).toEqual(["wrap-and-decrypt"]);
    const { stderr } = await ok(["keys", "audit", uri], withPin);
    expect(stderr).toContain("p11seal: 1 finding (1 warning) in 1 key\n");
    expect((await cli(["keys", "audit", uri, "--strict"], withPin)).status).toBe(6);
  });
});
