/** Text that others chose, in whatever the program writes. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { publicPem, TEST_KEYS } from "../support/keys.js";
import { run } from "./support/run.js";

/** As part of a file's name: C1's CSI, an override of direction, a mark, a zero-width blank. */
const EVIL = "a\u009b2Jb\u202ec\u200ed\u200be";
const folder = mkdtempSync(join(tmpdir(), "p11seal-foreign-text-"));
const evil = join(folder, EVIL);
const key = join(folder, "key.pem");
const publicKey = join(folder, "public.pem");

beforeAll(async () => {
  writeFileSync(key, TEST_KEYS.x25519, { mode: 0o600 });
  writeFileSync(publicKey, publicPem(TEST_KEYS.x25519));
  writeFileSync(join(folder, "m"), "text");
  const { status } = await run(["seal", "-r", publicKey, "-o", evil, join(folder, "m")]);
  expect(status).toBe(0);
});

describe("a name that would move the cursor or reorder a line", () => {
  it.each([
    ["inspect", ["inspect", evil], 0],
    ["inspect --json", ["inspect", "--json", evil], 0],
    ["doctor", ["doctor", evil, "-i", key], 0],
    ["doctor --json", ["doctor", "--json", evil, "-i", key], 0],
    ["an error", ["open", "-i", key, `${evil}.not`], 1],
    ["an error with --json", ["open", "--json", "-i", key, `${evil}.not`], 1],
    ["an unknown command", [EVIL], 2],
    ["an unknown option", ["seal", `--${EVIL}`], 2],
    ["an unknown recipient", ["seal", "-r", EVIL, "-o", join(folder, "x"), key], 1],
    ["a URI", ["open", "-i", `pkcs11:object=${EVIL}`, evil], undefined],
    ["a passphrase's prompt", ["open", "-i", key, evil, evil], undefined],
  ])("is written with escapes: %s", async (_name, argv, expected) => {
    const { status, stdout, stderr, asked } = await run(argv, { answers: [] });
    if (expected !== undefined) expect(status).toBe(expected);
    const written = stdout.toString("utf8") + stderr + asked.map(({ prompt }) => prompt).join("");
    expect(written).not.toMatch(/[\u0080-\u009f\u200b-\u200f\u202a-\u202e]/u);
  });

  it("is the same name in JSON", async () => {
    const { stdout } = await run(["inspect", "--json", evil]);
    expect(JSON.parse(stdout.toString("utf8"))).toMatchObject({ file: evil });
    expect(stdout.toString("utf8")).toContain("\\u009b2Jb\\u202ec");
  });
});
