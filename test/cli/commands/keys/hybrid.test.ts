/** Hybrid keys whose half on a curve is on a SoftHSM token, as their users make and use them. */
import { generateKeyPairSync } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { inspectMessage, openMessage, sealMessage } from "../../../../src/envelope/messages.js";
import {
  formatHybridFile,
  newHybridFile,
  parseHybridFile,
} from "../../../../src/envelope/hybrid-file.js";
import { formatPublicKey, parsePublicKey } from "../../../../src/keys/formats/key-file.js";
import { requireExchange } from "../../../../src/keys/recipient-strength.js";
import { softwareIdentity } from "../../../../src/software/software-identity.js";
import { importValues } from "../../../support/import-key.js";
import { rawDone } from "../../../support/raw-token.js";
import { SO_PIN, SOFTHSM_MODULE, softHsmEnvironment, USER_PIN } from "../../../support/softhsm.js";
import { identityOf } from "../../../support/identities.js";
import { temporaryFolder, writeKeys } from "../../support/folder.js";
import { run, type Outcome } from "../../support/run.js";

const folder = temporaryFolder();
const home = join(folder, "home");
const conf = join(folder, "softhsm2.conf");
const TYPES = ["mlkem768-p256", "mlkem1024-p384"] as const;
const text = (name: string): string => readFileSync(name, "utf8");

/** With a PIN source that counts how often it is read. */
function cli(argv: readonly string[]): Promise<Outcome> {
  return run(argv, {
    env: {
      ...softHsmEnvironment(home),
      SOFTHSM2_CONF: conf,
      P11SEAL_PIN_SOURCE: `cmd:echo x >> asked; echo ${USER_PIN}`,
    },
  });
}

async function ok(argv: readonly string[]): Promise<Outcome> {
  const ended = await cli(argv);
  expect({ argv, status: ended.status, stderr: ended.stderr }).toMatchObject({ argv, status: 0 });
  return ended;
}

async function refused(argv: readonly string[]): Promise<string> {
  const ended = await cli(argv);
  expect(ended.status).not.toBe(0);
  return ended.stderr;
}

const timesAsked = (): number => (existsSync("asked") ? readFileSync("asked").length / 2 : 0);

beforeAll(async () => {
  mkdirSync(home, { mode: 0o700 });
  writeKeys(folder);
  process.chdir(folder);
  mkdirSync("tokens");
  writeFileSync(conf, `directories.tokendir = ${join(folder, "tokens")}\n`);
  writeFileSync("note", "meet at noon\n");
  for (const label of ["other", "vault"]) {
    await ok(["token", "init", "--label", label, "--so-pin-source", `cmd:echo ${SO_PIN}`]);
  }
  for (const type of TYPES) {
    const where = ["--token", "pkcs11:token=vault", "--label", type, "--type", type];
    const files = ["--seed-file", `${type}.seed`, "-o", `${type}.pem`, "--escrow", "bob.pem"];
    await ok(["keys", "generate", ...where, ...files]);
    await ok(["seal", "-r", `${type}.pem`, "-o", `${type}.p11s`, "note"]);
  }
});

beforeEach(() => {
  for (const name of ["asked", "opened", "new.seed", "new.pem"]) rmSync(name, { force: true });
});

