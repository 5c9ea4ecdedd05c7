/**
 * The program with SoftHSM: file keys come out of stanzas, with one PIN; and what it says when they
 * don't.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { wrapFor } from "../../src/envelope/age/age-wrap.js";
import { encodeStanza } from "../../src/envelope/age/stanzas.js";
import { encodeBech32 } from "../../src/keys/formats/bech32.js";
import { formatAgeRecipient } from "../../src/keys/formats/age-keys.js";
import { formatPluginIdentity } from "../../src/plugin/plugin-identity.js";
import type { Stanza } from "../../src/plugin/stanza-stream.js";
import { TokenError } from "../../src/errors.js";
import { TokenFileKeys } from "../../src/plugin/file-key-opener.js";
import type { Tokens } from "../../src/plugin/token-keys.js";
import { Secret } from "../../src/secret.js";
import type { TokenAccess } from "../../src/token/access.js";
import type { KeyInfo } from "../../src/token/values.js";
import { temporaryFolder } from "../cli/support/folder.js";
import type { WrappedModule } from "../../src/testing/index.js";
import { countedCalls, softHsmBehind } from "../support/behind-shim.js";
import {
  freshToken,
  SOFTHSM_MODULE,
  softHsmAccess,
  type TestToken,
  USER_PIN,
} from "../support/softhsm.js";
import { type Environment, pin, PLUGIN, runPlugin } from "./support/plugin-process.js";
import { type Answers, stanza } from "./support/scripted-client.js";

const FILE_KEY = "YELLOW SUBMARINE";
const OTHER_FILE_KEY = "MELLOW SUBMARINE";
const ANY = encodeBech32("AGE-PLUGIN-P11-", new Uint8Array(0));
const folder = temporaryFolder();
const base: Environment = {
  P11SEAL_HOME: join(folder, "home"),
  P11SEAL_MODULE: SOFTHSM_MODULE,
  P11SEAL_PIN_SOURCE: undefined,
};

let access: TokenAccess;
let token: TestToken;
let ec: KeyInfo;
let x25519: KeyInfo;
let rsa: KeyInfo;
/** An RSA key as `keys generate` makes it: it unwraps and does not decrypt. */
let unwrapping: KeyInfo;

beforeAll(async () => {
  access = softHsmAccess();
  token = await freshToken("age");
  const info = await access.findToken({ token: token.label });
  const make = async (type: "ec:p256" | "x25519" | "rsa:2048", label: string, decrypts = false) => {
    const request = { type, label, use: "exchange", allowDecrypt: decrypts } as const;
    return (await access.generate(info, request)).key;
  };
  ec = await make("ec:p256", "ec");
  x25519 = await make("x25519", "x");
  rsa = await make("rsa:2048", "rsa", true);
  unwrapping = await make("rsa:2048", "unwraps");
  await access.close();
});

async function wrappedFor({ publicKey }: KeyInfo, file = 0, fileKey = FILE_KEY): Promise<Stanza> {
  if (publicKey === undefined) throw new Error("no public half");
  const secret = new Secret(Buffer.from(fileKey));
  const { type, args, body } = encodeStanza(await wrapFor(publicKey, secret));
  return stanza(["recipient-stanza", file, type, ...args].join(" "), body);
}

const named = (key: KeyInfo) => stanza(`add-identity ${formatPluginIdentity(key)}`);
const any = stanza(`add-identity ${ANY}`);

async function open(commands: Stanza[], answers: Answers = pin(USER_PIN), env: Environment = {}) {
  const result = await runPlugin("identity-v1", commands, { ...base, ...env }, answers);
  expect(result.lines.at(-1)).toBe("done");
  return result;
}

