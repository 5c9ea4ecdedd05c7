/**
 * Keys that show only after login: a URI on the command line may start one login to look for them,
 * and nothing else does.
 */
import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { TOKEN_FLAG } from "../../../src/token/modules/constants.js";
import { type SetFaults, softHsmBehind } from "../../support/behind-shim.js";
import { type ImportOptions, importValues } from "../../support/import-key.js";
import { rawDone, rawSteps } from "../../support/raw-token.js";
import { SO_PIN, SOFTHSM_MODULE, softHsmEnvironment, USER_PIN } from "../../support/softhsm.js";
import { temporaryFolder } from "../support/folder.js";
import { run, type Outcome } from "../support/run.js";

const folder = temporaryFolder();

async function behind(set: SetFaults): Promise<{ P11SEAL_MODULE: string }> {
  return { P11SEAL_MODULE: (await softHsmBehind(set)).module };
}
const home = join(folder, "home");
/** Tokens that no other test fills. */
const conf = join(folder, "softhsm2.conf");

interface TestToken {
  readonly label: string;
  readonly uri: string;
}

/** Shows nothing without a PIN. */
let vault: TestToken;
/** Has private keys without public halves, beside an ordinary pair. */
let lone: TestToken;

const KEYS = {
  rsa2048: generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey,
  rsa3072: generateKeyPairSync("rsa", { modulusLength: 3072 }).privateKey,
  p256: generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey,
  p384: generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey,
};

const EXCHANGE = { UNWRAP: true, DECRYPT: true, SIGN: false, SIGN_RECOVER: false };
const DERIVE = { DERIVE: true, SIGN: false };
const SIGN = { DERIVE: false, SIGN: true };
const HIDDEN = { PRIVATE: true };

interface Given {
  readonly pin?: string | false;
  readonly env?: Readonly<Record<string, string>>;
}

/** With a PIN source that counts how often it is read. */
function cli(argv: readonly string[], { pin = USER_PIN, env = {} }: Given = {}): Promise<Outcome> {
  const source = pin === false ? {} : { P11SEAL_PIN_SOURCE: `cmd:echo x >> asked; echo ${pin}` };
  return run(argv, {
    env: {
      ...softHsmEnvironment(home),
      SOFTHSM2_CONF: conf,
      ...source,
      ...env,
    },
  });
}

async function ok(argv: readonly string[], given?: Given): Promise<Outcome> {
  const ended = await cli(argv, given);
  expect({ argv, status: ended.status, stderr: ended.stderr }).toMatchObject({ argv, status: 0 });
  return ended;
}

const timesAsked = (): number => (existsSync("asked") ? readFileSync("asked").length / 2 : 0);
const at = (token: TestToken, label: string): string => `${token.uri};object=${label}`;

async function freshToken(label: string): Promise<TestToken> {
  const argv = ["token", "init", "--label", label, "--so-pin-source", `cmd:echo ${SO_PIN}`];
  const { stdout } = await ok(argv);
  return { label, uri: stdout.toString("utf8").trim() };
}

const raw = ({ label: tokenLabel }: TestToken) => ({
  ...{ module: SOFTHSM_MODULE, env: { SOFTHSM2_CONF: conf }, tokenLabel, pin: USER_PIN },
});

function importKey(token: TestToken, key: KeyObject, options: ImportOptions): Promise<void> {
  const { privateHalf, publicHalf } = importValues(key, options);
  const halves = options.publicHalf === false ? [privateHalf] : [privateHalf, publicHalf];
  return rawDone(
    raw(token),
    halves.map((values) => ({ do: "create", values })),
  );
}

