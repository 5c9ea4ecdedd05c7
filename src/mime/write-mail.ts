/**
 * Mails that hold a CMS message, and the parts that are sealed in one (RFC 8551 §3). What is
 * written has lines that end with CRLF, as mail has on its way.
 */
import { ascii } from "../bytes.js";
import { remaining, type Reader } from "../stream.js";
import { base64Lines } from "./base64-lines.js";
import { CrlfConversion } from "./crlf.js";
import { startsAsHeader } from "./header-fields.js";

/** What a mail may say of the CMS message in it (RFC 8551 §3.2.2). */
export type SmimeType = "authEnveloped-data" | "enveloped-data" | "signed-data";

/** A mail with a CMS message in it; whoever sends it puts `To`, `From` and `Subject` before it. */
export async function* cmsMail(
  message: AsyncIterable<Uint8Array>,
  smimeType: SmimeType,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield ascii(
    header(
      "MIME-Version: 1.0",
      `Content-Type: application/pkcs7-mime; smime-type=${smimeType}; name="smime.p7m"`,
      "Content-Transfer-Encoding: base64",
      'Content-Disposition: attachment; filename="smime.p7m"',
    ),
  );
  yield* base64Lines(message, CRLF);
}

/**
 * Content as mail programs expect to find it in a message: with a header of its own. Content that
 * has one is passed on with its lines ended by CRLF (RFC 8551 §3.1.1); anything else becomes an
 * attachment.
 *
 * @param name - of the attachment; undefined: text without a name
 */
export async function* asMailPart(
  content: Reader,
  name: string | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (isMailPart(await content.peek(PART_START_BYTES))) {
    yield* withCrlf(remaining(content));
    return;
  }
  yield ascii(
    header(
      name === undefined
        ? "Content-Type: text/plain; charset=utf-8"
        : `Content-Type: application/octet-stream; ${parameter("name", name)}`,
      "Content-Transfer-Encoding: base64",
      ...(name === undefined
        ? []
        : [`Content-Disposition: attachment; ${parameter("filename", name)}`]),
    ),
  );
  yield* base64Lines(remaining(content), CRLF);
}

const PART_START_BYTES = 4096;

/** One that says of what type it is. Others begin with a word and a colon by accident. */
function isMailPart(start: Uint8Array): boolean {
  if (!startsAsHeader(start)) return false;
  const text = Buffer.from(start).toString("latin1");
  const [header = ""] = text.split(/\r?\n\r?\n/, 1);
  return /^content-type[ \t]*:/im.test(header);
}

/** The same text with every line ended by CRLF. */
export async function* withCrlf(
  text: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const conversion = new CrlfConversion();
  for await (const chunk of text) {
    const converted = conversion.convert(chunk);
    if (converted.length > 0) yield converted.slice();
  }
}

/** A name in ASCII as it is; another one as RFC 2231 §4 has it. */
function parameter(name: string, value: string): string {
  if (/^[ !#-[\]-~]*$/.test(value)) return `${name}="${value}"`;
  const bytes = Buffer.from(value, "utf8").toString("latin1");
  const encoded = bytes.replace(
    /[^!#$&+\-.0-9A-Z^_`a-z{|}~]/g,
    (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
  return `${name}*=utf-8''${encoded}`;
}

function header(...fields: readonly string[]): string {
  return [...fields, "", ""].join(CRLF);
}

const CRLF = "\r\n";