describe("the plugin opens", () => {
  const keys: [string, () => KeyInfo][] = [
    ["p256tag", () => ec],
    ["X25519", () => x25519],
    ["ssh-rsa", () => rsa],
  ];
  it.each(keys)("%s with the key that its identity names", async (type, key) => {
    const wrapped = await wrappedFor(key());
    expect(wrapped.args[1]).toBe(type);
    const { lines } = await open([named(key()), stanza("recipient-stanza 0 other x"), wrapped]);
    expect(lines).toEqual([
      expect.stringMatching(`^request-secret; PIN for token "${token.label}" \\(serial .*\\):$`),
      `file-key 0; ${FILE_KEY}`,
      "done",
    ]);
  });

  it("several files with one PIN, by identities that overlap", async () => {
    const files = [
      await wrappedFor(ec),
      await wrappedFor(ec, 1, OTHER_FILE_KEY),
      await wrappedFor(rsa, 2),
    ];
    const { lines } = await open([named(ec), named(rsa), any, ...files]);
    expect(lines.slice(1)).toEqual([
      `file-key 0; ${FILE_KEY}`,
      `file-key 1; ${OTHER_FILE_KEY}`,
      `file-key 2; ${FILE_KEY}`,
      "done",
    ]);
  });

  it("what is for any key on a token, without an identity's data", async () => {
    const { lines } = await open([any, await wrappedFor(ec)]);
    expect(lines.slice(1)).toEqual([`file-key 0; ${FILE_KEY}`, "done"]);
  });

  it("a key whose module has got another name", async () => {
    const renamed = { ...ec, token: { ...ec.token, module: "/usr/lib/old-name.so" } };
    const { lines } = await open([named(renamed), await wrappedFor(ec)]);
    expect(lines).toContain(`file-key 0; ${FILE_KEY}`);
  });

  it("with the PIN of P11SEAL_PIN_SOURCE, if the client can't ask", async () => {
    const path = join(folder, "pin");
    writeFileSync(path, USER_PIN, { mode: 0o600 });
    const env = { P11SEAL_PIN_SOURCE: `file:${path}` };
    const { lines } = await open([named(ec), await wrappedFor(ec)], pin(undefined), env);
    expect(lines).toContain(`file-key 0; ${FILE_KEY}`);
  });
});

describe("the plugin is silent, and asks for no PIN,", () => {
  it("about a stanza whose tag is another key's", async () => {
    const other = await wrappedFor(ec);
    const args = [...other.args];
    args[2] = "AAAAAA";
    expect((await open([named(ec), { ...other, args }])).lines).toEqual(["done"]);
  });

  it("about X25519 stanzas, which carry no tag, if no key was named", async () => {
    const { watched, env } = await watching();
    expect((await open([any, await wrappedFor(x25519)], undefined, env)).lines).toEqual(["done"]);
    expect(watched.calls()).toEqual([]);
  });

  it("about types that no token opens, and looks at no token", async () => {
    const { watched, env } = await watching();
    const scrypt = stanza("recipient-stanza 0 scrypt AAAAAAAAAAAAAAAAAAAAAA 18", "x");
    expect((await open([any, scrypt], undefined, env)).lines).toEqual(["done"]);
    expect(watched.calls()).toEqual([]);
  });

  it("about an X25519 stanza that is not for the named key; its PIN had to be asked for", async () => {
    const wrapped = await wrappedFor(x25519);
    const body = Buffer.from(wrapped.body);
    body[3] = (body[3] ?? 0) ^ 1;
    const { lines } = await open([named(x25519), { ...wrapped, body }]);
    expect(lines).toEqual([expect.stringContaining("request-secret"), "done"]);
  });
});

