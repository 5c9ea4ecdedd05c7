/**
 * `open --from` with CMS messages that are signed around the encryption or inside it: whose
 * signature counts, and how old it may be; none lets a message in twice, even if others are gone.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { DAY_MS, type Issuer, personal, rootAuthority } from "../../../support/certificates.js";
import {
  contentTypeAttribute,
  DATA,
  digestAttribute,
  signedMessage,
  signerInfo,
  signingTime,
} from "../../../support/signed-messages.js";
import { temporaryFolder } from "../../support/folder.js";
import { writePerson } from "../../support/people.js";
import { errorCode, run, type Outcome, type RunOptions } from "../../support/run.js";

const folder = temporaryFolder();
const home = join(folder, "home");
const now = Date.now();
const times = { notBeforeMs: now - 20 * DAY_MS, notAfterMs: now + 30 * DAY_MS };
const root = rootAuthority("Root", times);
const AUTH_ENVELOPED = "1.2.840.113549.1.9.16.1.23";
/** New for each test: what is signed in the same second is the same message. */
let plan = "";

interface Signed {
  readonly by: Issuer;
  /** Null: the signature does not say when. */
  readonly atMs?: number | null;
}

function person(name: string): Issuer {
  const made = root.issue({ ...personal(name, "digitalSignature", "keyAgreement"), ...times });
  writePerson(folder, name, made);
  return made;
}

/** A SignerInfo over `content`; made twice, it is another signature of the same attributes. */
function signature(content: Uint8Array, contentType: string, { by, atMs = Date.now() }: Signed) {
  const attributes = [
    contentTypeAttribute(contentType),
    ...(atMs === null ? [] : [signingTime(atMs)]),
    digestAttribute(createHash("sha256").update(content).digest()),
  ].sort((a, b) => Buffer.compare(a, b));
  return signerInfo(content, { signer: by, attributes });
}

/** Signs what is in a file. */
function sign(
  path: string,
  out: string,
  signers: readonly Signed[],
  contentType = AUTH_ENVELOPED,
): void {
  const content = readFileSync(path);
  const infos = signers.map((one) => signature(content, contentType, one));
  write(out, content, contentType, signers, infos);
}

function write(
  out: string,
  content: Uint8Array,
  contentType: string,
  signers: readonly Signed[],
  infos: readonly Uint8Array[],
): void {
  const certificates = signers.map(({ by }) => by.certificate.der);
  writeFileSync(out, signedMessage({ content, contentType, certificates, signers: infos }));
}

function p11seal(argv: string, options: RunOptions = {}): Promise<Outcome> {
  return run(argv.split(" "), {
    env: { P11SEAL_HOME: home, P11SEAL_SYSTEM_MODULES: "0" },
    ...options,
  });
}

/** `opened`, or the code of the refusal. */
async function opened(argv: string): Promise<string> {
  rmSync("out", { force: true });
  const { status, stderr } = await p11seal(`open -i alice-both.pem -o out --json ${argv}`);
  if (status === 0) {
    expect(readFileSync("out", "utf8")).toBe(plan);
    return "opened";
  }
  expect(existsSync("out")).toBe(false);
  return errorCode({ stderr });
}

function lastLogged(): unknown {
  const lines = readFileSync(join(home, "audit.jsonl"), "utf8").trim().split("\n");
  return JSON.parse(lines.findLast((line) => line.includes('"event":"open"')) ?? "null");
}

const keyIdOf = ({ certificate }: Issuer): string =>
  createHash("sha256").update(certificate.spki).digest("hex");

let bob: Issuer;
let zoe: Issuer;
let count = 0;

/** A new message to alice, not signed. */
async function envelope(): Promise<string> {
  const path = `${count++}.p7m`;
  expect(await p11seal(`seal --format cms -r alice -o ${path} plan.txt`)).toMatchObject({
    status: 0,
  });
  return path;
}

beforeAll(async () => {
  process.chdir(folder);
  person("alice");
  [bob, zoe] = [person("bob"), person("zoe")];
  for (const name of ["bob", "zoe"]) await p11seal(`senders add ${name} ${name}.crt`);
  const added = await p11seal("recipients add alice alice.crt");
  expect(added).toMatchObject({ status: 0 });
});

