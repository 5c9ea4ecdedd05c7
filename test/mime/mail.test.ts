/** Mails: which of them hold a CMS message or a signature, and their bytes exactly. */
import { describe, expect, it } from "@jest/globals";
import { ascii } from "../../src/bytes.js";
import { addressesIn, enterMail, mailAhead, type Mail } from "../../src/mime/mail.js";
import { asMailPart, cmsMail, withCrlf } from "../../src/mime/write-mail.js";
import { collect, chunks, Reader } from "../../src/stream.js";
import { codeOf, DELIVERIES, inSteps } from "../support/streams.js";
import { describeVectors, vectorFile } from "../support/vectors.js";

const B64 = "MIIRpwYJKoZIhvcNAQcDoIIRmDCCEZQCAQA=";
const CMS = new Uint8Array(Buffer.from(B64, "base64"));

async function read(mail: string | Uint8Array): Promise<Mail> {
  return mailAhead(new Reader(typeof mail === "string" ? ascii(mail) : mail));
}

/** The content of a mail, and its signature where it has one. */
async function contentOf(
  mail: string | Uint8Array,
  deliver: (typeof DELIVERIES)[number][1] = (bytes) => bytes,
): Promise<{ mail: Mail; content: string; signature: Uint8Array | undefined }> {
  const reader = new Reader(deliver(typeof mail === "string" ? ascii(mail) : mail));
  const found = await mailAhead(reader);
  if (found.kind === "other") throw new Error(`a mail of type ${found.type}`);
  await enterMail(reader, found);
  const parts: Uint8Array[] = [];
  for (let part = await reader.upTo(7); part.length > 0; part = await reader.upTo(7)) {
    parts.push(part);
  }
  const content = Buffer.concat(parts).toString("latin1");
  const signature = found.kind === "signed" ? await found.signature() : undefined;
  return { mail: found, content, signature };
}

/** A mail with a CMS message. */
function cms(fields: readonly string[] = [], body = B64, lineBreak = "\r\n"): string {
  const type = "Content-Type: application/pkcs7-mime; smime-type=authEnveloped-data";
  return [type, "Content-Transfer-Encoding: base64", ...fields, "", body, ""].join(lineBreak);
}

interface Parts {
  readonly boundary?: string;
  readonly preamble?: string;
  readonly content?: string;
  readonly signature?: readonly string[];
  readonly end?: string;
}

/** A signed mail of two parts. */
function signed({
  boundary = "b",
  preamble = "",
  content = "Content-Type: text/plain\n\nhello\n",
  signature = [
    "Content-Type: application/pkcs7-signature; name=smime.p7s",
    "Content-Transfer-Encoding: base64",
    "",
    B64,
  ],
  end = `--${boundary}--\n`,
}: Parts = {}): string {
  const type = 'Content-Type: multipart/signed; protocol="application/pkcs7-signature"';
  return [
    `${type}; micalg=sha-256; boundary="${boundary}"`,
    "",
    `${preamble}--${boundary}`,
    content,
    `--${boundary}`,
    ...signature,
    end,
  ].join("\n");
}