describe("the plugin says", () => {
  it("that a stanza with its tag was altered", async () => {
    const wrapped = await wrappedFor(ec);
    const body = Buffer.from(wrapped.body);
    body[3] = (body[3] ?? 0) ^ 1;
    const { lines } = await open([named(ec), { ...wrapped, body }]);
    expect(lines[1]).toMatch(/^error stanza 0 0; the file's p256tag stanza was altered/);
    expect(lines).toHaveLength(3);
  });

  it("that a stanza of a known type is malformed, before a token is looked at", async () => {
    const wrapped = await wrappedFor(ec);
    const { watched, env } = await watching();
    const short = { ...wrapped, body: wrapped.body.subarray(1) };
    const { lines } = await open([named(ec), wrapped, short], undefined, env);
    expect(lines).toEqual([expect.stringMatching(/^error stanza 0 1; .*p256tag/), "done"]);
    expect(watched.calls()).toEqual([]);
  });

  it("that the token refuses the PIN, which is asked for and sent once", async () => {
    const { watched, env } = await watching();
    const files = [await wrappedFor(ec), await wrappedFor(ec, 1), await wrappedFor(rsa, 2)];
    const { lines } = await open([any, ...files], pin("9999"), env);
    expect(lines.filter((line) => line.startsWith("request-secret"))).toHaveLength(1);
    const errors = lines.filter((line) => line.startsWith("error"));
    expect(errors).toHaveLength(3);
    for (const line of errors) expect(line).toMatch(/^error identity 0; token .* refuses the PIN/);
    expect(countedCalls(watched, "C_Login")).toEqual([1]);
  });

  it("that a last try is left alone, and what can use it", async () => {
    const tokens = {
      findCopies: () => Promise.resolve([ec] as [KeyInfo]),
      identity: () => ({
        publicKey: ec.publicKey,
        name: ec.uri,
        unlock: () => Promise.reject(new TokenError("ERR_PIN_FINAL_TRY", "one PIN try left")),
      }),
    } as unknown as Tokens;
    const opener = new TokenFileKeys({ show: () => Promise.resolve() }, tokens);
    opener.addIdentity(formatPluginIdentity(ec));
    const { args, body } = await wrappedFor(ec);
    const [, type = "", ...rest] = args;
    const inFile = { type, args: rest, body };
    expect(opener.isKnown(inFile)).toBe(true);
    await expect(opener.unwrap([inFile])).rejects.toMatchObject({
      identity: 0,
      cause: { code: "ERR_PIN_FINAL_TRY", hint: expect.stringContaining("open --force") },
    });
  });

  it("that nobody could be asked for the PIN", async () => {
    const { lines } = await open([named(ec), await wrappedFor(ec)], pin(undefined));
    expect(lines.at(-2)).toMatch(/^error identity 0; no PIN for token .*P11SEAL_PIN_SOURCE/);
  });

  it("that the token can't undo OAEP with age's label", async () => {
    const { lines } = await open([named(unwrapping), await wrappedFor(unwrapping)]);
    expect(lines.at(-2)).toMatch(/^error (?:internal|identity 0); .*label/);
  });

  it("in a message, which ends nothing, that an identity's token is not there", async () => {
    const uri = ec.uri.replace(token.label, "elsewhere");
    const gone = named({ ...ec, uri });
    const { lines } = await open([gone, named(ec), await wrappedFor(ec), await wrappedFor(ec, 1)]);
    expect(lines.filter((line) => line.startsWith("msg"))).toEqual([
      expect.stringMatching(/^msg; no token matches pkcs11:token=elsewhere/),
    ]);
    expect(lines).toContain(`file-key 0; ${FILE_KEY}`);
    expect((await open([gone, await wrappedFor(ec)])).lines.at(-1)).toBe("done");
  });

  it.each([
    ["of another plugin", "AGE-PLUGIN-YUBIKEY-1QGPSYQCJM6E0S", /not Bech32/],
    ["of another plugin, well formed", encodeBech32("AGE-PLUGIN-TPM-", Buffer.of(1)), /not one of/],
    ["that would load code", forged("pkcs11:object=a?module-path=/tmp/x.so"), /module-path/],
    ["that would choose a PIN", forged("pkcs11:object=a?pin-source=/tmp/pin"), /pin-source/],
    ["with a PIN", forged("pkcs11:object=a?pin-value=1234"), /contains a PIN/],
    ["that names no key", forged("pkcs11:token=a"), /does not name a key/],
    ["that is no URI", forged("\xff\x00"), /does not begin with/],
  ])("that it takes no identity %s", async (_, text, reason) => {
    const identity = stanza(`add-identity ${text}`);
    const { lines } = await open([named(ec), identity, await wrappedFor(ec)]);
    expect(lines).toEqual([expect.stringMatching(/^error identity 1; /), "done"]);
    expect(lines[0]).toMatch(reason);
    expect(lines[0]).not.toContain("1234");
  });
});

function forged(uri: string): string {
  return encodeBech32("AGE-PLUGIN-P11-", Buffer.from(uri, "latin1"));
}

describe("the plugin's process", () => {
  it("ends sessions and finalizes modules before it says done", async () => {
    const { watched, env } = await watching();
    let before: string[] = [];
    const answers: Answers = (command) => {
      if (command.type === "done") before = watched.calls().map(({ fn }) => fn);
      return pin(USER_PIN)(command);
    };
    await open([named(ec), await wrappedFor(ec)], answers, env);
    expect(before.at(-1)).toBe("C_Finalize");
    expect(before.filter((one) => one === "C_Initialize")).toHaveLength(1);
  });

  it("keeps what modules print away from the client", async () => {
    const { watched, env } = await watching();
    watched.faults.print("C_Initialize");
    const { lines, stderr } = await open([named(ec), await wrappedFor(ec)], undefined, env);
    expect(lines).toContain(`file-key 0; ${FILE_KEY}`);
    expect(stderr).toContain("C_Initialize\n");
  });

  it("has neither a parser of command lines nor a child for tokens in it", () => {
    const program = readFileSync(join(dirname(PLUGIN), "run-plugin.js"), "utf8");
    expect(program).toContain("request-secret");
    expect(program).not.toMatch(/yargs|child\.js|cli-progress/);
  });

  it("writes no PIN to stderr", async () => {
    const { stderr } = await open([named(ec), await wrappedFor(ec)], pin("secret-9999"));
    expect(stderr).toBe("");
  });

  it.each(["identity-v2", "recipient-v2", "", "identity-v1x"])(
    "does not start for the state machine %j",
    async (machine) => {
      const { stdout, stderr } = await runPlugin(machine, [], base);
      expect(stdout.length).toBe(0);
      expect(stderr).toMatch(/^age-plugin-p11: .*is not supported\n$/);
    },
  );

  it("ends with what is wrong if the client does not keep to the protocol", async () => {
    const { lines, stderr } = await runPlugin("identity-v1", [stanza("add-identity")], base);
    expect(lines).toEqual([]);
    expect(stderr).toMatch(/^age-plugin-p11: the age client's input: /);
  });
});

/** SoftHSM behind a module that writes down what is called. */
async function watching(): Promise<{ watched: WrappedModule; env: Environment }> {
  const watched = await softHsmBehind();
  return { watched, env: { P11SEAL_MODULE: watched.module } };
}

describe("recipient-v1", () => {
  const wrap = stanza("wrap-file-key", FILE_KEY);

  it("wraps to recipients that old clients don't know, and to identities without a PIN", async () => {
    if (ec.publicKey === undefined) throw new Error("no public half");
    const commands = [
      ...[stanza(`add-recipient ${formatAgeRecipient(ec.publicKey)}`), wrap],
      ...[named(ec), named(x25519), named(rsa), stanza("extension-labels")],
    ];
    const { lines, sent } = await runPlugin("recipient-v1", commands, base);
    expect(lines.map((line) => line.split(" ").slice(0, 3).join(" ").split(";")[0])).toEqual([
      "labels",
      "recipient-stanza 0 p256tag",
      "recipient-stanza 0 p256tag",
      "recipient-stanza 0 X25519",
      "recipient-stanza 0 ssh-rsa",
      "done",
    ]);
    // Each opens by itself.
    const files = sent
      .filter(({ type }) => type === "recipient-stanza")
      .map(({ type, args, body }, file) => ({ type, args: [`${file}`, ...args.slice(1)], body }));
    const opened = await open([named(ec), named(x25519), named(rsa), ...files]);
    expect(opened.lines.filter((line) => line.startsWith("file-key"))).toEqual(
      [0, 1, 2, 3].map((file) => `file-key ${file}; ${FILE_KEY}`),
    );
  });

  it.each([
    ["recipient 0", () => stanza("add-recipient age1p11qqqqqq"), /age1tag1/],
    ["recipient 0", () => stanza("add-recipient age1tag1qqqqqq"), /Bech32/],
    ["identity 0", () => any, /names no key/],
    [
      "identity 0",
      () => named({ ...ec, uri: "pkcs11:token=no-such;object=x" }),
      /no token matches/,
    ],
  ])("refuses %s", async (about, command, reason) => {
    const { lines } = await runPlugin("recipient-v1", [command(), wrap], base);
    expect(lines).toEqual([expect.stringMatching(`^error ${about}; `), "done"]);
    expect(lines[0]).toMatch(reason);
  });
});
