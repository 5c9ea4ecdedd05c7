/**
 * Messages sealed as CMS: AuthEnvelopedData with AES-256-GCM (RFC 5083, RFC 5084) or, in the
 * windows profile, EnvelopedData with AES-256-CBC (RFC 5652 §6), which vouches for nothing.
 *
 * There is no header that could stand by itself. Authenticated attributes are never written: many
 * readers can't read them.
 */
import { randomBytes } from "node:crypto";
import { concat } from "../../bytes.js";
import { UsageError } from "../../errors.js";
import { Secret } from "../../secret.js";
import { Reader, remaining } from "../../stream.js";
import { asMailPart, cmsMail } from "../../mime/write-mail.js";
import type { BegunSealing } from "../envelope.js";
import type { CmsSealOptions, SealOptions } from "../seal-options.js";
import { derSetOf } from "./attributes.js";
import { cmsMessageId } from "./message-id.js";
import { signData } from "./sign-data.js";
import { cbcEncryption, gcmEncryption, sealed } from "./write-content.js";
import { cmsAddressees, recipientInfo, version } from "./write-recipients.js";

/** @throws as `cmsAddressees`; UsageError `ERR_FORMAT_OPTION` */
export function beginSealing(options: SealOptions): BegunSealing {
  refuseOptions(options);
  const addressees = cmsAddressees(options);
  const cms = options.cms ?? {};
  const contentKey = new Secret(new Uint8Array(randomBytes(CONTENT_KEY_BYTES)));
  try {
    const infos = addressees.map((addressee) => recipientInfo(addressee, contentKey));
    const recipientInfos = derSetOf(infos);
    const isForWindows = cms.profile === "windows";
    const encryption = isForWindows ? cbcEncryption(contentKey) : gcmEncryption(contentKey);
    // RFC 5652 §6.1: 0 if all RecipientInfos are version 0, as those of key transport by issuer.
    const isVersion0 = addressees.every(
      ({ publicKey, name }) => publicKey.type === "rsa" && name.kind === "issuer and serial",
    );
    const start = concat(version(isForWindows && !isVersion0 ? 2 : 0), recipientInfos);
    return {
      messageId: cmsMessageId(recipientInfos, encryption.algorithm),
      header: new Uint8Array(0),
      body: {
        kind: "stream",
        seal: (plaintext) => sealed(start, encryption, contentOf(plaintext, cms)),
      },
    };
  } finally {
    contentKey.wipe();
  }
}

function refuseOptions({ sender, segLog2 }: SealOptions): void {
  refuse(sender, "a sender without a certificate", "CMS messages are signed with a certificate");
  refuse(segLog2, "a segment size", "CMS messages have no segments");
}

function refuse(value: unknown, what: string, why: string): void {
  if (value === undefined) return;
  throw new UsageError("ERR_FORMAT_OPTION", `${what} for a CMS message`, { hint: why });
}

// ── What is encrypted ──

/**
 * The plaintext itself, a mail's part made of it, or a signed message in a mail's part. That keeps
 * its ContentInfo: a SignedData under its own content type would need authenticated attributes (RFC
 * 5083 §2.1), and nobody would find it (RFC 8551 §3.7 has it in a part).
 */
function contentOf(plaintext: Reader, { signer, smime }: CmsSealOptions): Reader {
  if (signer === undefined && smime === undefined) return plaintext;
  const part = smime === undefined ? remaining(plaintext) : asMailPart(plaintext, smime.name);
  return new Reader(signer === undefined ? part : cmsMail(signData(part, signer), "signed-data"));
}

const CONTENT_KEY_BYTES = 32;