describe("a mail with a CMS message", () => {
  it.each(DELIVERIES)("gives the message, delivered %s", async (_name, deliver) => {
    const folded = cms(["Subject: a\r\n folded\r\n\tsubject", "From: Bob <bob@example.com>"]);
    const { mail, content } = await contentOf(folded, deliver);
    expect(Buffer.from(content, "latin1").equals(CMS)).toBe(true);
    expect(mail).toMatchObject({ kind: "cms", smimeType: "authenveloped-data" });
    expect(mail.from).toEqual(["bob@example.com"]);
  });

  it.each([
    ["x-pkcs7-mime", "Content-Type: application/x-pkcs7-mime"],
    ["capitals", "CONTENT-TYPE: Application/PKCS7-MIME; SMIME-TYPE=enveloped-data;"],
    ["a comment", "Content-Type: application/pkcs7-mime (S/MIME; (nested\\)) ok) ; name=x"],
    ["a renamed type", "Content-Type: application/octet-stream; name=SMIME.P7M"],
    ["a name in pieces", "Content-Type: application/octet-stream; name*0=smi; name*1*=me%2ep7m"],
    ["an encoded name", "Content-Type: application/octet-stream; name*=utf-8''sm%C3%AFme.p7m"],
  ])("is known by %s", async (_name, type) => {
    const text = `${type}\nContent-Transfer-Encoding: BASE64\n\n${B64}\n`;
    const { content } = await contentOf(text);
    expect(Buffer.from(content, "latin1").equals(CMS)).toBe(true);
  });

  it.each(["binary", "8bit", undefined])("may be in %s", async (encoding) => {
    const field = encoding === undefined ? "" : `Content-Transfer-Encoding: ${encoding}\n`;
    const head = ascii(`Content-Type: application/pkcs7-mime\n${field}\n`);
    const { content } = await contentOf(Buffer.concat([head, CMS]));
    expect(Buffer.from(content, "latin1").equals(CMS)).toBe(true);
  });

  it("takes base64 in lines of any length, with blanks at their ends", async () => {
    const broken = B64.replace(/.{5}/g, "$& \r\n\t");
    const { content } = await contentOf(cms([], `${broken}\n\n`));
    expect(Buffer.from(content, "latin1").equals(CMS)).toBe(true);
  });

  it.each([
    ["a foreign character", `${B64.slice(0, 8)}*${B64.slice(8)}`, "ERR_MAIL"],
    ["text behind the padding", `${B64}AAAA`, "ERR_MAIL"],
    ["a footer", `${B64}\n--\nSent by a list`, "ERR_MAIL"],
    ["bits behind the last byte", `${B64.slice(0, -2)}B=`, "ERR_MAIL"],
    ["too much padding", `${B64}=`, "ERR_MAIL"],
    ["padding alone", `${B64.slice(0, 32)}====`, "ERR_MAIL"],
    ["missing padding", B64.slice(0, -1), "ERR_TRUNCATED"],
    ["a cut group", B64.slice(0, 9), "ERR_TRUNCATED"],
  ])("refuses base64 with %s", async (_name, body, code) => {
    expect(await codeOf(contentOf(cms([], body)))).toBe(code);
  });

  it.each([
    ["Content-Type twice", cms(["Content-Type: text/plain"])],
    ["Content-Transfer-Encoding twice", cms(["content-transfer-encoding: 7bit"])],
    ["a line that is no field", cms(["no field"])],
    ["a bare carriage return", cms(["Subject: a\rContent-Type: text/plain"])],
    ["a NUL", cms(["Subject: a\0b"])],
    ["a parameter twice", "Content-Type: text/plain; a=1; A=2\n\n"],
    ["a parameter twice in two forms", "Content-Type: text/plain; a=1; a*=''2\n\n"],
    ["a parameter whose first piece is missing", "Content-Type: text/plain; a*1=1\n\n"],
    ["a piece twice in two forms", "Content-Type: text/plain; a*0=1; a*0*=''1\n\n"],
    ["an open comment", "Content-Type: text/plain (a\n\n"],
    ["no type", "Content-Type: ;a=b\n\n"],
    ["a header without an end", `Subject: ${"a".repeat(300_000)}`],
    ["too many fields", `${"A: b\n".repeat(2049)}\n`],
  ])("refuses %s", async (_name, mail) => {
    expect(await codeOf(read(mail))).toBe("ERR_MAIL");
  });

  it("refuses an encoding it does not know", async () => {
    const mail = "Content-Type: application/pkcs7-mime\nContent-Transfer-Encoding: uuencode\n\n";
    expect(await codeOf(read(mail))).toBe("ERR_MAIL_ENCODING");
  });

  it.each([
    ["text", "Subject: hello\n\nhello", "text/plain"],
    ["PGP", "Content-Type: multipart/signed; protocol=application/pgp-signature; boundary=a\n\n"],
    ["several parts", "Content-Type: multipart/mixed; boundary=a\n\n--a\n", "multipart/mixed"],
  ])("is not one of %s", async (_name, mail, type = "multipart/signed") => {
    expect(await read(mail)).toMatchObject({ kind: "other", type });
  });
});

