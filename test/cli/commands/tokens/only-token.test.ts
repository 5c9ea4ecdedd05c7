/** `keys generate` without `--token`: on the only token, and on none of several. */
import { join } from "node:path";
import { expect, it } from "@jest/globals";
import { temporaryFolder } from "../../support/folder.js";
import { type Ended, p11seal } from "../../support/spawn.js";

const folder = temporaryFolder();
const SOFTHSM = process.env["TEST_SOFTHSM2_MODULE"];
/** A process each: SoftHSM reads its configuration, and looks for tokens, once. */
const cli = (...argv: string[]): Promise<Ended> =>
  p11seal(argv, {
    cwd: folder,
    env: {
      P11SEAL_HOME: join(folder, "home"),
      P11SEAL_SYSTEM_MODULES: "0",
      P11SEAL_MODULE: SOFTHSM,
      P11SEAL_SOFTHSM2: SOFTHSM,
      SOFTHSM2_CONF: undefined,
      P11SEAL_PIN_SOURCE: "env:PIN",
      PIN: "correct-7291",
    },
  });
const generate = (label: string): Promise<Ended> =>
  cli("keys", "generate", "--type", "ec:p256", "--label", label, "--json");
const init = (label: string): Promise<Ended> =>
  cli("token", "init", "--label", label, "--so-pin-source", "env:PIN");

it("makes a key on the only token, and asks which one where there are two", async () => {
  expect(await generate("none")).toMatchObject({ status: 5 });
  expect(await init("first")).toMatchObject({ status: 0 });
  const made = await generate("key");
  expect(made).toMatchObject({ status: 0 });
  expect(made.stdout.toString("utf8")).toContain("pkcs11:token=first;");
  expect(await init("second")).toMatchObject({ status: 0 });
  const { status, stderr } = await generate("other");
  expect(status).not.toBe(0);
  expect(JSON.parse(stderr)).toMatchObject({ error: { code: "ERR_TOKEN_NOT_UNIQUE" } });
  const listed = (await cli("keys", "list", "--json")).stdout.toString("utf8");
  const { keys } = JSON.parse(listed) as { keys: { label: string }[] };
  expect(keys.map(({ label }) => label)).toEqual(["key"]);
});
