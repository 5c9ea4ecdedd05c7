/**
 * `p11seal keys export`: a key's public half, for those who will seal to it; or an identity, by
 * which age finds the key.
 */
import { ascii } from "../../../bytes.js";
import { defined } from "../../../defined.js";
import { TokenError, UnsupportedError } from "../../../errors.js";
import { formatPublicKey, type PublicKeyFormat } from "../../../keys/formats/key-file.js";
import { formatAgeRecipient } from "../../../keys/formats/age-keys.js";
import type { HybridPublicKey, PublicKey } from "../../../keys/key.js";
import { fingerprintText, HYBRID_PARTS } from "../../../keys/public-key.js";
import { signingKeyAsRecipient } from "../../../keys/refusals.js";
import type { TokenService } from "../../../token/service.js";
import type { KeyInfo } from "../../../token/values.js";
import { keyName, publicHalf } from "../../../token/objects/halves.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { certificatePem } from "../../../x509/certificate-file.js";
import { certificateLine, newest } from "../../find/certificates.js";
import { ageDoubtOf, doubtOf, isSignOnly, signOnlyOf } from "../../find/token-key.js";
import { wholeKeyAt } from "../../find/hidden-keys.js";
import { hybridAt } from "../../find/hybrid-keys.js";
import { withTokens } from "../../find/tokens.js";
import { commit, fileOutput, standardOutput } from "../../io/outputs.js";
import { oneLine } from "../../../printable.js";
import { binaryToTerminal } from "../../io/terminal-guard.js";

type ExportFormat = PublicKeyFormat | "age" | "age-identity" | "cert";

export async function keysExportCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io, report } = context;
  const [text = ""] = args.operands;
  const format = args.required("format") as ExportFormat;
  const path = args.text("output");
  const binary = BINARY[format];
  if (path === undefined && binary !== undefined && io.stdout.isTTY === true) {
    throw binaryToTerminal(binary);
  }
  const hybrid = await hybridAt(text, io);
  await withTokens(args, context, async (tokens) => {
    const uri = hybrid === undefined ? tokens.uri(text) : {};
    const output =
      path === undefined || path === "-"
        ? standardOutput(io, [])
        : await fileOutput(path, { force: args.flag("force"), mode: "public", inputs: [] });
    try {
      const { bytes, notes } =
        hybrid === undefined
          ? await exported(await wholeKeyAt(uri, tokens), format, await tokens.access(), args)
          : exportedHybrid(hybrid, format);
      await output.write(bytes);
      await commit(output);
      for (const note of notes) report.note(note);
    } finally {
      await output.close();
    }
  });
}

/** What is written, and what to tell about it. */
interface Exported {
  readonly bytes: Uint8Array;
  readonly notes: readonly string[];
}

async function exported(
  key: KeyInfo,
  format: ExportFormat,
  access: TokenService,
  args: Arguments,
): Promise<Exported> {
  if (format === "cert") return certificateOf(key);
  const publicKey = publicHalf(key);
  return format === "age" || format === "age-identity"
    ? forAge(key, publicKey, format, access)
    : keyFile(key, publicKey, format, access, args.flag("probe"));
}

/** The one that was issued last; others are for messages that name them. */
function certificateOf(key: KeyInfo): Exported {
  const certificate = newest(key.certificates);
  if (certificate === undefined) {
    const fact = `there is no certificate of ${keyName(key)} on token "${key.token.label}"`;
    throw new TokenError("ERR_NO_CERTIFICATE", fact, {
      hint: "p11seal keys csr writes a request for one, keys import-cert stores it",
    });
  }
  const notes = [`certificate of ${certificateLine(certificate)}`];
  return { bytes: ascii(certificatePem(certificate)), notes };
}

function exportedHybrid(hybrid: HybridPublicKey, format: ExportFormat): Exported {
  const comment = HYBRID_PARTS[hybrid.kem].name;
  const bytes =
    format === "age"
      ? ascii(`${formatAgeRecipient(hybrid)}\n`)
      : formatPublicKey(hybrid, ofPublicKey(format), { comment, signOnly: false });
  return { bytes, notes: [`fingerprint ${fingerprintText(hybrid)}`] };
}

async function keyFile(
  key: KeyInfo,
  publicKey: PublicKey,
  format: PublicKeyFormat,
  access: TokenService,
  probe: boolean,
): Promise<Exported> {
  const notes: string[] = [];
  const plan = await access.plan(key, "open");
  let oaep = plan.sureOaep;
  if (publicKey.type === "rsa" && probe) {
    [oaep] = await access.probeOaep(key);
    if (oaep === undefined) notes.push("the token undid OAEP with none of the hashes tried");
  }
  const signOnly = signOnlyOf(key);
  const doubt = signOnly === true ? undefined : doubtOf(key, plan);
  if (doubt !== undefined) notes.push(doubt);
  const comment = oneLine(key.label);
  const bytes = formatPublicKey(publicKey, format, { comment, ...defined({ oaep, signOnly }) });
  notes.push(`fingerprint ${fingerprintText(publicKey)}`);
  const binary = BINARY[format];
  if (oaep !== undefined && binary !== undefined) {
    notes.push(`${binary} has no room for the OAEP record; senders need --oaep ${oaep}`);
  }
  return { bytes, notes };
}

/** What senders with age give to -r, or what age itself opens with. */
async function forAge(
  key: KeyInfo,
  publicKey: PublicKey,
  format: "age" | "age-identity",
  access: TokenService,
): Promise<Exported> {
  if (isSignOnly(key)) {
    throw signingKeyAsRecipient("the token shows the key as one for signatures");
  }
  const doubt = (await ageDoubtOf(key, access)) ?? doubtOf(key, await access.plan(key, "open"));
  const notes = doubt === undefined ? [] : [doubt];
  if (format === "age-identity") {
    const { formatIdentityFile } = await import("../../../plugin/plugin-identity.js");
    const told = "the identity is no secret: it names the key for age -i, which asks for the PIN";
    return { bytes: ascii(formatIdentityFile(key, publicKey)), notes: [...notes, told] };
  }
  const comment = publicKey.type === "rsa" && key.label !== "" ? ` ${oneLine(key.label)}` : "";
  const line = `${formatAgeRecipient(publicKey)}${comment}\n`;
  if (publicKey.type === "x25519") {
    notes.push("age files for it do not say so: to open them, name the key with -i");
  }
  return { bytes: new Uint8Array(Buffer.from(line)), notes };
}

const BINARY: Partial<Record<ExportFormat, string>> = {
  der: "a DER file",
  capi: "a PUBLICKEYBLOB",
};

/** @throws UnsupportedError `ERR_KEY_FORMAT`: an age identity is one key on a token */
function ofPublicKey(format: Exclude<ExportFormat, "age">): PublicKeyFormat {
  if (format === "cert") {
    throw new UnsupportedError("ERR_KEY_FORMAT", "a hybrid key has no certificate");
  }
  if (format !== "age-identity") return format;
  throw new UnsupportedError("ERR_KEY_FORMAT", "a hybrid key has no identity for age", {
    hint: "p11seal open -i FILE opens with it",
  });
}
