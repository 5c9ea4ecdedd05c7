/** From the request for a certificate to a colleague's encrypted mail, opened with the token. */
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import {
  freshToken,
  softHsmEnvironment,
  type TestToken,
  USER_PIN,
} from "../../../support/softhsm.js";
import { temporaryFolder } from "../../support/folder.js";
import { run, type Outcome } from "../../support/run.js";

const folder = temporaryFolder();
const env = softHsmEnvironment(join(folder, "home"));
let token: TestToken;

const openssl = (line: string): Buffer =>
  execFileSync("openssl", line.split(" "), { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });

const p11seal = (...argv: string[]): Promise<Outcome> =>
  run([...argv, "--pin-source", "file:pin"], { env });

beforeAll(async () => {
  process.chdir(folder);
  token = await freshToken("mail");
  writeFileSync("pin", `${USER_PIN}\n`, { mode: 0o600 });
  writeFileSync("note.txt", "for you alone\n");
  openssl("req -x509 -new -newkey rsa:2048 -nodes -keyout ca.key -subj /CN=CA -days 9 -out ca.pem");
});

describe.each([
  ["rsa:2048", "-keyopt rsa_padding_mode:oaep"],
  ["ec:p256", "-keyopt ecdh_kdf_md:sha256"],
])("a key of type %s", (type, keyOptions) => {
  const label = type.replace(":", "-");
  const uri = (): string => `${token.uri};object=${label}`;

  it("asks for a certificate, gets it, and opens what is encrypted to it", async () => {
    const names = ["--subject", "CN=Alice,O=Example", "--mail", "alice@example.org"];
    const made = ["keys", "generate", "--token", token.uri, "--label", label, "--type", type];
    expect(await p11seal(...made, "--csr", "alice.csr", "--force", ...names)).toMatchObject({
      status: 0,
    });
    openssl(
      "x509 -req -in alice.csr -CA ca.pem -CAkey ca.key -CAcreateserial -copy_extensions copy -days 9 -out alice.crt",
    );
    expect(await p11seal("keys", "import-cert", uri(), "alice.crt")).toMatchObject({ status: 0 });

    for (const cipher of ["-aes-256-gcm", "-aes-256-cbc"]) {
      openssl(
        `cms -encrypt ${cipher} -binary -in note.txt -outform DER -out note.p7m -recip alice.crt ${keyOptions}`,
      );
      const allowed = cipher.endsWith("cbc") ? ["--allow-unauthenticated"] : [];
      const told = await p11seal("open", ...allowed, "-o", "opened.txt", "note.p7m");
      expect({ cipher, status: told.status, stderr: told.stderr }).toMatchObject({ status: 0 });
      expect(readFileSync("opened.txt", "utf8")).toBe("for you alone\n");
      rmSync("opened.txt");
    }
  });

  it("is found by an earlier certificate too, after a renewal that was added", async () => {
    openssl(
      "x509 -req -in alice.csr -CA ca.pem -CAkey ca.key -CAcreateserial -copy_extensions copy -days 8 -out again.crt",
    );
    expect(await p11seal("keys", "import-cert", uri(), "again.crt", "--add")).toMatchObject({
      status: 0,
    });
    for (const recipient of ["alice.crt", "again.crt"]) {
      openssl(
        `cms -encrypt -aes-256-gcm -binary -in note.txt -outform DER -out note.p7m -recip ${recipient} ${keyOptions}`,
      );
      const told = await p11seal("open", "-o", "-", "note.p7m");
      expect(told).toMatchObject({ status: 0 });
      expect(told.stdout.toString()).toBe("for you alone\n");
    }
  });

  it("by a certificate that is not beside it, no PIN is asked for, until --cert names it", async () => {
    openssl(
      "x509 -req -in alice.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 7 -out other.crt",
    );
    openssl(
      `cms -encrypt -aes-256-gcm -binary -in note.txt -outform DER -out note.p7m -recip other.crt ${keyOptions}`,
    );
    const told = await run(["open", "-o", "-", "note.p7m"], { env, answers: [] });
    expect(told.status).not.toBe(0);
    expect(told.asked).toEqual([]);
    expect(told.stderr).toContain("no identity matches");
    const named = await p11seal("open", "--cert", "other.crt", "-o", "-", "note.p7m");
    expect(named).toMatchObject({ status: 0 });
  });
});