describe.each(TYPES)("a key of type %s", (type) => {
  it("has its public half in a file, and in the seed file, which only its owner reads", async () => {
    const { publicKey } = parsePublicKey(readFileSync(`${type}.pem`), "its file");
    expect(publicKey).toMatchObject({ type: "hybrid", kem: type });
    expect(statSync(`${type}.seed`).mode & 0o777).toBe(0o600);
    // Two blocks of base64: no room for a URI.
    expect(text(`${type}.seed`)).toMatch(
      /^(?:(?:-----(?:BEGIN|END) [A-Z0-9 ]+-----|[\w+/=]+)\n)+$/,
    );
    await ok(["keys", "export", `${type}.seed`, "-o", "new.pem"]);
    const again = parsePublicKey(readFileSync("new.pem"), "exported").publicKey;
    expect(again.fingerprint).toEqual(publicKey.fingerprint);
    expect(timesAsked()).toBe(0);
  });

  it("opens with the seed file and one PIN, the token found by its half's public key", async () => {
    await ok(["open", "-i", `${type}.seed`, "-o", "opened", `${type}.p11s`]);
    expect(text("opened")).toBe("meet at noon\n");
    expect(timesAsked()).toBe(1);
  });

  it("opens several messages with one PIN", async () => {
    const names = ["a", "b", "c"];
    for (const name of names) {
      writeFileSync(name, `this is ${name}\n`);
      await ok(["seal", "-r", `${type}.pem`, "-o", `${name}.p11s`, "--force", name]);
      rmSync(name);
    }
    await ok(["open", "-i", `${type}.seed`, ...names.map((name) => `${name}.p11s`)]);
    expect(names.map(text)).toEqual(names.map((name) => `this is ${name}\n`));
    expect(timesAsked()).toBe(1);
  });

  it.each([
    ["any key", []],
    ["the half on the token", ["-i", `pkcs11:token=vault;object=${type}`]],
  ])("does not open with %s and no seed file, and asks for no PIN", async (_which, identity) => {
    const said = await refused(["open", ...identity, "-o", "opened", `${type}.p11s`]);
    expect(said).toContain("no identity matches");
    expect(said).toContain("name its seed file with -i");
    expect([existsSync("opened"), timesAsked()]).toEqual([false, 0]);
  });

  it("is told by inspect and doctor, with the token that its half is on", async () => {
    const inspected = await ok(["inspect", "-i", `${type}.seed`, `${type}.p11s`]);
    expect(inspected.stdout.toString()).toContain(`hpke-${type}`);
    const listed = await ok(["keys", "list", `${type}.seed`]);
    const half = `half of ${type.toUpperCase()} SHA256:`;
    expect(listed.stdout.toString()).toMatch(new RegExp(`^${type} .*token=vault.* ${half}.*\n$`));
    const doctor = await ok(["doctor", "-i", `${type}.seed`, `${type}.p11s`]);
    expect(doctor.stdout.toString()).toContain("vault");
    expect(timesAsked()).toBe(0);
  });

  it("has a seed that whoever it is escrowed to can open", async () => {
    const { sealedSeed } = parseHybridFile(text(`${type}.seed`), "file");
    expect((await inspectMessage(sealedSeed)).recipients).toHaveLength(2);
    const opened = await openMessage(sealedSeed, { identities: [identityOf("p256")] });
    expect(await opened.plaintext.bytes()).toHaveLength(64);
    const message = text(`${type}.seed`).slice(
      text(`${type}.seed`).indexOf("-----BEGIN P11SEAL M"),
    );
    writeFileSync("sealed", message);
    await ok(["open", "-i", "bob.key", "-o", "opened", "sealed"]);
    expect(readFileSync("opened")).toHaveLength(64);
  });
});

describe("a seed file", () => {
  const [type] = TYPES;

  it("that was altered is refused: as damaged, or once its seed is seen to be another", async () => {
    writeFileSync("bad.seed", text(`${type}.seed`).replace("\n-----END", "A\n-----END"));
    expect(await refused(["open", "-i", "bad.seed", `${type}.p11s`])).toContain("damaged");
    expect(timesAsked()).toBe(0);

    const lines = text(`${type}.seed`).split("\n");
    const at = lines.indexOf("-----END P11SEAL MESSAGE-----") - 3;
    const line = lines[at] as string;
    lines[at] = `${line.slice(0, 20)}${line[20] === "A" ? "B" : "A"}${line.slice(21)}`;
    writeFileSync("bad.seed", lines.join("\n"));
    const said = await refused(["open", "-i", "bad.seed", "-o", "opened", `${type}.p11s`]);
    expect(said).toContain("sealed seed");
    expect(existsSync("opened")).toBe(false);
  });

  it("whose half is on no token that shows says so", async () => {
    const other = text(`${TYPES[1]}.seed`);
    writeFileSync("other.seed", other);
    await ok(["seal", "-r", `${TYPES[1]}.pem`, "-o", "lost.p11s", "--force", "note"]);
    writeFileSync(conf, `directories.tokendir = ${join(folder, "none")}\n`);
    mkdirSync("none", { recursive: true });
    try {
      const said = await refused(["open", "-i", "other.seed", "lost.p11s"]);
      expect(said).toMatch(/no token|no key that shows/);
    } finally {
      writeFileSync(conf, `directories.tokendir = ${join(folder, "tokens")}\n`);
    }
  });

  it("opens with a half that its token hides until login, if -i names the token too", async () => {
    const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
    const values = importValues(key, {
      ...{ label: "hidden", id: Uint8Array.of(9) },
      ...{ privateHalf: { DERIVE: true, SIGN: false }, publicHalf: { PRIVATE: true } },
    });
    await rawDone(
      { module: SOFTHSM_MODULE, env: { SOFTHSM2_CONF: conf }, tokenLabel: "other", pin: USER_PIN },
      [values.privateHalf, values.publicHalf].map((one) => ({ do: "create", values: one })),
    );
    const half = softwareIdentity(key.export({ format: "pem", type: "pkcs8" }), "half").publicKey;
    const file = await newHybridFile("mlkem768-p256", half);
    writeFileSync("hidden.seed", formatHybridFile(file));
    writeFileSync("hidden.pem", formatPublicKey(file.publicKey, "pem"));
    await ok(["seal", "-r", "hidden.pem", "-o", "hidden.p11s", "note"]);

    const said = await refused(["open", "-i", "hidden.seed", "-o", "opened", "hidden.p11s"]);
    expect(said).toContain("no key that shows is the P-256 half of hidden.seed");
    expect(timesAsked()).toBe(0);
    const both = ["-i", "hidden.seed", "-i", "pkcs11:token=other"];
    await ok(["open", ...both, "-o", "opened", "hidden.p11s"]);
    expect(text("opened")).toBe("meet at noon\n");
    expect(timesAsked()).toBe(1);
  });

  it("opens with a half in a file", async () => {
    const file = await newHybridFile("mlkem768-p256", identityOf("p256").publicKey);
    writeFileSync("soft.seed", formatHybridFile(file));
    writeFileSync("soft.pem", formatPublicKey(file.publicKey, "pem"));
    await ok(["seal", "-r", "soft.pem", "-o", "soft.p11s", "note"]);
    await ok(["open", "-i", "soft.seed", "-i", "bob.key", "-o", "opened", "soft.p11s"]);
    expect([text("opened"), timesAsked()]).toEqual(["meet at noon\n", 0]);
  });

  it("is no recipient, and is named as what it is", async () => {
    const said = await refused(["seal", "-r", `${type}.seed`, "-o", "x.p11s", "note"]);
    expect(said).toContain("keys export");
  });
});

