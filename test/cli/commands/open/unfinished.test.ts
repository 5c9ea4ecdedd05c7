/** A header that a killed run was overwriting is whole again before the message is read. */
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createHash, randomBytes } from "node:crypto";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { thisProcess } from "../../../../src/store/owner.js";
import { sideFileOf } from "../../../../src/store/work-files.js";
import { temporaryFolder, writeKeys } from "../../support/folder.js";
import { run, type Outcome } from "../../support/run.js";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const env = { P11SEAL_HOME: at("home") };
const plain = randomBytes(1000);

beforeAll(async () => {
  writeKeys(folder);
  writeFileSync(at("plain"), plain);
  await ok("seal", "-r", at("bob.pem"), "-o", at("m.p11s"), at("plain"));
});

async function ok(...argv: readonly string[]): Promise<Outcome> {
  const ended = await run(argv, { env });
  expect(ended).toMatchObject({ status: 0 });
  return ended;
}

/** The first half is the new header, which here is the one that works; the rest is the old one. */
function leaveHalf(name: string): Buffer {
  const whole = readFileSync(at("m.p11s"));
  const header = whole.subarray(0, whole.length - 1000);
  const old = Buffer.from(header.map((byte) => byte ^ 0xff));
  const half = header.length / 2;
  writeFileSync(
    at(name),
    Buffer.concat([header.subarray(0, half), old.subarray(half), whole.subarray(header.length)]),
  );
  const headers = Buffer.concat([old, header]);
  const fields = {
    ...{ p11seal: "header 1", run: thisProcess().replace(/-[0-9]+$/, "-1"), bytes: header.length },
    sha256: createHash("sha256").update(headers).digest("hex"),
  };
  const side = Buffer.concat([Buffer.from(`${JSON.stringify(fields)}\n`), headers]);
  writeFileSync(sideFileOf(at(name)), side, { mode: 0o600 });
  return whole;
}

describe("a header that was overwritten in part", () => {
  it("is finished by open", async () => {
    const whole = leaveHalf("half.p11s");
    const { stdout, stderr } = await ok("open", "-i", at("bob.key"), at("half.p11s"));
    expect(stdout.equals(plain)).toBe(true);
    expect(stderr).toContain("a killed run had overwritten part of its header; finished");
    expect(readFileSync(at("half.p11s")).equals(whole)).toBe(true);
    const again = await ok("open", "-i", at("bob.key"), at("half.p11s"));
    expect(again.stderr).toBe("");
  });

  it("is finished by doctor, also by way of a link", async () => {
    const whole = leaveHalf("other.p11s");
    symlinkSync("other.p11s", at("link.p11s"));
    const { stdout } = await ok("doctor", "-i", at("bob.key"), at("link.p11s"));
    expect(stdout.toString()).toContain("will open");
    expect(readFileSync(at("other.p11s")).equals(whole)).toBe(true);
  });
});
