/**
 * docs/format-kit: that it is what its script makes, and what becomes of each message in it, read
 * by p11seal and by the reader made from the page alone.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { basename, join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { kitFiles } from "../../scripts/format-kit/kit.mjs";
import type { PassedOn } from "../../src/envelope/message-info.js";
import { openMessage, verifySender } from "../../src/envelope/messages.js";
import { PolicyError } from "../../src/errors.js";
import { fromBase64 } from "../../src/bytes.js";
import type { ExchangePublicKey, Identity } from "../../src/keys/key.js";
import { Secret } from "../../src/secret.js";
import { hybridSeedIdentity } from "../../src/software/hybrid-identity.js";
import { softwareIdentity } from "../../src/software/software-identity.js";
import { counting } from "../support/identities.js";
import { REFUSES_SMALL_ORDER } from "../support/openssl.js";
import { codeOf } from "../support/streams.js";
import { readMessage, type PageOptions } from "./page-reader.js";

const folder = fileURLToPath(new URL("../../docs/format-kit", import.meta.url));
const read = (path: string) => new Uint8Array(readFileSync(join(folder, path)));
const pems = Object.fromEntries(
  readdirSync(join(folder, "keys")).map((file) => [
    basename(file, ".pem"),
    readFileSync(join(folder, "keys", file), "utf8"),
  ]),
);

interface Entry {
  readonly file: string;
  readonly keyBlob?: string;
  readonly why: string;
  readonly keys: readonly string[];
  readonly sender?: string;
  readonly custodian?: string;
  readonly expect: "opens" | "refused";
  readonly plaintextBytes?: number;
  readonly plaintextSha256?: string;
  readonly step?: number;
  readonly error?: string;
}

const manifest = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8")) as {
  readonly keys: Readonly<Record<string, { readonly file: string; readonly spkiSha256: string }>>;
  readonly messages: readonly Entry[];
};
/** All but the one that some versions of OpenSSL refuse. */
const messages = manifest.messages.filter(
  ({ file }) => !(REFUSES_SMALL_ORDER && file.includes("ed25519-small-r")),
);
const tries = messages.flatMap((entry) =>
  entry.keys.map((key): [string, string, Entry] => [entry.file, key, entry]),
);
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** Hybrid keys are HPKE's seeds, under their KEM's name. */
async function identityOf(pem: string, name: string): Promise<Identity<ExchangePublicKey>> {
  const kem = (["mlkem768-p256", "mlkem1024-p384"] as const).find((one) => one === name);
  if (kem === undefined) return softwareIdentity(pem, name);
  return hybridSeedIdentity(kem, new Secret(fromBase64(pem.split("\n")[1] ?? "")), name);
}

/** Opens a message of the kit with p11seal: its plaintext, or the refusal's code. */
async function attempt({ file, keyBlob, custodian }: Entry, key: string) {
  const counted = counting(await identityOf(pems[key] ?? "", key));
  const header = keyBlob === undefined ? {} : { header: read(keyBlob) };
  try {
    const opened = await openMessage(read(file), {
      identities: [counted.identity],
      ...header,
      ...(custodian === undefined ? {} : { passedOn: only(custodian) }),
    });
    const plaintext = await opened.plaintext.bytes();
    return { plaintext, sender: opened.sender?.keyId, unlocks: counted.unlocks };
  } catch (error) {
    const { code = `no code: ${String(error)}` } = error as { code?: string };
    return { error: code, unlocks: counted.unlocks };
  }
}

/** The policy of a reader who takes this custodian and no other. */
const only = (custodian: string) => (record: PassedOn) =>
  record.keyId === manifest.keys[custodian]?.spkiSha256
    ? Promise.resolve()
    : Promise.reject(new PolicyError("ERR_TEST", "another custodian"));