describe("keys generate", () => {
  const where = ["--token", "pkcs11:token=vault", "--label", "new"];

  it("says that the file must be kept, in text and with --json", async () => {
    const made = await ok([
      ...["keys", "generate", ...where, "--type", "mlkem768-p256", "--seed-file", "new.seed"],
      "--json",
    ]);
    expect(made.stderr).toMatch(/"new\.seed" is half of the key.*--escrow/);
    expect(JSON.parse(made.stdout.toString())).toMatchObject({
      ...{ kind: "MLKEM768-P256", seedFile: "new.seed" },
    });
  });

  it.each([
    ["without a seed file", ["--type", "mlkem768-p256"], "--seed-file"],
    ["to sign", ["--type", "mlkem768-p256", "--seed-file", "s", "--use", "sign"], "sign"],
    ["with a seed file for another type", ["--type", "ec:p256", "--seed-file", "s"], "mlkem"],
    [
      "with one file for both",
      ["--type", "mlkem768-p256", "--seed-file", "s", "-o", "s"],
      "two outputs",
    ],
  ])("refuses a hybrid key %s, before the token is asked", async (_what, argv, said) => {
    expect(await refused(["keys", "generate", ...where, ...argv])).toContain(said);
    expect([existsSync("s"), timesAsked()]).toEqual([false, 0]);
  });
});

it("an age file to the key on the token opens with the seed file and one PIN", async () => {
  const { publicKey } = parsePublicKey(readFileSync("mlkem768-p256.pem"), "its file");
  const recipients = [{ publicKey: requireExchange(publicKey) }];
  const sealed = await sealMessage(readFileSync("note"), { recipients, format: "age" });
  writeFileSync("note.age", await sealed.stream().bytes());
  await ok(["open", "-i", "mlkem768-p256.seed", "-o", "opened", "note.age"]);
  expect([text("opened"), timesAsked()]).toEqual(["meet at noon\n", 1]);
});

it("seal notes it when only some recipients are post-quantum", async () => {
  const [type] = TYPES;
  const mixed = await ok(["seal", "-r", `${type}.pem`, "-r", "alice.pem", "-o", "m.p11s", "note"]);
  expect(mixed.stderr).toContain("only 1 of 2 recipients");
  const both = ["-r", `${TYPES[0]}.pem`, "-r", `${TYPES[1]}.pem`];
  const all = await ok(["seal", ...both, "-o", "n.p11s", "note"]);
  expect(all.stderr).not.toContain("recipients have post-quantum");
});
