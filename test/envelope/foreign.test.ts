import { describe, expect, it } from "@jest/globals";
import { ascii, concat, fromHex, toBase64, toHex } from "../../src/bytes.js";
import { FormatError } from "../../src/errors.js";
import { formatOf } from "../../src/envelope/formats.js";
import { notAMessage } from "../../src/envelope/foreign.js";
import { sealMessage } from "../../src/envelope/messages.js";
import { Reader } from "../../src/stream.js";
import { recipientOf } from "../support/identities.js";

const sealed = await sealMessage(ascii("text"), { recipients: [recipientOf("x25519")] });
const message = concat(sealed.header, await sealed.body.bytes());
const again = await sealMessage(ascii("text"), { recipients: [recipientOf("x25519")] });
const armor = Buffer.from(await again.armored().bytes()).toString("latin1");

/** As read from a file, whose first chunk has all of it. */
async function saidOf(bytes: Uint8Array): Promise<string> {
  const error = await formatOf(new Reader(bytes)).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof FormatError)) throw new Error("taken for a message");
  expect(error.code).toBe("ERR_NOT_A_MESSAGE");
  return `${error.message}; ${error.hint}`;
}

const text = (said: string) => new Uint8Array(Buffer.from(said, "latin1"));
const utf8 = (said: string) => new Uint8Array(Buffer.from(said, "utf8"));
const utf16 = (said: string) => new Uint8Array(Buffer.from(said, "utf16le"));
const latin1 = Buffer.from(message).toString("latin1");
const bigEndian = (said: string) => new Uint8Array(Buffer.from(said, "utf16le").swap16());
const lines = (said: string) => said.replaceAll(/.{64}/g, "$&\n");

describe("a message that lost its form", () => {
  it.each([
    ["LF became CRLF", text(latin1.replaceAll("\n", "\r\n")), "line ends were converted"],
    ["CRLF became LF", text(latin1.replaceAll("\r\n", "\n")), "line ends were converted"],
    ["UTF-16 with a mark", utf16(`\ufeff${latin1}`), "UTF-16 text, as PowerShell"],
    ["UTF-16 without a mark", utf16(latin1), "UTF-16 text, as PowerShell"],
    // What the code page of a Western Windows console makes of 8b.
    ["UTF-16 after code page 437", utf16(`\ufeff\u00ef${latin1.slice(1)}`), "UTF-16 text"],
    ["UTF-16 after code page 1252", utf16(`\ufeff\u2039${latin1.slice(1)}`), "UTF-16 text"],
    ["UTF-16 after UTF-8", utf16(`\ufeff\ufffd${latin1.slice(1)}`), "UTF-16 text"],
    ["UTF-16, big-endian", bigEndian(`\ufeff${latin1}`), "UTF-16 text"],
    ["UTF-8", utf8(latin1), "converted as if they were text"],
    ["UTF-8 with replacements", utf8(`\ufffd${latin1.slice(1)}`), "as if they were text"],
    ["UTF-8 with a mark", utf8(`\ufeff\ufffd${latin1.slice(1)}`), "as if they were text"],
    ["UTF-8 and CRLF", utf8(`\ufffdP11\r\n\u001a\r\n${latin1.slice(8)}`), "as if they were text"],
    ["seven bits", message.map((byte) => byte & 0x7f), "as if they were text"],
    ["question marks", text(`?${latin1.slice(1)}`), "as if they were text"],
    ["base64", text(lines(toBase64(message))), "it is in base64; decode it first: base64 -d"],
    [
      "text, in a mail",
      text(`Hello,\n\n${armor}`),
      "does not stand alone; save the lines from BEGIN",
    ],
    ["text, quoted", text(armor.replaceAll(/^/gm, "> ")), "does not stand alone"],
    ["text in UTF-16", utf16(`\ufeff${armor}`), "as UTF-8"],
    ["text in UTF-16, big-endian", bigEndian(armor), "as UTF-8"],
    ["text with another dash", text(armor.replaceAll("-----", "\x96")), "its text was changed"],
    ["base64url", text(toBase64(message).replaceAll("+", "-")), "in base64"],
    ["PEM", text(`-----BEGIN X-----\n${lines(toBase64(message))}`), "in base64"],
    [
      "a mail with base64",
      text(`From: a@b\r\nContent-Transfer-Encoding: base64\r\n\r\n${lines(toBase64(message))}`),
      "in base64",
    ],
    ["base64 in UTF-16", utf16(`\ufeff${toBase64(message)}`), "in base64, saved as UTF-16"],
    ["hexadecimal", text(toHex(message).toUpperCase()), "it is in hexadecimal; decode it"],
    ["quoted-printable", text("=8BP11=0D=0A=1A=0A"), "quoted-printable"],
    ["a line break before it", concat(ascii("\r\n"), message), "before its first byte"],
    ["a mark before it", concat(fromHex("efbbbf"), message), "before its first byte"],
  ])("is told as that: %s", async (_name, bytes, said) => {
    const found = await saidOf(bytes);
    expect(found).toMatch(/^not a p11seal message any more: /);
    expect(found).toContain(said);
  });
});

