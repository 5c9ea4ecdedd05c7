/**
 * Labels that are not UTF-8: kept byte for byte from the token through JSON and URIs to the key
 * that is used, never taken for another.
 */
import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "@jest/globals";
import { freshToken, importKey, softHsmEnvironment, USER_PIN } from "../../support/softhsm.js";
import { temporaryFolder } from "../support/folder.js";
import { run, type Outcome } from "../support/run.js";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
let token: string;

/** The labels' bytes in a URI, and as text: U+DC.. stands for a byte that is not UTF-8. */
const LABELS = [
  ["Ren%E9", "Ren\udce9"],
  ["Ren%E8", "Ren\udce8"],
  ["Ren%C3%A9", "Ren\u00e9"],
  ["%EF%BB%BFRen", "\ufeffRen"],
  ["Ren", "Ren"],
] as const;

function cli(...argv: string[]): Promise<Outcome> {
  return run(argv, {
    env: {
      ...softHsmEnvironment(at("home")),
      P11SEAL_PIN_SOURCE: "env:PIN",
      PIN: USER_PIN,
    },
  });
}

beforeAll(async () => {
  const fresh = await freshToken("odd-labels");
  token = fresh.uri;
  for (const [n, [, label]] of LABELS.entries()) {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const pem = privateKey.export({ format: "pem", type: "pkcs8" }).toString();
    const privateHalf = { DERIVE: true, SIGN: false };
    await importKey(fresh, pem, { label, id: Uint8Array.of(1 + n), privateHalf });
  }
  writeFileSync(at("note"), "meet at noon\n");
});

function labelsIn(json: string): string[] {
  return (JSON.parse(json) as { keys: { label: string }[] }).keys.map(({ label }) => label);
}

it("JSON has each label as it is, in plain characters", async () => {
  const text = (await cli("keys", "list", token, "--json")).stdout.toString("utf8");
  expect(text).not.toContain("\u{fffd}");
  expect(labelsIn(text).sort()).toEqual(LABELS.map(([, label]) => label).sort());
  expect(text).toContain("Ren\\udce9");
  const table = (await cli("keys", "list", token)).stdout.toString("utf8");
  expect(table).toContain("Ren\\u{dce9}");
});

it.each(LABELS)("a URI with object=%s finds that key and no other", async (encoded, label) => {
  const uri = `${token};object=${encoded}`;
  const listed = (await cli("keys", "list", uri, "--json")).stdout.toString("utf8");
  expect(labelsIn(listed)).toEqual([label]);
  const sealed = at(`${encoded}.p11s`);
  expect(await cli("seal", "-r", uri, "-o", sealed, at("note"))).toMatchObject({ status: 0 });
  expect((await cli("open", "-i", uri, sealed)).stdout.toString("utf8")).toBe("meet at noon\n");
  const other = encoded === "Ren" ? "Ren%E9" : "Ren";
  expect(await cli("open", "-i", `${token};object=${other}`, sealed)).toMatchObject({ status: 3 });
});

it("what Node would have made of them finds nothing", async () => {
  expect(await cli("keys", "export", `${token};object=Ren%EF%BF%BD`)).toMatchObject({ status: 5 });
});