/** The same with the reader made from the page, which takes a message in one piece. */
function attemptByPage(
  { file, keyBlob, custodian = "" }: Entry,
  key: string,
  options: PageOptions = {},
): Uint8Array | null {
  const keyId = Buffer.from(manifest.keys[custodian]?.spkiSha256 ?? "", "hex");
  const parts = keyBlob === undefined ? [read(file)] : [read(keyBlob), read(file)];
  try {
    const message = Buffer.concat(parts);
    return readMessage(message, pems[key] ?? "", { custodian: keyId, ...options }).plaintext;
  } catch {
    return null;
  }
}

describe("docs/format-kit", () => {
  it("is what its script makes, file by file, and nothing else", () => {
    const made = kitFiles(pems);
    const there = readdirSync(folder, { recursive: true, encoding: "utf8", withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
    const others = Object.keys(pems).map((name) => `keys/${name}.pem`);
    expect(there.sort()).toEqual([...made.keys(), ...others, "README.md"].sort());
    const different = [...made].filter(([path, bytes]) => Buffer.compare(read(path), bytes) !== 0);
    expect(different.map(([path]) => path)).toEqual([]);
  });

  it("has small files, and messages for every step of §13 but the reader's own policy", () => {
    const sizes = readdirSync(join(folder, "bad")).map((file) => read(`bad/${file}`).length);
    expect(Math.max(...sizes)).toBeLessThan(40_000);
    const steps = new Set(manifest.messages.map(({ step }) => step));
    expect([...steps].filter((step) => step !== undefined).sort((a, b) => a - b)).toEqual([
      ...[1, 2, 3, 4, 5, 6, 7, 9, 10, 12, 13, 14, 15, 16],
    ]);
  });
});

describe.each(tries.filter(([, , entry]) => entry.expect === "opens"))(
  "%s with %s",
  (_f, key, entry) => {
    it("opens, by p11seal and by a reader made from the page", async () => {
      const { plaintext = new Uint8Array(0), sender, error } = await attempt(entry, key);
      expect({ error, bytes: plaintext.length, sha256: sha256(plaintext) }).toEqual({
        error: undefined,
        bytes: entry.plaintextBytes,
        sha256: entry.plaintextSha256,
      });
      if (entry.sender !== undefined) expect(sender).toBeDefined();
      const byPage = attemptByPage(entry, key);
      expect(byPage === null ? null : sha256(byPage)).toBe(entry.plaintextSha256);
    });
  },
);

describe.each(tries.filter(([, , entry]) => entry.expect === "refused"))(
  "%s with %s",
  (_f, key, entry) => {
    it("is refused, by p11seal at its step and by a reader made from the page", async () => {
      const { error, unlocks } = await attempt(entry, key);
      expect(error).toBe(entry.error);
      expect(unlocks).toBe((entry.step ?? 0) > 10 ? 1 : 0);
      expect(attemptByPage(entry, key)).toBeNull();
    });
  },
);

describe("a reader that knows neither padding nor records", () => {
  const old = { knowsNoExtension: true };
  const since = messages.filter(({ file }) =>
    /good\/(?:padd|rewrapped|record|passed-on)/.test(file),
  );

  it("opens padded messages, and re-wrapped ones that nobody signed", () => {
    expect(since.length).toBeGreaterThan(10);
    for (const entry of since) {
      const isPassedOn = entry.custodian !== undefined;
      const opened = entry.keys.map((key) => attemptByPage(entry, key, old) !== null);
      expect([entry.file, ...opened]).toEqual([entry.file, ...opened.map(() => !isPassedOn)]);
    }
  });
});

describe("what needs no key", () => {
  const parts = messages.filter(({ keyBlob }) => keyBlob === undefined);

  it("is found without one: steps 1 to 5 and 7, and of signed messages 14 to 16", async () => {
    for (const { file, step = 0, error, sender, expect: expected } of parts) {
      const verified = await codeOf(verifySender(read(file)));
      const early = step <= 5 || (step === 7 && error !== "ERR_REWRAPPED");
      const late = sender !== undefined && step >= 15;
      if (expected === "opens") expect([file, verified]).toEqual([file, undefined]);
      else if (early || late) expect([file, verified]).toEqual([file, error]);
    }
  });
});