beforeAll(async () => {
  mkdirSync(home, { mode: 0o700 });
  process.chdir(folder);
  mkdirSync("tokens");
  writeFileSync(conf, `directories.tokendir = ${join(folder, "tokens")}\n`);
  writeFileSync("note", "meet at noon\n");
  vault = await freshToken("vault");
  lone = await freshToken("lone");
  const { rsa2048, rsa3072, p256, p384 } = KEYS;
  await importKey(vault, rsa2048, {
    ...{ label: "rsa", id: Uint8Array.of(1), privateHalf: EXCHANGE },
    publicHalf: { ...HIDDEN, WRAP: true, ENCRYPT: true, VERIFY: false },
  });
  await importKey(vault, p384, {
    ...{ label: "sign", id: Uint8Array.of(2), privateHalf: SIGN, publicHalf: HIDDEN },
  });
  await importKey(lone, rsa3072, {
    ...{ label: "rsa", id: Uint8Array.of(1), privateHalf: EXCHANGE, publicHalf: false },
  });
  await importKey(lone, p256, {
    ...{ label: "ec", id: Uint8Array.of(2), privateHalf: DERIVE, publicHalf: false },
  });
  await importKey(lone, p384, {
    ...{ label: "sign", id: Uint8Array.of(3), privateHalf: SIGN, publicHalf: false },
  });
  for (const [name, key] of Object.entries(KEYS)) {
    writeFileSync(`${name}.pem`, createPublicKey(key).export({ type: "spki", format: "pem" }));
  }
  const made = ["--token", lone.uri, "--label", "visible", "--type", "ec:p256"];
  await ok(["keys", "generate", ...made, "-o", "visible.pem"]);
  for (const name of ["rsa2048", "rsa3072", "p256", "visible"]) {
    await ok(["seal", "-r", `${name}.pem`, "-o", `${name}.p11s`, "note"]);
  }
});

beforeEach(() => {
  rmSync("asked", { force: true });
});

