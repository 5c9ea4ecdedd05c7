/**
 * Child of development-token.test.ts: makes a token, finds it without any configuration, uses it.
 */
import { statSync } from "node:fs";
import { join } from "node:path";
import { oaepEncrypt } from "../../../../src/wrap/rsa-oaep.js";
import { initDevelopmentToken, parseUri, TokenAccess } from "../../../../src/token/index.js";
import { decryptOaep } from "../../../support/private-key.js";

const [home = "", module = ""] = process.argv.slice(2);
const env = process.env;
const init = (label: string): Promise<string> =>
  initDevelopmentToken({
    home,
    label,
    module,
    env,
    pin: () => Promise.resolve("1234"),
    soPin: () => Promise.resolve("12345678"),
  }).then(({ uri }) => uri);
const codeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => (error as { code: unknown }).code,
  );
const mode = (...path: string[]): string =>
  (statSync(join(home, "softhsm", ...path)).mode & 0o777).toString(8);

const uri = await init("first");
const codes = {
  again: await codeOf(init("first")),
  long: await codeOf(init("x".repeat(33))),
  empty: await codeOf(init("")),
};
const second = await init("zweites Stück");

const access = new TokenAccess({ home, env, pin: () => Promise.resolve("1234") });
const modules = await access.modules();
const labels = (await access.tokens()).map(({ label }) => label).sort();
const info = await access.findToken(parseUri(uri));
const { key, oaep } = await access.generate(info, {
  type: "rsa:2048",
  label: "exchange",
  use: "exchange",
  allowDecrypt: false,
});
await access.close();

// A separate run: the token has another slot number by now.
const later = new TokenAccess({ home, env, pin: () => Promise.resolve("1234") });
const found = await later.findKey(parseUri(key.uri));
const privateKey = await later.identity(found).unlock();
const secret = new Uint8Array(32).fill(7);
const opened =
  found.publicKey !== undefined
    ? await decryptOaep(
        privateKey,
        oaepEncrypt(found.publicKey.object, secret, { hash: "sha1" }),
        "sha1",
      )
    : null;
await later.close();

process.stdout.write(
  JSON.stringify({
    codes,
    labels,
    oaep,
    second,
    opened: opened?.expose().join() === secret.join(),
    softhsmConf: env["SOFTHSM2_CONF"] ?? null,
    broken: modules.filter(({ path, error }) => path === module && error).length,
    modes: [mode(), mode("tokens"), mode("softhsm2.conf")],
  }),
);
