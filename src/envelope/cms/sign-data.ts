/**
 * Writes a SignedData with one signature (RFC 5652 §5): the content as it passes or, detached,
 * only its digest. Attributes and certificates are those of CAdES-B (ETSI EN 319 122-1 §6).
 */
import { createHash } from "node:crypto";
import { derAlgorithm } from "../../asn1/algorithm-identifier.js";
import { der, derUnsigned, TAG } from "../../asn1/der.js";
import { derOid } from "../../asn1/oid.js";
import { derTime } from "../../asn1/time.js";
import { concat, equal } from "../../bytes.js";
import { UsageError } from "../../errors.js";
import type { PrivateKey } from "../../keys/key.js";
import { keyInSpki } from "../../keys/public-key.js";
import type { Certificate } from "../../x509/certificate.js";
import { ATTRIBUTE_TYPE, derAttribute, derSetOf } from "./attributes.js";
import { CONTENT_TYPES } from "./cms-oids.js";
import { cmsSigning, type CmsSigning } from "./cms-signing.js";
import { signingCertificateV2 } from "./signing-certificate.js";

/** Who signs. */
export interface CmsSigner {
  readonly key: PrivateKey;
  /** Of that key. */
  readonly certificate: Certificate;
  /** What readers may need to find a path to their anchor; the anchor itself need not be there. */
  readonly chain?: readonly Certificate[] | undefined;
  /** Milliseconds since 1970-01-01T00:00Z; whole seconds are written. */
  readonly signingTimeMs: number;
  /** For an RSA key: RSASSA-PSS in place of PKCS#1 v1.5. */
  readonly pss?: boolean | undefined;
}

export interface SignDataOptions {
  /** Leave the content out. */
  readonly detached?: boolean | undefined;
  /** Without the ContentInfo around it, as where a type already stands beside it. */
  readonly bare?: boolean | undefined;
}

/**
 * The message, in DER if the content comes in one chunk or is left out, else in BER.
 *
 * @throws UsageError `ERR_CERTIFICATE_KEY`; and as `cmsSigning`, all before the content is read
 */
export function signData(
  content: AsyncIterable<Uint8Array>,
  signer: CmsSigner,
  options: SignDataOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const { key, certificate, pss } = signer;
  if (!equal(keyInSpki(certificate.spki).publicKey.spki, key.publicKey.spki)) {
    throw new UsageError("ERR_CERTIFICATE_KEY", "the certificate is of another key", {
      hint: "give the certificate of the key that signs",
    });
  }
  const signing = cmsSigning(key, { pss });
  return options.detached === true
    ? detached(content, signer, signing, options)
    : opaque(content, signer, signing, options);
}

async function* detached(
  content: AsyncIterable<Uint8Array>,
  signer: CmsSigner,
  signing: CmsSigning,
  { bare = false }: SignDataOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = createHash(signing.digest);
  for await (const chunk of content) hash.update(chunk);
  const encapsulated = der(TAG.sequence, derOid(CONTENT_TYPES.data));
  const after = await afterContent(hash.digest(), signer, signing);
  yield whole(concat(beforeContent(signing), encapsulated, after), bare);
}

async function* opaque(
  content: AsyncIterable<Uint8Array>,
  signer: CmsSigner,
  signing: CmsSigning,
  { bare = false }: SignDataOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = createHash(signing.digest);
  let first: Uint8Array | undefined;
  let isBegun = false;
  for await (const chunk of content) {
    hash.update(chunk);
    if (!isBegun && first === undefined) {
      // A copy: the next chunk may come in the same memory.
      first = chunk.slice();
      continue;
    }
    if (!isBegun) {
      isBegun = true;
      if (!bare) yield concat(OPEN_SEQUENCE, derOid(CONTENT_TYPES.signedData), OPEN_EXPLICIT);
      yield concat(
        OPEN_SEQUENCE,
        beforeContent(signing),
        OPEN_SEQUENCE,
        derOid(CONTENT_TYPES.data),
      );
      yield concat(OPEN_EXPLICIT, OPEN_OCTETS, der(TAG.octetString, first ?? new Uint8Array(0)));
    }
    yield der(TAG.octetString, chunk);
  }
  const after = await afterContent(hash.digest(), signer, signing);
  if (isBegun) {
    yield concat(end(3), after, end(bare ? 1 : 3));
    return;
  }
  const octets = der(TAG.octetString, first ?? new Uint8Array(0));
  const encapsulated = der(TAG.sequence, derOid(CONTENT_TYPES.data), der(EXPLICIT_0, octets));
  yield whole(concat(beforeContent(signing), encapsulated, after), bare);
}

function whole(signedData: Uint8Array, bare: boolean): Uint8Array {
  const value = der(TAG.sequence, signedData);
  return bare ? value : der(TAG.sequence, derOid(CONTENT_TYPES.signedData), der(EXPLICIT_0, value));
}

/** Version 1 (§5.1), for id-data and certificates named by issuer; and the hash. */
function beforeContent({ digestAlgorithm }: CmsSigning): Uint8Array {
  return concat(VERSION_1, derSetOf([derAlgorithm(digestAlgorithm)]));
}

async function afterContent(
  digest: Uint8Array,
  signer: CmsSigner,
  signing: CmsSigning,
): Promise<Uint8Array> {
  const { certificate, chain = [] } = signer;
  const encoded = [certificate, ...chain].map((one) => one.der);
  const distinct = encoded.filter(
    (one, index) => encoded.findIndex((other) => equal(one, other)) === index,
  );
  const info = await signerInfo(digest, signer, signing);
  return concat(derSetOf(distinct, EXPLICIT_0), derSetOf([info]));
}

async function signerInfo(
  digest: Uint8Array,
  { certificate, signingTimeMs }: CmsSigner,
  signing: CmsSigning,
): Promise<Uint8Array> {
  const attributes = [
    derAttribute(ATTRIBUTE_TYPE.contentType, derOid(CONTENT_TYPES.data)),
    derAttribute(ATTRIBUTE_TYPE.messageDigest, der(TAG.octetString, digest)),
    derAttribute(ATTRIBUTE_TYPE.signingTime, derTime(signingTimeMs)),
    derAttribute(ATTRIBUTE_TYPE.signingCertificateV2, signingCertificateV2(certificate)),
  ];
  // §5.4: signed with the tag of a SET, and sent with another.
  const signature = await signing.sign(derSetOf(attributes));
  return der(
    TAG.sequence,
    VERSION_1,
    der(TAG.sequence, certificate.issuer.der, der(TAG.integer, certificate.serial)),
    derAlgorithm(signing.digestAlgorithm),
    derSetOf(attributes, EXPLICIT_0),
    derAlgorithm(signing.signatureAlgorithm),
    der(TAG.octetString, signature),
  );
}

/** Ends of so many values of unknown length. */
function end(values: number): Uint8Array {
  return new Uint8Array(2 * values);
}

const VERSION_1 = derUnsigned(Uint8Array.of(1));
const EXPLICIT_0 = 0xa0;
/** Begun, and of unknown length (X.690 §8.1.3.6). */
const OPEN_SEQUENCE = Uint8Array.of(0x30, 0x80);
const OPEN_EXPLICIT = Uint8Array.of(0xa0, 0x80);
const OPEN_OCTETS = Uint8Array.of(0x24, 0x80);