describe("a signed mail of two parts", () => {
  it.each(DELIVERIES)("gives what was signed exactly, delivered %s", async (_name, deliver) => {
    const { mail, content, signature } = await contentOf(signed(), deliver);
    expect(content).toBe("Content-Type: text/plain\n\nhello\n");
    expect(Buffer.from(signature ?? []).equals(CMS)).toBe(true);
    expect(mail).toMatchObject({ kind: "signed", micalg: ["sha-256"] });
  });

  it.each([
    ["empty lines at its end", "a\n\n\n"],
    ["no line break at its end", "a"],
    ["blanks at its end", "a \t"],
    ["nothing", ""],
    ["a carriage return at its end", "a\r\n\r"],
    ["the boundary within a line", "a --b\n --b\n-b\nx--b--"],
    ["nested parts", 'Content-Type: multipart/mixed; boundary="c"\n\n--c\n\nx\n--c--\n'],
    ["much", "0123456789abcdef\r\n".repeat(5000)],
  ])("keeps %s", async (_name, content) => {
    for (const text of [signed({ content }), signed({ content }).replace(/\r?\n/g, "\r\n")]) {
      const isCrlf = !/[^\r]\n/.test(text);
      const expected = isCrlf ? content.replace(/\r?\n/g, "\r\n") : content;
      // What is before the boundary's line break belongs to the content, a carriage return not.
      const exact = expected.endsWith("\r") ? expected.slice(0, -1) : expected;
      for (const [, deliver] of DELIVERIES) {
        expect((await contentOf(text, deliver)).content).toBe(exact);
      }
    }
  });

  it("passes over text before the first boundary and blanks behind the last", async () => {
    const mail = signed({ preamble: "This is a multi-part message.\n\n", end: "--b-- \t\r\n\r\n" });
    expect((await contentOf(mail)).content).toBe("Content-Type: text/plain\n\nhello\n");
    const withoutLineBreak = signed({ end: "--b--" });
    expect((await contentOf(withoutLineBreak)).content).toContain("hello");
  });

  it.each([
    ["a third part", signed({ end: "--b\n\nmore\n--b--\n" }), "ERR_MAIL"],
    ["a third part without content", signed({ end: "--b\n\n--b--\n" }), "ERR_MAIL"],
    ["a first boundary that goes on", signed().replace("--b\n", "--b c\n"), "ERR_MAIL"],
    ["one part", "one", "ERR_MAIL"],
    ["text behind the last boundary", signed({ end: "--b--\nmore\n" }), "ERR_MAIL"],
    ["a boundary that goes on", signed({ content: "x\n--bc\ny" }), "ERR_MAIL"],
    ["a boundary with endless blanks", signed({ content: `--b${" ".repeat(400)}` }), "ERR_MAIL"],
    ["no last boundary", signed({ end: "" }), "ERR_TRUNCATED"],
    ["no boundary at all", signed({ boundary: "c" }).replace('="c', '="d'), "ERR_TRUNCATED"],
    ["an empty boundary", signed({ boundary: "" }), "ERR_MAIL"],
    ["a boundary that ends with a blank", signed({ boundary: "a " }), "ERR_MAIL"],
    ["much before the first boundary", signed({ preamble: "x\n".repeat(40_000) }), "ERR_MAIL"],
    ["a second part of another type", signed({ signature: ["", "x"] }), "ERR_MAIL"],
    [
      "a signature in an unknown encoding",
      signed().replace("Encoding: base64", "Encoding: x-none"),
      "ERR_MAIL_ENCODING",
    ],
  ])("refuses %s", async (name, mail, code) => {
    const one = signed().replace(/\n--b\nContent-Type: application[^]*$/, "\n--b--\n");
    expect(await codeOf(contentOf(name === "one part" ? one : mail))).toBe(code);
  });

  it("refuses a signature part that is too long", async () => {
    const signature = ["Content-Type: application/pkcs7-signature", "", "A".repeat(9_000_000)];
    expect(await codeOf(contentOf(signed({ signature })))).toBe("ERR_MAIL");
  });

  it("ends nowhere early: cut anywhere, it is refused", async () => {
    const whole = signed();
    const body = whole.indexOf("\n\n") + 2;
    for (let cut = body; cut < whole.length - "--\n".length; cut++) {
      expect(await codeOf(contentOf(whole.slice(0, cut)))).toMatch(/^ERR_(?:TRUNCATED|MAIL)$/);
    }
  });
});

