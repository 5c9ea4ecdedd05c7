/**
 * PEM (RFC 7468): a label, base64 between two lines, and text before them that other tools ignore.
 * Stricter than most readers: base64 must be canonical, and only blanks may follow the last block.
 *
 * Lines of base64 may be indented (RFC 7468 §2), and so may whole blocks, as in YAML or XML; but
 * only where no block begins at the start of a line. Beside one that does, an indented block is
 * text, such as an example in a comment. OpenSSL sees it so too: two readers that take different
 * keys from one file would be a danger.
 */
import { fromBase64, toBase64 } from "../bytes.js";
import { FormatError } from "../errors.js";

export interface PemBlock {
  /** Between `BEGIN` and the dashes, such as `PUBLIC KEY`. */
  readonly label: string;
  /** The decoded base64. */
  readonly bytes: Uint8Array;
  /** The lines of text before this block, from the previous block or the start. */
  readonly before: readonly string[];
  /** True for RFC 1421's headers (`Proc-Type: …`), which mean a legacy encrypted key. */
  readonly hasHeaders: boolean;
}

/** True if a line of the text begins a block. */
export function looksLikePem(text: string): boolean {
  return /^[ \t]*-----BEGIN /m.test(text);
}

/**
 * All blocks of the text, in order. Never quotes the text: it may be a private key.
 *
 * @throws FormatError `ERR_PEM`.
 */
export function parsePem(text: string): PemBlock[] {
  const blocks: PemBlock[] = [];
  const isIndented = !/^-----BEGIN /m.test(text);
  const written = text.split(/\r?\n/);
  const lines = written.map((line) => line.trim());
  let before: string[] = [];
  let index = 0;
  while (index < lines.length) {
    const line = lines[index] as string;
    const begins = isIndented ? line : (written[index] as string);
    index++;
    if (!begins.startsWith("-----BEGIN ")) {
      before.push(line);
      continue;
    }
    const label = BEGIN.exec(line)?.[1];
    if (label === undefined || label.length > 40)
      throw new FormatError("ERR_PEM", `line ${index} is not a PEM label`);
    const end = lines.indexOf(`-----END ${label}-----`, index);
    if (end < 0) {
      throw new FormatError("ERR_PEM", `PEM block ${label} has no END line`, {
        hint: "the file is cut off, or its END line is damaged",
      });
    }
    const body = lines.slice(index, end);
    const hasHeaders = body.some((bodyLine) => bodyLine.includes(":"));
    blocks.push({ label, bytes: hasHeaders ? NOTHING : decode(body, label), before, hasHeaders });
    before = [];
    index = end + 1;
  }
  if (blocks.length > 0 && before.some((line) => line !== "")) {
    throw new FormatError("ERR_PEM", "text after the last PEM block");
  }
  return blocks;
}

/** One block with lines of 64 characters, preceded by the given lines of text. */
export function formatPem(
  label: string,
  bytes: Uint8Array,
  before: readonly string[] = [],
): string {
  const body = toBase64(bytes).match(/.{1,64}/g) ?? [];
  return [...before, `-----BEGIN ${label}-----`, ...body, `-----END ${label}-----`, ""].join("\n");
}

function decode(lines: readonly string[], label: string): Uint8Array {
  try {
    return fromBase64(lines.join(""));
  } catch {
    throw new FormatError("ERR_PEM", `PEM block ${label} is not canonical base64`);
  }
}

const BEGIN = /^-----BEGIN ([A-Z0-9]+(?: [A-Z0-9]+)*)-----$/;
const NOTHING = new Uint8Array(0);
