/** `p11seal keys list`: the keys that tokens show without a PIN. */
import { equal, toHex } from "../../../bytes.js";
import { defined } from "../../../defined.js";
import { formatAgeRecipient, isAgeAddressable } from "../../../keys/formats/age-keys.js";
import type { HybridPublicKey } from "../../../keys/key.js";
import { fingerprintText, HYBRID_PARTS } from "../../../keys/public-key.js";
import type { Pkcs11Uri } from "../../../token/uri.js";
import type { KeyInfo } from "../../../token/values.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { certificateData, certificateLine } from "../../find/certificates.js";
import { keysAt } from "../../find/hidden-keys.js";
import { hybridAt } from "../../find/hybrid-keys.js";
import { isSignOnly } from "../../find/token-key.js";
import { type Tokens, withTokens } from "../../find/tokens.js";
import {
  decisive,
  overlookedText,
  silentTokens,
  troubleError,
  troubleText,
  whyEmpty,
} from "../../find/troubles.js";
import { write } from "../../io/io.js";
import { json, table } from "../../io/table.js";
import { readableCertificates } from "../../../x509/certificate-file.js";

export async function keysListCommand(args: Arguments, context: Context): Promise<undefined> {
  const [text] = args.operands;
  const hybrid = text === undefined ? undefined : await hybridAt(text, context.io);
  await withTokens(args, context, async (tokens) => {
    const uri = text === undefined || hybrid !== undefined ? undefined : tokens.uri(text);
    const access = await tokens.access();
    const shown = uri === undefined ? await access.keys() : await listed(uri, tokens, args);
    const keys = hybrid === undefined ? shown : shown.filter((key) => isHalf(key, hybrid));
    const { stdout } = context.io;
    await write(
      stdout,
      args.flag("json")
        ? json({ keys: keys.map((key) => asData(key, hybrid)) })
        : describe(keys, hybrid, stdout.columns),
    );
    const troubles = await access.troubles(uri);
    const trouble = decisive(troubles);
    if (trouble !== undefined && (keys.length === 0 || trouble.at === "module")) {
      throw troubleError(trouble);
    }
    for (const one of troubles) {
      if (one.at === "slot" || one.at === "token")
        context.report.note(`not listed: ${troubleText(one)}`);
    }
    if (keys.length === 0) {
      context.report.note((await whyEmpty(uri ?? {}, access)) ?? "no key was found");
      for (const line of overlookedText(troubles)) context.report.note(line);
    }
    for (const line of await hiding(uri, keys, tokens)) context.report.note(line);
  });
}

/** Which tokens may have keys that are not listed, and how to list them. */
async function hiding(
  uri: Pkcs11Uri | undefined,
  keys: readonly KeyInfo[],
  tokens: Tokens,
): Promise<string[]> {
  if (uri !== undefined) {
    const depth = keys.length === 0 ? await tokens.depth(uri) : undefined;
    return depth?.kind === "none" && depth.reason !== undefined ? [depth.reason] : [];
  }
  return silentTokens(await tokens.access(), (name) => `p11seal keys list '${name}'`);
}

/** A PIN source on the command line says to show all; else a login comes only where none shows. */
async function listed(
  uri: Pkcs11Uri,
  tokens: Tokens,
  args: Arguments,
): Promise<readonly KeyInfo[]> {
  const access = await tokens.access();
  if (args.text("pin-source") !== undefined && (await tokens.depth(uri)).kind === "login") {
    await access.logIn(uri);
  }
  return keysAt(uri, tokens);
}

/** True for the half on a token of the hybrid key whose file is the operand. */
function isHalf({ publicKey }: KeyInfo, { dh }: HybridPublicKey): boolean {
  return publicKey !== undefined && equal(publicKey.fingerprint, dh.fingerprint);
}

function asData(key: KeyInfo, hybrid: HybridPublicKey | undefined): unknown {
  return {
    uri: key.uri,
    label: key.label,
    id: toHex(key.id),
    kind: key.kind,
    uses: key.uses,
    fingerprint: key.publicKey === undefined ? null : fingerprintText(key.publicKey),
    age: ageRecipientOf(key) ?? null,
    seenAs: key.seenAs,
    certificates: readableCertificates(key.certificates).map(certificateData),
    token: key.token,
    ...defined({
      halfOf: hybrid && {
        kind: HYBRID_PARTS[hybrid.kem].name,
        fingerprint: fingerprintText(hybrid),
      },
    }),
  };
}

/** How senders with age address the key; undefined where they can't, or the key only signs. */
function ageRecipientOf(key: KeyInfo): string | undefined {
  const { publicKey } = key;
  if (publicKey === undefined || isSignOnly(key) || !isAgeAddressable(publicKey)) return undefined;
  return formatAgeRecipient(publicKey);
}

function describe(
  keys: readonly KeyInfo[],
  hybrid: HybridPublicKey | undefined,
  columns: number | undefined,
): string {
  const halfOf = hybrid && `half of ${HYBRID_PARTS[hybrid.kem].name} ${fingerprintText(hybrid)}`;
  return table(
    keys.map((key) => [
      key.label === "" ? "(no label)" : key.label,
      key.kind,
      key.uses.join("+") || "no use",
      key.publicKey === undefined ? "public half not found" : fingerprintText(key.publicKey),
      // An OpenSSH line would fill the screen.
      key.publicKey?.type === "rsa" ? "" : (ageRecipientOf(key) ?? ""),
      key.uri,
      ...readableCertificates(key.certificates).map(
        (one) => `certificate: ${certificateLine(one)}`,
      ),
      ...(halfOf === undefined ? [] : [halfOf]),
    ]),
    columns,
  );
}
