/** `p11seal keys import-cert`: a certificate beside its key on a token. */
import { equal } from "../../../bytes.js";
import { P11SealError, TokenError, UsageError } from "../../../errors.js";
import type { PublicKey } from "../../../keys/key.js";
import { keyInSpki } from "../../../keys/public-key.js";
import type { KeyInfo, StoredCertificate, WithOthers } from "../../../token/values.js";
import type { Certificate } from "../../../x509/certificate.js";
import { readableCertificates } from "../../../x509/certificate-file.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { certificatesAt } from "../../find/certificate-files.js";
import { certificateData, certificateLine } from "../../find/certificates.js";
import { keyAt, withHalf } from "../../find/hidden-keys.js";
import { type Tokens, withTokens } from "../../find/tokens.js";
import { write } from "../../io/io.js";
import { json, table } from "../../io/table.js";

export async function keysImportCertCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io, report } = context;
  const [text = "", path = ""] = args.operands;
  const withOthers = othersOf(args);
  const certificates = (await certificatesAt([path], io)).flatMap(certified);
  await withTokens(args, context, async (tokens) => {
    const key = await wholeKey(text, certificates, tokens);
    const own = certificates.find(({ publicKey }) => isOf(key, publicKey));
    if (own === undefined) {
      const fact = `${path}: no certificate of ${key.uri}`;
      throw new TokenError("ERR_CERTIFICATE_MISMATCH", fact, {
        hint: "its certificates have other public keys; p11seal keys list shows the tokens' keys",
      });
    }
    const { certificate } = own;
    const access = await tokens.access();
    const stored = await access
      .storeCertificate(key, certificate.der, withOthers)
      .catch((error: unknown) => {
        throw advised(error, key);
      });
    const data = { uri: key.uri, ...stored, certificate: certificateData(certificate) };
    await write(io.stdout, args.flag("json") ? json(data) : describe(key, certificate, stored));
    const more = certificates.length - 1;
    if (more > 0) report.note(`${path}: ${more} other certificate(s) in it were not stored`);
  });
}

interface Certified {
  readonly certificate: Certificate;
  readonly publicKey: PublicKey;
}

/** A certificate of a key of another kind is no key's of ours; in a chain that is no fault. */
function certified(certificate: Certificate): Certified[] {
  try {
    return [{ certificate, publicKey: keyInSpki(certificate.spki).publicKey }];
  } catch (error) {
    if (error instanceof P11SealError) return [];
    throw error;
  }
}

/** The certificate can tell the public half of a private key alone; the token proves it. */
async function wholeKey(
  text: string,
  certificates: readonly Certified[],
  tokens: Tokens,
): Promise<KeyInfo> {
  const uri = tokens.uri(text);
  const key = await keyAt(uri, tokens);
  if (key.publicKey !== undefined) return key;
  const candidates = certificates.map(({ publicKey }) => publicKey);
  return (await withHalf(key, candidates, await tokens.access())) ?? key;
}

function isOf({ publicKey }: KeyInfo, other: PublicKey): boolean {
  return publicKey !== undefined && equal(publicKey.fingerprint, other.fingerprint);
}

/** @throws UsageError */
function othersOf(args: Arguments): WithOthers {
  const [add, replace] = [args.flag("add"), args.flag("replace")];
  if (add && replace) throw new UsageError("ERR_USAGE", "--add and --replace exclude each other");
  return add ? "keep" : replace ? "replace" : "refuse";
}

function advised(error: unknown, key: KeyInfo): unknown {
  if (!(error instanceof TokenError) || error.code !== "ERR_CERTIFICATE_EXISTS") return error;
  const lines = readableCertificates(key.certificates).map(certificateLine);
  return new TokenError(error.code, [error.message, ...lines].join(": "), {
    hint: "--add keeps it beside the new one, for messages that name it; --replace deletes it",
    cause: error,
  });
}

function describe(key: KeyInfo, certificate: Certificate, stored: StoredCertificate): string {
  return table([
    ["key", key.uri],
    ["certificate", certificateLine(certificate)],
    ["issuer", certificateData(certificate).issuer],
    ["on the token", DONE[stored.done]],
  ]);
}

const DONE: Readonly<Record<StoredCertificate["done"], string>> = {
  nothing: "it was there already",
  added: "stored",
  replaced: "stored, instead of the one before",
};