describe("a mail that is written", () => {
  it("is read back, in base64 with lines of 64 characters that end with CRLF", async () => {
    const message = new Uint8Array(100_000).map((_, index) => index * 7);
    const mail = await collect(cmsMail(inSteps(message, 1000), "authEnveloped-data"));
    expect((await contentOf(mail)).content).toBe(Buffer.from(message).toString("latin1"));
    const [header = "", body = ""] = Buffer.from(mail).toString("latin1").split("\r\n\r\n");
    expect(header.split("\r\n")).toHaveLength(4);
    expect(body).toMatch(/^(?:[A-Za-z0-9+/=]{64}\r\n)+[A-Za-z0-9+/=]{1,64}\r\n$/);
  });

  const part = async (content: string, name?: string): Promise<string> =>
    Buffer.from(await collect(asMailPart(new Reader(ascii(content)), name))).toString("latin1");

  it("takes content with a Content-Type as it is, but for line ends", async () => {
    const content = "Content-Type: text/plain\n\na\r\nb\n\r\n";
    expect(await part(content, "x")).toBe("Content-Type: text/plain\r\n\r\na\r\nb\r\n\r\n");
  });

  it("makes an attachment of any other content", async () => {
    const text = await part("Note: hello", "report 1.pdf");
    expect(text).toContain('filename="report 1.pdf"');
    expect(text.endsWith(`\r\n\r\n${btoa("Note: hello")}\r\n`)).toBe(true);
    expect(await part("x", 'Bü"ro\n.txt')).toContain("filename*=utf-8''B%C3%BC%22ro%0A.txt");
    expect(await part("x")).toMatch(/^Content-Type: text\/plain; charset=utf-8\r\n/);
  });

  it("ends each line with CRLF wherever chunks are cut", async () => {
    const text = ascii("a\r\nb\nc\r\r\n\n");
    for (const [, deliver] of DELIVERIES) {
      const converted = await collect(withCrlf(chunks(deliver(text))));
      expect(Buffer.from(converted).toString()).toBe("a\r\nb\r\nc\r\r\n\r\n");
    }
  });
});

describe("addresses", () => {
  it.each([
    ["bob@example.com", ["bob@example.com"]],
    ['"alice@example.com" <bob@example.com>', ["bob@example.com"]],
    ["Bob (alice@example.com) <bob@example.com>, carol@x.y", ["bob@example.com", "carol@x.y"]],
    ["alice@example.com bob@example.com", []],
    ["", []],
  ])("in %s", (field, addresses) => {
    expect(addressesIn(field)).toEqual(addresses);
  });
});

describeVectors("mails of other programs", () => {
  it("have the CMS messages they are known for", async () => {
    const generated = await contentOf(vectorFile("generated/cms/smime-cbc.eml"));
    expect(generated.mail).toMatchObject({ kind: "cms", smimeType: "enveloped-data" });
    expect(Buffer.from(generated.content.slice(0, 2), "latin1").toString("hex")).toBe("3082");

    const opaque = await contentOf(vectorFile("cms-rfc4134/4.9.eml"));
    expect(opaque.mail).toMatchObject({
      smimeType: "signed-data",
      from: ["aliceDss@examples.com"],
    });
    // RFC 4134 §4.9 and §4.8: the content, as it is in the file of the first and hashed in both.
    expect(opaque.content).toContain("\r\nThis is some sample content.");

    const detached = await contentOf(vectorFile("cms-rfc4134/4.8.eml"));
    const crlf = await collect(withCrlf(chunks(Buffer.from(detached.content, "latin1"))));
    expect(Buffer.from(crlf).toString()).toBe("\r\nThis is some sample content.");
    const signed = Buffer.from(detached.signature ?? []);
    expect(signed.subarray(0, 2).toString("hex")).toBe("3082");
    expect(signed.length).toBe(signed.readUInt16BE(2) + 4);
  });
});