beforeEach(() => {
  rmSync("out", { force: true });
  plan = `plan ${count++}\n`;
  writeFileSync("plan.txt", plan);
});

describe("a signature outside the encryption", () => {
  it("lets the message in once", async () => {
    sign(await envelope(), "m.p7m", [{ by: bob }]);
    expect(await opened("--from zoe m.p7m")).toBe("ERR_SENDER_UNEXPECTED");
    expect(await opened("--from bob m.p7m")).toBe("opened");
    expect(await opened("--from bob m.p7m")).toBe("ERR_REPLAYED");
  });

  it("may not be too old, nor from the future, and must say when it was made", async () => {
    const path = await envelope();
    sign(path, "old.p7m", [{ by: bob, atMs: Date.now() - 8 * DAY_MS }]);
    expect(await opened("--from bob old.p7m")).toBe("ERR_STALE");
    sign(path, "future.p7m", [{ by: bob, atMs: Date.now() + DAY_MS }]);
    expect(await opened("--from bob future.p7m")).toBe("ERR_FROM_FUTURE");
    sign(path, "timeless.p7m", [{ by: bob, atMs: null }]);
    expect(await opened("--from bob timeless.p7m")).toBe("ERR_NO_SIGNING_TIME");
  });

  it("is checked before any key is looked for", async () => {
    sign(await envelope(), "m.p7m", [{ by: bob }]);
    const altered = readFileSync("m.p7m");
    // In the ciphertext's tag, which the signature covers.
    const at = altered.indexOf(Buffer.from(bob.certificate.der)) - 12;
    altered[at] = (altered[at] ?? 0) ^ 1;
    writeFileSync("altered.p7m", altered);
    expect(await opened("--from bob -i nobody-has-this.pem altered.p7m")).toBe("ERR_READ");
    expect(await opened("--from bob altered.p7m")).toMatch(/^ERR_(CONTENT_MISMATCH|BER|DER)$/);
    expect(await opened("--from bob m.p7m")).toBe("opened");
  });

  it("is in the audit log and on the receipt", async () => {
    sign(await envelope(), "m.p7m", [{ by: bob }]);
    const words = "--from bob --receipt m.receipt --receipt-key zoe.key m.p7m";
    expect(await opened(words)).toBe("opened");
    const shown = await p11seal("receipt verify m.receipt --by zoe --json");
    const receipt = JSON.parse(shown.stdout.toString()) as { messageId: string };
    expect(receipt).toMatchObject({ sender: { name: "bob" } });
    expect(lastLogged()).toMatchObject({
      ...{ event: "open", outcome: "opened", messageId: receipt.messageId, sender: keyIdOf(bob) },
      path: "key file",
    });
    expect(await p11seal("audit-log verify")).toMatchObject({ status: 0 });
  });
});

describe("a message that is signed, and not encrypted", () => {
  it("is accepted once, and logged", async () => {
    sign("plan.txt", "clear.p7m", [{ by: bob }], DATA);
    expect(await opened("--from zoe clear.p7m")).toBe("ERR_SENDER_UNEXPECTED");
    expect(lastLogged()).toMatchObject({ outcome: "ERR_SENDER_UNEXPECTED", sender: keyIdOf(bob) });
    const receipt = "--receipt clear.receipt --receipt-key zoe.key";
    expect(await opened(`--from bob ${receipt} clear.p7m`)).toBe("opened");
    expect(await p11seal("receipt verify clear.receipt --by zoe")).toMatchObject({ status: 0 });
    expect(lastLogged()).toMatchObject({ outcome: "opened", sender: keyIdOf(bob) });
    expect(await opened("--from bob clear.p7m")).toBe("ERR_REPLAYED");
  });
});

