/**
 * What other programs make of messages by BouncyCastle, which can write them all: why p11seal
 * writes what it does, and what it can't expect. Nothing here runs p11seal.
 */
import { randomBytes } from "node:crypto";
import { expect, it } from "@jest/globals";
import type { HolderKind } from "../../support/cms-peers/holders.js";
import {
  type Cipher,
  CMS_PEERS,
  type CmsPeer,
  describePeers,
  type EnvelopeForm,
  PRESENT_PEERS,
} from "../../support/cms-peers/peer.js";
import { skipped } from "../../support/missing.js";
import { CmsBench } from "./bench.js";

interface Row {
  readonly form: EnvelopeForm;
  readonly recipient: string;
  readonly cipher: Cipher;
  readonly to: HolderKind;
  /** What programs say that can't read it, by the beginning of their names; the others can. */
  readonly not: Readonly<Record<string, RegExp>>;
}

const cbc = (recipient: string, to: HolderKind, not: Row["not"]): Row => ({
  ...{ form: "enveloped", cipher: "aes-256-cbc", recipient, to, not },
});
const gcm = (recipient: string, to: HolderKind, not: Row["not"]): Row => ({
  ...{ form: "auth-enveloped", cipher: "aes-256-gcm", recipient, to, not },
});

/** It crashes when it is given a key on a curve. */
const NO_CURVES = { "gpgsm 2.2": /ended with null/ };
const NO_AGREEMENT = {
  ...NO_CURVES,
  "NSS 3.87": /SEC_ERROR_BAD_DER/,
  Mono: /recipient type 'KeyAgreement' is not supported/,
};
const NO_GCM = {
  "NSS 3.87": /SEC_ERROR_UNRECOGNIZED_OID/,
  // Whatever the length of the nonce.
  gpgsm: /Buffer too short/,
  Mono: /Invalid cryptographic message type/,
};

const ROWS: readonly Row[] = [
  cbc("rsa-pkcs1", "rsa", {}),
  cbc("rsa-oaep-sha256", "rsa", {
    "NSS 3.87": /SEC_ERROR_UNSUPPORTED_KEYALG/,
    gpgsm: /No secret key/,
    Mono: /ASN1 corrupted data/,
  }),
  cbc("ecdh-sha1", "p256", NO_AGREEMENT),
  cbc("ecdh-sha256", "p256", NO_AGREEMENT),
  cbc("ecdh-sha256+ukm", "p256", { ...NO_AGREEMENT, gpgsm: /Checksum error/ }),
  gcm("rsa-pkcs1", "rsa", NO_GCM),
  gcm("rsa-oaep-sha256", "rsa", NO_GCM),
  gcm("ecdh-sha256", "p256", { ...NO_CURVES, ...NO_GCM }),
  gcm("ecdh-sha256+explicit", "p256", { ...NO_CURVES, ...NO_GCM }),
  {
    ...gcm("rsa-oaep-sha256", "rsa", { "OpenSSL 3.0": /nested asn1 error/, ...NO_GCM }),
    form: "auth-enveloped-attributes",
  },
  {
    // The tag stands behind the ciphertext, where nobody else looks for it.
    ...gcm("rsa-oaep-sha256", "rsa", {
      "OpenSSL 3.0": /Error decrypting/,
      OpenSSL: /cipher aead in enveloped data/,
      NSS: /SEC_ERROR_/,
      gpgsm: /Buffer too short/,
      Mono: /ASN1 corrupted data/,
    }),
    form: "enveloped",
  },
];

const bench = new CmsBench();
const { holders } = bench;
const CONTENT = randomBytes(20_000);

const [writer] = PRESENT_PEERS.filter(({ kind }) => kind === "bouncycastle");
if (writer === undefined) {
  const reason = CMS_PEERS.flatMap((one) => ("reason" in one ? [one.reason] : []))[0];
  skipped("programs among themselves", reason ?? "npm run test:cms has them");
} else {
  describePeers(`${writer.name} to`, (peer) => {
    ROWS.forEach((row) => {
      const [, refusal] =
        Object.entries(row.not).find(([start]) => peer.name.startsWith(start)) ?? [];
      const not = refusal === undefined ? "" : ` [not: ${refusal.source}]`;
      it(`${row.form}, ${row.recipient}, ${row.cipher}${not}`, () =>
        passes(row, writer, peer, refusal));
    });
  });
}

async function passes(
  row: Row,
  writer: CmsPeer,
  reader: CmsPeer,
  refusal: RegExp | undefined,
): Promise<void> {
  const holder = holders.of(row.to);
  const message = await (await bench.program(writer)).encrypt(row, holder, CONTENT);
  const opened = (await bench.program(reader)).decrypt(holder, message);
  if (refusal === undefined) expect(await opened).toEqual(CONTENT);
  else await expect(opened).rejects.toThrow(refusal);
}
