/** `p11seal keys csr`: a request for a key's certificate, signed by the key. */
import { ascii } from "../../../bytes.js";
import { P11SealError, TokenError, UsageError } from "../../../errors.js";
import { formatPem } from "../../../asn1/pem.js";
import { certificateRequest, type RequestedNames } from "../../../keys/certificate-request.js";
import type { Identity, PrivateKey, SigningPublicKey } from "../../../keys/key.js";
import { naming } from "../../../keys/refusals.js";
import { requireSigner } from "../../../keys/signer-strength.js";
import { WITHOUT_REQUEST } from "../../../token/objects/request-key.js";
import { isPkcs11Uri } from "../../../token/uri.js";
import type { KeyUse } from "../../../token/values.js";
import { nameFromText } from "../../../x509/name-from-text.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { wholeKeyAt } from "../../find/hidden-keys.js";
import { identityAt } from "../../find/identity-at.js";
import { type Tokens, withTokens } from "../../find/tokens.js";
import { commit, fileOutput, standardOutput } from "../../io/outputs.js";
import { binaryToTerminal } from "../../io/terminal-guard.js";

export async function keysCsrCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io, report } = context;
  const [text = ""] = args.operands;
  const names = requestedNames(args);
  const isDer = args.required("format") === "der";
  const path = args.text("output");
  if (path === undefined && isDer && io.stdout.isTTY === true) {
    throw binaryToTerminal("a request in DER");
  }
  await withTokens(args, context, async (tokens) => {
    const { identity, uses } = await signer(text, tokens, context).catch(explained);
    naming(identity.name, () => requireSigner(identity.publicKey));
    const output =
      path === undefined || path === "-"
        ? standardOutput(io, [])
        : await fileOutput(path, { force: args.flag("force"), mode: "public", inputs: [] });
    try {
      const request = await certificateRequest(await unlock(identity), names, uses);
      await output.write(isDer ? request : requestPem(request));
      await commit(output);
    } finally {
      await output.close();
    }
    if (path !== undefined && path !== "-") report.note(`${path}: send it to your CA`);
  });
}

/**
 * What `--subject` and `--mail` say; without a subject, the first address is its common name.
 *
 * @throws UsageError `ERR_USAGE`; FormatError as `nameFromText`
 */
export function requestedNames(args: Arguments): RequestedNames {
  const mail = args.texts("mail");
  const [address] = mail;
  const subject = args.text("subject");
  if (subject !== undefined) {
    nameFromText(subject); // Refused before a token is looked for.
    return { subject, mail };
  }
  if (address === undefined) {
    throw new UsageError("ERR_USAGE", "a request needs a name: --subject, or --mail", {
      hint: "as in --subject 'CN=Bob Example,O=Example' --mail bob@example.org",
    });
  }
  return { subject: `CN=${address.replace(/[,+\\]/g, "\\$&")}`, mail };
}

export function requestPem(request: Uint8Array): Uint8Array {
  return ascii(formatPem("CERTIFICATE REQUEST", request));
}

/** What the certificate is to allow is what the key does; a key file doesn't say that. */
async function signer(
  text: string,
  tokens: Tokens,
  context: Context,
): Promise<{
  readonly identity: Identity<SigningPublicKey>;
  readonly uses: readonly KeyUse[];
}> {
  if (!isPkcs11Uri(text)) {
    return { identity: await identityAt(text, "x509-sign", tokens, context), uses: [] };
  }
  const key = await wholeKeyAt(tokens.uri(text), tokens);
  const access = await tokens.access();
  return { identity: access.identity(key, "x509-sign"), uses: key.uses };
}

function unlock(identity: Identity<SigningPublicKey>): Promise<PrivateKey<SigningPublicKey>> {
  return identity.unlock().catch(explained);
}

/** A key for exchange alone is what the key policy wants: the advice is not to make another. */
function explained(error: unknown): never {
  if (!(error instanceof P11SealError) || !CANNOT_SIGN.has(error.code)) throw error;
  throw new TokenError(error.code, error.message, {
    hint:
      "a request is signed by its key: p11seal keys generate --csr makes an exchange key that " +
      `signs its request and nothing else; or ${WITHOUT_REQUEST}`,
    cause: error,
  });
}

const CANNOT_SIGN: ReadonlySet<string> = new Set(["ERR_MECHANISM", "ERR_SIGNING_KEY"]);