describe("a token that shows nothing before login", () => {
  it.each(["its key", "the token"])("opens with a URI of %s, and asks once", async (what) => {
    const uri = what === "its key" ? at(vault, "rsa") : vault.uri;
    await ok(["open", "-i", uri, "--force", "-o", "opened", "rsa2048.p11s"]);
    expect(readFileSync("opened", "utf8")).toBe("meet at noon\n");
    expect(timesAsked()).toBe(1);
  });

  it("opens also where CKF_LOGIN_REQUIRED is not set, and asks once", async () => {
    const hiding = { shows: { hiddenFlags: TOKEN_FLAG.LOGIN_REQUIRED } };
    const env = { P11SEAL_MODULE: (await softHsmBehind(undefined, hiding)).module };
    await ok(["open", "-i", at(vault, "rsa"), "--force", "-o", "opened", "rsa2048.p11s"], { env });
    expect(readFileSync("opened", "utf8")).toBe("meet at noon\n");
    expect(timesAsked()).toBe(1);
    // A key whose public half is visible.
    await ok(["open", "-i", lone.uri, "--force", "-o", "opened", "visible.p11s"], { env });
    expect(timesAsked()).toBe(2);
  });

  it("opens several messages with one PIN", async () => {
    for (const name of ["one", "two", "three", "four", "five"]) {
      writeFileSync(`${name}.p11s`, readFileSync("rsa2048.p11s"));
    }
    const files = ["one", "two", "three", "four", "five"].map((name) => `${name}.p11s`);
    await ok(["open", "--force", "-i", vault.uri, ...files]);
    expect(readFileSync("five", "utf8")).toBe("meet at noon\n");
    expect(timesAsked()).toBe(1);
  });

  it("is asked for its PIN at a terminal", async () => {
    const { status, asked } = await run(
      ["open", "-i", at(vault, "rsa"), "--force", "-o", "opened", "rsa2048.p11s"],
      {
        env: {
          P11SEAL_HOME: home,
          P11SEAL_MODULE: SOFTHSM_MODULE,
          SOFTHSM2_CONF: conf,
        },
        answers: [USER_PIN],
      },
    );
    expect({ status, asked }).toEqual({
      status: 0,
      asked: [{ prompt: expect.stringContaining("PIN for token"), silent: true }],
    });
  });

  it("is a recipient, an exported key, a signer, and is listed", async () => {
    await ok(["seal", "-r", at(vault, "rsa"), "-o", "sealed", "--force", "note"]);
    expect(timesAsked()).toBe(1);
    await ok(["open", "--force", "-i", vault.uri, "-o", "opened", "sealed"]);

    await ok(["keys", "export", at(vault, "rsa"), "-o", "exported.pem", "--force"]);
    const pem = readFileSync("exported.pem", "utf8");
    expect(createPublicKey(pem).equals(createPublicKey(KEYS.rsa2048))).toBe(true);

    const signing = ["--sign-with", at(vault, "sign"), "-o", "signed", "--force"];
    await ok(["seal", "-r", at(vault, "rsa"), ...signing, "note"]);
    expect((await ok(["inspect", "signed"])).stdout.toString("utf8")).toContain("signed");
    expect(timesAsked()).toBe(4);

    const listed = await ok(["keys", "list", "--json", vault.uri]);
    const { keys } = JSON.parse(listed.stdout.toString("utf8")) as { keys: { label: string }[] };
    expect(keys.map(({ label }) => label).sort()).toEqual(["rsa", "sign"]);
  });

  it("opens CryptoAPI's blobs, after their signature was checked", async () => {
    const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const pem = privateKey.export({ type: "pkcs8", format: "pem" });
    writeFileSync("signer.key", pem, { mode: 0o600 });
    writeFileSync("signer.pem", publicKey.export({ type: "spki", format: "pem" }));
    const own = ["-i", at(vault, "rsa")];
    await ok(["capi", "store", ...own, "--sign-with", "signer.key", "-o", "stored.blob"]);
    expect(timesAsked()).toBe(1);
    const open = ["capi", "open-stored", ...own, "--blob", "stored.blob"];
    const opened = await ok([...open, "--signer", "signer.pem"]);
    expect(opened.stdout.toString("utf8")).toContain("256 bits");
    expect(timesAsked()).toBe(2);
    expect((await cli([...open, "--signer", "rsa3072.pem"])).status).toBe(4);
    expect(timesAsked()).toBe(2);
  });

  it("is audited, and its keys can be deleted, by their URI", async () => {
    const audited = await ok(["keys", "audit", "--json", at(vault, "rsa")]);
    expect(audited.stdout.toString("utf8")).toContain("wrap-and-decrypt");
    expect(timesAsked()).toBe(1);
    await importKey(vault, KEYS.p256, {
      ...{ label: "old", id: Uint8Array.of(9), privateHalf: DERIVE, publicHalf: HIDDEN },
    });
    await ok(["keys", "delete", "--yes", at(vault, "old")]);
    expect(timesAsked()).toBe(2);
    const gone = await cli(["keys", "export", at(vault, "old")]);
    expect(gone.status).toBe(5);
  });

  it("is named, with what to add, where nobody named it", async () => {
    const opened = await cli(["open", "-o", "never", "rsa2048.p11s"]);
    expect(opened.status).toBe(3);
    expect(opened.stderr).toContain(`token "${vault.label}" shows no key without a PIN`);
    expect(opened.stderr).toContain(`-i '${vault.uri}'`);
    const listed = await ok(["keys", "list"]);
    expect(listed.stderr).toContain(`p11seal keys list '${vault.uri}'`);
    const audited = await ok(["keys", "audit"], { pin: USER_PIN });
    expect(audited.stderr).toContain(`p11seal keys audit '${vault.uri}'`);
    rmSync("asked");
    const told = await cli(["doctor", "rsa2048.p11s"]);
    expect(told.stdout.toString("utf8")).toContain(`-i '${vault.uri}'`);
    expect(timesAsked()).toBe(0);
  });

  it("gets no login from a URI in a file", async () => {
    writeFileSync("ids", `${at(vault, "rsa")}\n`);
    writeFileSync("token-ids", `${vault.uri}\n`);
    for (const [argv, status] of [
      [["open", "-i", "ids", "-o", "never", "rsa2048.p11s"], 5],
      [["open", "-i", "token-ids", "-o", "never", "rsa2048.p11s"], 3],
      [["seal", "-R", "ids", "-o", "never", "note"], 5],
    ] as const) {
      const ended = await cli(argv);
      expect(ended).toMatchObject({ status, stderr: expect.stringContaining("a URI in a file") });
    }
    expect(timesAsked()).toBe(0);
  });

  it("is no key for the lists of names, which take no PIN", async () => {
    const added = await cli(["recipients", "add", "vault", at(vault, "rsa")]);
    expect(added).toMatchObject({ status: 5, stderr: expect.stringContaining("keys export") });
    expect(timesAsked()).toBe(0);
  });

  it("says so where no PIN is to be had, or several tokens match", async () => {
    for (const argv of [
      ["open", "-i", at(vault, "rsa"), "-o", "never", "rsa2048.p11s"],
      ["seal", "-r", at(vault, "rsa"), "-o", "never", "note"],
      ["keys", "export", at(vault, "rsa")],
    ]) {
      const ended = await cli(argv, { pin: false });
      expect(ended).toMatchObject({ status: 5, stderr: expect.stringContaining("--pin-source") });
    }
    const several = await cli(["open", "-i", "pkcs11:object=sign", "rsa2048.p11s"]);
    expect(several).toMatchObject({
      status: 5,
      stderr: expect.stringContaining("several tokens match"),
    });
    expect(timesAsked()).toBe(0);
  });

  it("is told by doctor as one that opening would log in to", async () => {
    for (const uri of [vault.uri, at(vault, "rsa")]) {
      const { status, stdout } = await cli(["doctor", "-i", uri, "rsa2048.p11s"]);
      const text = stdout.toString("utf8");
      expect({ status, text }).toEqual({
        status: 0,
        text: expect.stringMatching(/rsa2048.p11s: may open\n[^]*would log in to this token/),
      });
      const json = await cli(["doctor", "--json", "-i", uri, "rsa2048.p11s"]);
      expect(JSON.parse(json.stdout.toString("utf8"))).toMatchObject({
        opens: null,
        cause: null,
        token: { label: vault.label },
      });
    }
    const inspected = await ok(["inspect", "-i", at(vault, "rsa"), "rsa2048.p11s"]);
    expect(inspected.stderr).toContain(`would log in to token "${vault.label}"`);
    // Where keys show, a name that none has is most likely wrong.
    const misnamed = await cli(["doctor", "-i", at(lone, "rsa"), "rsa3072.p11s"]);
    expect(misnamed.status).toBe(5);
    expect(misnamed.stdout.toString("utf8")).toMatch(/no key matches[^]*open would log in/);
    const alone = await cli(["doctor", "-i", at(vault, "rsa")]);
    expect(alone.stdout.toString("utf8")).toContain("log in to look for it");
    expect(timesAsked()).toBe(0);
  });

  it("gets a wrong PIN once", async () => {
    const spare = await freshToken("spare");
    await importKey(spare, KEYS.rsa2048, {
      ...{ label: "k", id: Uint8Array.of(1), privateHalf: EXCHANGE, publicHalf: HIDDEN },
    });
    for (const name of ["six", "seven"]) {
      writeFileSync(`${name}.p11s`, readFileSync("rsa2048.p11s"));
    }
    rmSync("asked");
    const ended = await cli(["open", "-i", spare.uri, "six.p11s", "seven.p11s"], { pin: "9999" });
    expect(ended).toMatchObject({ status: 5, stderr: expect.stringContaining("refuses the PIN") });
    expect(timesAsked()).toBe(1);
    const state = await cli(["tokens", "--json"]);
    const { tokens } = JSON.parse(state.stdout.toString("utf8")) as {
      tokens: { label: string; pin: string }[];
    };
    // SoftHSM counts no more than this.
    expect(tokens.find(({ label }) => label === spare.label)?.pin).toBe("low");
    await ok(["open", "-i", spare.uri, "-o", "opened", "--force", "six.p11s"]);
  });

  it("may answer that nobody is logged in, instead of showing nothing", async () => {
    const env = await behind((faults) =>
      faults.fail("C_FindObjectsInit", { rv: "CKR_USER_NOT_LOGGED_IN", until: "login" }),
    );
    const argv = ["open", "--force", "-o", "opened"];
    await ok([...argv, "-i", at(vault, "rsa"), "rsa2048.p11s"], { env });
    await ok([...argv, "-i", vault.uri, "rsa2048.p11s"], { env });
    expect(timesAsked()).toBe(2);
    const unnamed = await cli(["open", "-o", "never", "rsa2048.p11s"], { env });
    expect(unnamed.status).toBe(3);
    expect(unnamed.stderr).toContain(`-i '${vault.uri}'`);
    expect(timesAsked()).toBe(2);
  });
});

