import { describe, expect, it } from "@jest/globals";
import { ascii, concat, fromHex } from "../../../src/bytes.js";
import { parsePublicKey } from "../../../src/keys/formats/key-file.js";
import { publicPem, TEST_KEYS } from "../../support/keys.js";
import { fixtureText, refusal } from "../support.js";

const PEM = publicPem(TEST_KEYS.p256);
const SSH = fixtureText("p256.ssh").trim();

const refused = (file: Uint8Array | string) =>
  refusal(() => parsePublicKey(typeof file === "string" ? ascii(file) : file, "key"));

function utf16(text: string, order: "le" | "be"): Uint8Array {
  const bytes = Buffer.from(text, "utf16le");
  return new Uint8Array(order === "le" ? bytes : bytes.swap16());
}

describe("a file that is no public key of ours is called by its name", () => {
  const words = Buffer.from("x".repeat(60)).toString("base64");

  it.each<[string, Uint8Array | string]>([
    ["UTF-16", utf16(PEM, "le")],
    ["UTF-16", utf16(PEM, "be")],
    ["UTF-16", utf16(`\uFEFF${PEM}`, "be")],
    ["UTF-16", utf16('{"kty":"EC"}', "le")],
    ["UTF-16", utf16(SSH, "le")],
    ["OpenSSH certificate", `ecdsa-sha2-nistp256-cert-v01@openssh.com AAAA${words} bob`],
    ["OpenSSH certificate", `ssh-rsa-cert-v01@openssh.com AAAA${words} bob`],
    ["options or a host's name before it", `no-pty,command="/bin/true" ${SSH}`],
    ["options or a host's name before it", `cert-authority ${SSH}`],
    ["options or a host's name before it", `[example.org]:22,192.0.2.1 ${SSH}`],
    ["OpenPGP key", "-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: 1\n\nmQ==\n=AAAA\n"],
    ["OpenPGP key", concat(fromHex("99010d04"), new Uint8Array(60))],
    ["OpenPGP key", concat(fromHex("983304"), new Uint8Array(60))],
    ["OpenPGP key", concat(fromHex("c633 06".replace(" ", "")), new Uint8Array(60))],
    ["SSH2", `---- BEGIN SSH2 PUBLIC KEY ----\nComment: "x"\n${words}\n`],
    ["more than one age recipient", `age1${"q".repeat(58)}\nage1${"q".repeat(58)}\n`],
    ["minisign", `untrusted comment: minisign public key\n${words}\n`],
    ["KeyInfo", "<KeyInfo><X509Data>MII=</X509Data></KeyInfo>"],
    ["certificate request", fixtureText("p256.csr.pem")],
    ["pkcs7 -in FILE -print_certs", "-----BEGIN PKCS7-----\nMAA=\n-----END PKCS7-----\n"],
  ])("%s", (name, file) => {
    const { code, text } = refused(file);
    expect(text).toContain(name);
    expect(text).not.toContain("any known form");
    expect(text).not.toContain(words.slice(0, 12));
    expect(code).toMatch(/^ERR_(?:KEY_FORMAT|KEY_TYPE|SSH_KEY)$/);
  });

  it.each<[string, Uint8Array | string]>([
    ["OpenPGP", "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQ==\n=AAAA\n"],
    ["OpenPGP, binary", concat(fromHex("95010d04"), new Uint8Array(60))],
    ["PuTTY", "PuTTY-User-Key-File-3: ssh-ed25519\n"],
    ["age", `# created: 2026\nAGE-SECRET-KEY-1${"Q".repeat(58)}\n`],
  ])("a private key of %s is refused as one", (_name, file) => {
    expect(refused(file).code).toBe("ERR_PRIVATE_KEY_AS_RECIPIENT");
  });
});

describe("indented PEM", () => {
  const other = publicPem(TEST_KEYS.rsa2048);
  const indent = (text: string, by: string) => text.replace(/^(?=.)/gm, by);
  const keyIn = (file: string) => parsePublicKey(ascii(file), "key").publicKey.spki;

  it.each([
    ["its base64 alone", PEM.replace(/^(?=[^-])/gm, "   ")],
    ["every line", indent(PEM, "    ")],
    ["every line, by tabs", indent(PEM, "\t")],
    ["every line, in YAML", `key: |\n${indent(PEM, "  ")}`],
    ["a record before it", indent(`p11seal-use: exchange\n${PEM}`, "  ")],
  ])("is read: %s", (_name, file) => {
    expect(keyIn(file)).toEqual(keyIn(PEM));
  });

  it("is text where a block begins at the start of a line, as it is for OpenSSL", () => {
    expect(keyIn(`An example:\n${indent(other, "    ")}\n${PEM}`)).toEqual(keyIn(PEM));
    expect(refused(`${PEM}${indent(other, "    ")}`).code).toBe("ERR_PEM");
  });

  it("does not let two blocks pass for one", () => {
    expect(refused(indent(PEM + other, " ")).code).toBe("ERR_PEM");
  });

  it("begins on a line of its own", () => {
    expect(refused(`key: ${PEM}`).code).not.toBe("none");
  });
});
