/** `p11seal capi hash-session-key`: CryptHashSessionKey, with CryptHashData before and after it. */
import { ascii, toHex } from "../../../bytes.js";
import {
  blobKind,
  hashParts,
  parsePlaintextKeyBlob,
  parseSimpleBlob,
  unwrapSessionKey,
  type CapiHash,
  type HashPart,
  type SessionKey,
} from "../../../capi/index.js";
import { UsageError } from "../../../errors.js";
import type { Arguments } from "../../arguments/arguments.js";
import { CapiKeys } from "./capi-keys.js";
import { smallInput } from "./capi-message.js";
import { hexBytes, keyPadding } from "./capi-parameters.js";
import { CapiUse } from "./capi-use.js";
import { requireOneStdin } from "../../io/inputs.js";
import { write } from "../../io/io.js";
import { json } from "../../io/table.js";
import { withTokens, type Tokens } from "../../find/tokens.js";
import type { Context } from "../../command.js";

export async function capiHashCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io } = context;
  const hash = args.required("hash") as CapiHash;
  const named = args.texts("part");
  const parts = named.length === 0 ? ["key"] : named;
  if (!parts.includes("key")) {
    throw new UsageError("ERR_USAGE", "no --part is key, so the session key would not be hashed");
  }
  const files = parts.flatMap((part) => (part.startsWith("file:") ? [part.slice(5)] : []));
  requireOneStdin([args.required("blob"), ...args.texts("identity"), ...files]);

  await withTokens(args, context, async (tokens) => {
    const { input, bytes } = await smallInput(args.required("blob"), io);
    await input.close();
    const data = new Map<string, Uint8Array>();
    for (const part of parts) if (part !== "key") data.set(part, await dataOf(part, context));

    const key = await sessionKey(bytes, args, tokens, context);
    try {
      const littleEndian = args.flag("little-endian");
      const inOrder = parts.map((part): HashPart => {
        return data.get(part) ?? { key: key.bytes, littleEndian };
      });
      const value = toHex(hashParts(hash, inOrder));
      const facts = { algorithm: key.algorithm, hash, value };
      await write(io.stdout, args.flag("json") ? json(facts) : `${value}\n`);
    } finally {
      key.bytes.wipe();
    }
  });
}

/**
 * A blob that doesn't decrypt also gets a key, as in `receive`. The hash of that key reveals
 * nothing.
 */
async function sessionKey(
  blob: Uint8Array,
  args: Arguments,
  tokens: Tokens,
  context: Context,
): Promise<SessionKey> {
  if (blobKind(blob) === "plaintext") return parsePlaintextKeyBlob(blob);
  const parsed = parseSimpleBlob(blob);
  const identity = args.text("identity");
  if (identity === undefined) {
    throw new UsageError("ERR_USAGE", "a SIMPLEBLOB needs the key it was made for: -i");
  }
  const use = new CapiUse("hash-session-key", context);
  use.received(blob);
  return use.record(async () => {
    const own = await new CapiKeys(tokens, context, true).exchange(identity);
    const options = {
      padding: keyPadding(args),
      rejectionSecret: await use.home.rejectionSecret(),
    };
    return (await unwrapSessionKey(parsed, use.privateKey(own), options)).key;
  });
}

async function dataOf(part: string, { io }: Context): Promise<Uint8Array> {
  const at = part.indexOf(":");
  const value = part.slice(at + 1);
  switch (part.slice(0, Math.max(at, 0))) {
    case "text":
      if (!/^[ -~]*$/.test(value)) {
        throw new UsageError("ERR_USAGE", "--part text: takes ASCII only", {
          hint: "code pages differ between programs; give the bytes with hex:",
        });
      }
      return ascii(value);
    case "hex":
      return hexBytes(value, "--part hex:");
    case "file": {
      const { input, bytes } = await smallInput(value, io);
      await input.close();
      return bytes;
    }
    default:
      throw new UsageError("ERR_USAGE", `--part takes key, text:…, hex:… or file:…, not "${part}"`);
  }
}