describe("a private key alone", () => {
  it("opens if it is RSA", async () => {
    await ok(["open", "-i", at(lone, "rsa"), "--force", "-o", "opened", "rsa3072.p11s"]);
    expect(timesAsked()).toBe(1);
    await ok(["keys", "export", at(lone, "rsa"), "-o", "exported.pem", "--force"]);
    const pem = readFileSync("exported.pem", "utf8");
    expect(createPublicKey(pem).equals(createPublicKey(KEYS.rsa3072))).toBe(true);
  });

  it("opens if its token shows the modulus and not the exponent", async () => {
    const rv = "CKR_ATTRIBUTE_TYPE_INVALID";
    const env = await behind((faults) =>
      faults.fail("C_GetAttributeValue", { rv, attribute: "PUBLIC_EXPONENT" }),
    );
    await ok(["open", "-i", at(lone, "rsa"), "--force", "-o", "opened", "rsa3072.p11s"], { env });
    const { stdout } = await ok(["keys", "export", at(lone, "rsa")], { env });
    expect(createPublicKey(stdout).equals(createPublicKey(KEYS.rsa3072))).toBe(true);
    expect(timesAsked()).toBe(2);
  });

  it("says where the public half of a curve can be given", async () => {
    for (const argv of [
      ["open", "-i", at(lone, "ec"), "-o", "never", "p256.p11s"],
      ["keys", "export", at(lone, "ec")],
      ["seal", "-r", "p256.pem", "--sign-with", at(lone, "sign"), "-o", "never", "note"],
    ]) {
      const ended = await cli(argv);
      expect({ argv, ...ended }).toMatchObject({
        status: 5,
        stderr: expect.stringContaining("--public FILE"),
      });
    }
    const token = await freshToken("curves");
    await importKey(token, KEYS.p256, {
      ...{ label: "ec", id: Uint8Array.of(2), privateHalf: DERIVE, publicHalf: false },
    });
    const ended = await cli(["open", "-i", token.uri, "-o", "never", "p256.p11s"]);
    expect(ended).toMatchObject({ status: 3, stderr: expect.stringContaining("--public FILE") });
    const argv = ["open", "-i", token.uri, "--public", "p256.pem", "-o", "opened", "--force"];
    await ok([...argv, "p256.p11s"]);
  });

  it("takes it from --public, if the token proves it", async () => {
    const half = ["--public", "p256.pem"];
    const open = ["open", "-i", at(lone, "ec"), ...half];
    await ok([...open, "--force", "-o", "opened", "p256.p11s"]);
    expect(timesAsked()).toBe(1);
    await ok(["keys", "export", at(lone, "ec"), ...half, "-o", "exported.pem", "--force"]);
    const pem = readFileSync("exported.pem", "utf8");
    expect(createPublicKey(pem).equals(createPublicKey(KEYS.p256))).toBe(true);
    await ok(["seal", "-r", at(lone, "ec"), ...half, "-o", "sealed", "--force", "note"]);

    for (const wrong of ["visible.pem", "p384.pem", "rsa2048.pem"]) {
      const argv = ["keys", "export", at(lone, "ec"), "--public", wrong];
      const refused = await cli(argv);
      expect(refused).toMatchObject({
        status: 5,
        stderr: expect.stringContaining('the public key of "ec" is unknown'),
      });
    }
  });

  it("is deleted by its URI", async () => {
    await importKey(lone, KEYS.p256, {
      ...{ label: "old", id: Uint8Array.of(9), privateHalf: DERIVE, publicHalf: false },
    });
    await ok(["keys", "delete", "--yes", at(lone, "old")]);
    expect((await cli(["keys", "delete", "--yes", at(lone, "old")])).status).toBe(5);
    expect(timesAsked()).toBe(2);
  });

  it("signs with a public half that a signature proves", async () => {
    const signing = ["--sign-with", at(lone, "sign"), "-o", "signed", "--force", "note"];
    await ok(["seal", "-r", "rsa2048.pem", "--public", "p384.pem", ...signing]);
    await ok(["senders", "add", "lone", "p384.pem"]);
    const open = ["open", "--from", "lone", "-i", at(vault, "rsa")];
    await ok([...open, "-o", "opened", "--force", "signed"]);
    // And from now on the directory has it.
    await ok(["seal", "-r", "rsa2048.pem", ...signing]);
  });

  it("takes it from the directory", async () => {
    await ok(["recipients", "add", "me", "p256.pem"]);
    await ok(["open", "-i", at(lone, "ec"), "--force", "-o", "opened", "p256.p11s"]);
    expect(timesAsked()).toBe(1);
  });
});