describe("a file of another program", () => {
  const part = "A".repeat(70);
  it.each([
    [
      "OpenPGP",
      text("-----BEGIN PGP MESSAGE-----\n\nhF4D"),
      "an OpenPGP message; open it with: gpg",
    ],
    ["OpenPGP", text("Hello\n-----BEGIN PGP MESSAGE-----\n"), "an OpenPGP message"],
    [
      "age in a mail",
      text("Hello\n-----BEGIN AGE ENCRYPTED FILE-----\n"),
      "an age file as text; save the lines from BEGIN",
    ],
    ["age in base64", text("YWdlLWVuY3J5cHRpb24ub3JnL3Yx\n"), "an age file in base64; decode it"],
    ["OpenPGP", text("-----BEGIN PGP SIGNED MESSAGE-----\n"), "signed with OpenPGP"],
    ["OpenPGP", text("-----BEGIN PGP SIGNATURE-----\n"), "an OpenPGP signature"],
    ["OpenPGP", text("-----BEGIN PGP PUBLIC KEY BLOCK-----\n"), "an OpenPGP key"],
    ["OpenPGP to RSA", fromHex("85010c03aabbccdd"), "an OpenPGP message"],
    ["OpenPGP to ECDH", fromHex("845e03aabbccdd"), "an OpenPGP message"],
    ["OpenPGP, new form", fromHex("c15e03aabbccdd"), "an OpenPGP message"],
    ["OpenPGP, long form", fromHex("c1ff0000010c03aabb"), "an OpenPGP message"],
    ["OpenPGP with a password", fromHex("8c0d04090308aabb"), "an OpenPGP message"],
    ["OpenPGP, encrypted data", fromHex("d2c0520109aabb"), "an OpenPGP message"],
    ["OpenPGP, compressed", fromHex("a301c891aabb"), "a compressed OpenPGP message"],
    ["OpenPGP, one-pass signature", fromHex("900d0300130a"), "signed with OpenPGP"],
    ["OpenPGP, signature", fromHex("88750400160a"), "an OpenPGP signature"],
    ["OpenPGP, key", fromHex("983304aabbcc"), "an OpenPGP key"],
    ["CMS", text("Hello\n-----BEGIN CMS-----\nMIIB"), "a CMS message in PEM that does not"],
    ["PKCS#7", text("Hello\n-----BEGIN PKCS7-----\nMIIB"), "a CMS message in PEM that does not"],
    [
      "S/MIME",
      text(
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n" +
          "Content-Type: application/pkcs7-mime; name=smime.p7m\n\nMIIB\n",
      ),
      "a mail with an S/MIME part in it; save that part",
    ],
    [
      "PGP/MIME",
      text('From: a\nContent-Type: multipart/encrypted;\n protocol="application/pgp-encrypted"\n'),
      "a mail encrypted with OpenPGP",
    ],
    [
      "a mail",
      text("Received: by mx\r\nFrom: a@b\r\nSubject: x\r\n"),
      "a mail; save the attachment",
    ],
    ["PKCS#12", fromHex("30820a0002010330820900"), "a PKCS#12 file"],
    ["PKCS#8", fromHex("308187020100301306072a86"), "a private key in DER"],
    ["SPKI", fromHex("3059301306072a8648ce3d02"), "a certificate or public key in DER"],
    ["a certificate", fromHex("308201f03082019aa003020102"), "a certificate or public key in DER"],
    ["ZIP", fromHex("504b030414000000"), "a ZIP archive; unpack it with: unzip"],
    ["gzip", fromHex("1f8b080000000000"), "gzip; unpack it first: gunzip"],
    ["xz", fromHex("fd377a585a000004"), "xz; unpack it first"],
    ["bzip2", text("BZh91AY&SY"), "bzip2"],
    ["Zstandard", fromHex("28b52ffd24aa"), "Zstandard"],
    ["7z", fromHex("377abcaf271c0004"), "a 7z archive"],
    [
      "tar",
      concat(new Uint8Array(257), ascii("ustar\u000000"), new Uint8Array(250)),
      "a tar archive",
    ],
    [
      "openssl enc",
      text("Salted__\u0001\u0002"),
      "a file of openssl enc; open it with: openssl enc -d",
    ],
    ["openssl enc -a", text("U2FsdGVkX1+abc\n"), "openssl enc in base64"],
    ["JWE", text(`eyJhbGciOiJ9.${part}.${part}.${part}.abc`), "a JWE"],
    ["JWE, direct", text(`eyJhbGciOiJkaXIifQ..${part}.${part}.abc\n`), "a JWE"],
    ["JWE in JSON", text('{"protected":"eyJ","ciphertext":"abc"}'), "a JWE"],
    ["JWT", text(`eyJhbGciOiJ9.${part}.${part}`), "a JWS or JWT"],
    ["JWK", text('{"kty":"EC"}'), "a JWK; it is a key"],
    ["minisign", text("untrusted comment: signature\nRUR"), "minisign or signify"],
    ["SSH signature", text("-----BEGIN SSH SIGNATURE-----\nU1NI"), "a signature by ssh-keygen"],
    [
      "a private key",
      text("-----BEGIN PRIVATE KEY-----\nMC4"),
      "a private key in PEM; give it with -i",
    ],
    ["a certificate", text("-----BEGIN CERTIFICATE-----\nMII"), "p11seal seal -r FILE"],
    ["an OpenSSH key", text("ssh-ed25519 AAAA"), "a public OpenSSH key"],
    ["a CryptoAPI blob", fromHex("010200001066000000a40000"), "p11seal capi receive"],
    ["Ansible Vault", text("$ANSIBLE_VAULT;1.1;AES256\n"), "ansible-vault"],
    ["Saltpack", text("BEGIN SALTPACK ENCRYPTED MESSAGE. kcJn"), "Saltpack"],
    ["Git LFS", text("version https://git-lfs.github.com/spec/v1\noid"), "git lfs pull"],
    ["a web page", text("<!DOCTYPE html>\n<html>"), "a web page; the download gave a page"],
    [
      "age in UTF-16",
      utf16("\ufeffage-encryption.org/v1\n"),
      "an age file, saved as UTF-16; save it",
    ],
    ["text in UTF-16", utf16("hello, this is no file of ours"), "text in UTF-16"],
  ])("is named, with what opens it: %s", async (_name, bytes, said) => {
    const found = await saidOf(bytes);
    expect(found).toMatch(/^not a p11seal message: it looks like /);
    expect(found).toContain(said);
    // Nothing of the file, and at most a few lines.
    expect(found).toMatch(/^[ -~…]{1,300}$/);
  });

  it.each([
    ["text", text("hello, world")],
    ["zeros", new Uint8Array(600)],
    ["an old OpenPGP tag alone", fromHex("8500000000000000")],
    ["a SEQUENCE of something else", fromHex("3082010004020000")],
    ["a number in JSON", text("{}")],
    ["P11 in a text", text("aP11\nb\n")],
  ])("is not guessed: %s", async (_name, bytes) => {
    expect(await saidOf(bytes)).toMatch(/^not a p11seal message; p11seal opens what/);
  });

  it("is named by what is at hand, without waiting for more", async () => {
    async function* stalling(): AsyncGenerator<Uint8Array> {
      yield text("Salted__\u0001\u0002");
      await new Promise(() => undefined);
    }
    await expect(formatOf(new Reader(stalling()))).rejects.toMatchObject({
      message: "not a p11seal message: it looks like a file of openssl enc",
    });
  });

  it("that is empty is called that", () => {
    expect(notAMessage(new Uint8Array(0)).message).toBe("the input is empty");
  });
});
