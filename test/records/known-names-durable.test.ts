/**
 * Whose name is believed: what is said of a name that is there, or is not there any more, is on the
 * disk. A run that was killed may have changed that, and not have waited for the disk.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeEach, expect, it } from "@jest/globals";
import { calls } from "../support/recorded-calls.js";
import { rootAuthority } from "../support/certificates.js";
import { publicDer, TEST_KEYS } from "../support/keys.js";

const { addAuthority, authoritiesPath, removeAuthority } =
  await import("../../src/records/authorities.js");
const { addEntry, removeEntry } = await import("../../src/records/directory/directory-file.js");
const { publicKeyFromSpki } = await import("../../src/keys/public-key.js");

const above = mkdtempSync(join(tmpdir(), "p11seal-known-names-"));
afterAll(() => {
  rmSync(above, { recursive: true, force: true });
});

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(above, "f-"));
});

const flushes = (): string[] => calls.filter((call) => call.startsWith("flush"));

const KINDS = ["senders", "custodians", "recipients"] as const;

it.each(KINDS)("%s: a name that is not there is not on the disk either", async (kind) => {
  const publicKey = publicKeyFromSpki(publicDer(TEST_KEYS.p256));
  await addEntry(home, kind, { name: "ann", publicKey, source: "ann.pem", addedMs: 0 });
  await removeEntry(home, kind, "ann");
  calls.length = 0;
  await expect(removeEntry(home, kind, "ann")).rejects.toMatchObject({ code: "ERR_NAME_UNKNOWN" });
  expect(flushes()).toEqual([`flush ${basename(home)}`]);
});

it("an authority that is there already, or is not there, is so on the disk as well", async () => {
  const authority = {
    ...{ name: "example-ca", source: "ca.pem", addedMs: 0 },
    certificate: rootAuthority().certificate,
  };
  const folder = `flush ${basename(authoritiesPath(home))}`;
  expect(await addAuthority(home, authority)).toBe(true);
  calls.length = 0;
  expect(await addAuthority(home, authority)).toBe(false);
  expect(flushes()).toContain(folder);
  await removeAuthority(home, "example-ca");
  calls.length = 0;
  const again = removeAuthority(home, "example-ca");
  await expect(again).rejects.toMatchObject({ code: "ERR_NAME_UNKNOWN" });
  expect(flushes()).toContain(folder);
});