describe("an ordinary token", () => {
  it("gets no PIN to look for more where a key matches already", async () => {
    const both = ["-i", vault.uri, "-i", at(lone, "visible")];
    const ended = await cli(["open", ...both, "--force", "-o", "opened", "visible.p11s"]);
    expect(ended.status).toBe(0);
    // For the key that matched, and not for the vault.
    expect(timesAsked()).toBe(1);
  });

  it("gets none for a key that shows and does not match", async () => {
    const argv = ["open", "-i", at(lone, "visible"), "-o", "never", "rsa2048.p11s"];
    expect((await cli(argv)).status).toBe(3);
    expect(timesAsked()).toBe(0);
  });

  it("gets none where its keys show and none matches; a key can be named", async () => {
    const ended = await cli(["open", "-i", lone.uri, "-o", "never", "rsa3072.p11s"]);
    expect(ended).toMatchObject({ status: 3, stderr: expect.stringContaining("object= or id=") });
    expect(timesAsked()).toBe(0);
  });
});

describe("keys generate", () => {
  it("says of a key whose public half the token hides that it has to be named", async () => {
    const token = await freshToken("hides");
    // CKA_PRIVATE of the public key is read as true, and that of the private key as false.
    const env = await behind((faults) =>
      faults.wrong("C_GetAttributeValue", { attribute: "PRIVATE" }),
    );
    const made = ["--token", token.uri, "--label", "k", "--type", "ec:p256"];
    const { stderr } = await ok(["keys", "generate", ...made], { env });
    expect(stderr).toContain("the public key shows only after login");
  });

  it("finds a key again whose id the token gives back changed", async () => {
    const token = await freshToken("changes ids");
    const env = await behind((faults) => faults.wrong("C_GetAttributeValue", { attribute: "ID" }));
    const made = ["--token", token.uri, "--label", "k", "--type", "ec:p256"];
    const { stdout } = await ok(["keys", "generate", ...made], { env });
    const [uri = ""] = /pkcs11:\S+/.exec(stdout.toString()) ?? [];
    const exported = await ok(["keys", "export", uri], { env });
    expect(exported.stdout.toString()).toContain("BEGIN PUBLIC KEY");
  });

  it.each<[string, SetFaults]>([
    ["keeps no objects", (faults) => faults.wrong("C_GetAttributeValue", { attribute: "TOKEN" })],
    [
      "shows no public half",
      (faults) => faults.short("C_GetAttributeValue", { attribute: "EC_POINT" }),
    ],
  ])("keeps no key that could not be found again: a token that %s", async (what, fault) => {
    const token = await freshToken(what);
    const env = await behind(fault);
    for (const use of ["sign", "exchange"]) {
      const made = ["--token", token.uri, "--label", "k", "--type", "ec:p256", "--use", use];
      const refused = await cli(["keys", "generate", ...made], { env });
      expect(refused).toMatchObject({
        status: 5,
        stderr: expect.stringContaining("could not be found again; it was destroyed"),
      });
    }
    const [objects] = await rawSteps(raw(token), [{ do: "count", values: {} }]);
    expect(objects).toEqual({ ok: 0 });
  });
});