describe("a signature inside the encryption", () => {
  it("lets the message in once", async () => {
    const words = "--sign-with bob.key --cert bob.crt -o inside.p7m plan.txt";
    await p11seal(`seal --format cms -r alice ${words}`);
    expect(await opened("--from zoe inside.p7m")).toBe("ERR_SENDER_UNEXPECTED");
    expect(await opened("--from bob inside.p7m")).toBe("opened");
    expect(lastLogged()).toMatchObject({ outcome: "opened", sender: keyIdOf(bob) });
    expect(await opened("--from bob inside.p7m")).toBe("ERR_REPLAYED");
    const piped = await p11seal("open -i alice-both.pem --from bob inside.p7m");
    expect(piped).toMatchObject({ status: 6, stdout: Buffer.alloc(0) });
  });

  it("has to be there", async () => {
    expect(await opened(`--from any ${await envelope()}`)).toBe("ERR_UNSIGNED");
  });

  it("of a sealed copy for somebody else is still the same one", async () => {
    await p11seal(
      "seal --format cms -r alice --sign-with bob.key --cert bob.crt -o a.p7m plan.txt",
    );
    expect(await opened("--from bob a.p7m")).toBe("opened");
    // Whoever can read it can seal it anew; the signature is spent.
    sign("plan.txt", "signed.der", [{ by: bob }], DATA);
    const mail =
      "Content-Type: application/pkcs7-mime; smime-type=signed-data\r\n" +
      "Content-Transfer-Encoding: base64\r\n\r\n";
    const base64 = readFileSync("signed.der")
      .toString("base64")
      .replace(/.{1,76}/g, "$&\r\n");
    writeFileSync("part", mail + base64);
    for (const expected of ["opened", "ERR_REPLAYED"]) {
      await p11seal("seal --format cms -r alice -o again.p7m --force part");
      expect(await opened("--from bob again.p7m")).toBe(expected);
    }
  });
});

describe("several signatures over one message", () => {
  /** Bob's signature and zoe's over a new message, to be written with all of them or some. */
  async function signedByBoth() {
    const content = readFileSync(await envelope());
    const signers = [{ by: bob }, { by: zoe }];
    const infos = signers.map((one) => signature(content, AUTH_ENVELOPED, one));
    const writeWith = (out: string, some: readonly Uint8Array[]): void => {
      write(out, content, AUTH_ENVELOPED, signers, some);
    };
    return { infos, writeWith };
  }

  it("serve if any of them is by somebody who is wanted", async () => {
    sign(await envelope(), "m.p7m", [{ by: zoe }, { by: bob }]);
    expect(await opened("--from nobody m.p7m")).toBe("ERR_SENDER_UNKNOWN");
    expect(await opened("--from bob m.p7m")).toBe("opened");
  });

  it("let it in once, whichever are taken away", async () => {
    const { infos, writeWith } = await signedByBoth();
    writeWith("both.p7m", infos);
    expect(await opened("--from any both.p7m")).toBe("opened");
    for (const info of infos) {
      writeWith("one.p7m", [info]);
      expect(await opened("--from any one.p7m")).toBe("ERR_REPLAYED");
    }
  });

  it("let it in once, whichever comes first", async () => {
    const { infos, writeWith } = await signedByBoth();
    writeWith("one.p7m", infos.slice(1));
    writeWith("both.p7m", infos);
    expect(await opened("--from any one.p7m")).toBe("opened");
    expect(await opened("--from bob both.p7m")).toBe("ERR_REPLAYED");
    // Nothing was reserved for good.
    writeWith("one.p7m", infos.slice(0, 1));
    expect(await opened("--from bob one.p7m")).toBe("opened");
  });

  it.each(["-o out", "-o -"])("in layers let it in once, with %s", async (how) => {
    const words = "--sign-with bob.key --cert bob.crt --force -o inside.p7m plan.txt";
    await p11seal(`seal --format cms -r alice ${words}`);
    sign("inside.p7m", "around.p7m", [{ by: zoe }]);
    const { status } = await p11seal(`open -i alice-both.pem --from zoe ${how} around.p7m`);
    expect(status).toBe(0);
    expect(await opened("--from bob inside.p7m")).toBe("ERR_REPLAYED");
  });

  it("in layers: one that was spent inside spoils the one around it", async () => {
    const words = "--sign-with bob.key --cert bob.crt --force -o inside.p7m plan.txt";
    await p11seal(`seal --format cms -r alice ${words}`);
    expect(await opened("--from bob inside.p7m")).toBe("opened");
    sign("inside.p7m", "around.p7m", [{ by: zoe }]);
    expect(await opened("--from zoe around.p7m")).toBe("ERR_REPLAYED");
  });
});
