/**
 * p11seal: seal messages to keys on hardware tokens, and open them.
 *
 * Nothing exported here prints, exits, or reads the environment.
 *
 * @packageDocumentation
 */

// Seal and open
export {
  inspectMessage as inspect,
  matchesRecipient,
  openMessage as open,
  sealMessage as seal,
  verifySender,
  type Opened,
  type Sealed,
  type SealMessageOptions as SealOptions,
} from "./envelope/messages.js";
export { bodyKeyOf, rewrapWhole } from "./envelope/body-key.js";
export { readCore, requireSignable } from "./envelope/core-signing.js";
export type { CoreToSign } from "./envelope/envelope.js";
export type { OpenOptions } from "./envelope/open-options.js";
export {
  rewrapMessage as rewrap,
  type RewrapMessageOptions as RewrapOptions,
} from "./envelope/rewrap-message.js";
export type { Watching } from "./envelope/watched.js";
export { openRanges, type OpenedRanges, type RandomAccessSource } from "./envelope/ranges.js";
export type { AtEnd, HeldBodyKey } from "./envelope/envelope.js";
export type {
  ClaimedSender,
  MessageInfo,
  PassedOn,
  RecipientInfo,
  SenderCertificates,
  SenderInfo,
} from "./envelope/message-info.js";
export type {
  Allowances,
  BodyKey,
  ElsewhereRewrapped,
  Kept,
  WholeHeader,
} from "./envelope/receiver.js";
export type {
  Custodian,
  RewrapOptions as HeaderRewrapOptions,
  Rewrapped,
} from "./envelope/rewrapping.js";
export type {
  CmsSealOptions,
  CoreSigner,
  MailPart,
  Sender,
  WholeCore,
} from "./envelope/seal-options.js";

// Signatures as CMS has them
export {
  openSigned,
  signMessage,
  verifyDetached,
  type CmsSigner,
  type LineEnds,
  type SignaturePolicy,
  type SignedMessage,
  type SignedParts,
  type Signer,
  type SignOptions,
  type VerifyOptions,
} from "./envelope/signatures.js";

// Keys
export type {
  EcCurve,
  EcPublicKey,
  Ed25519PublicKey,
  ExchangePublicKey,
  HybridKem,
  HybridPublicKey,
  Identity,
  KnownPublicKey,
  MlKemPublicKey,
  NamedKey,
  OaepDecryption,
  OaepHash,
  OaepParameters,
  PrivateKey,
  PublicKey,
  Recipient,
  RsaPrivateKey,
  RsaPublicKey,
  SigningPublicKey,
  SinglePublicKey,
  UseOptions,
  Using,
  X25519PublicKey,
} from "./keys/key.js";
export { certificateRequest, type RequestedNames } from "./keys/certificate-request.js";
export type { Purpose, PurposeKeys, SinglePurposeKey } from "./keys/purpose.js";

export {
  formatPublicKey,
  parsePublicKey,
  requireRecipient,
  type KeyFile,
  type PublicKeyFormat,
} from "./keys/formats/key-file.js";
export type { KeyUse } from "./keys/formats/key-records.js";
export {
  fingerprintGroups,
  fingerprintText,
  publicKeyFromHybrid,
  publicKeyFromSpki,
} from "./keys/public-key.js";
export { requireExchange } from "./keys/recipient-strength.js";
export { requireSigner } from "./keys/signer-strength.js";
export { needsPassphrase } from "./keys/formats/private-file.js";
export {
  formatHybridFile,
  hybridFileIdentity,
  newHybridFile,
  parseHybridFile,
  type HybridFile,
  type HybridFileIdentity,
} from "./envelope/hybrid-file.js";
export { hybridKey } from "./wrap/hybrid-key.js";
export { hybridSeedIdentity } from "./software/hybrid-identity.js";
export { softwareIdentity, type SoftwareIdentityOptions } from "./software/software-identity.js";
export { ageIdentities } from "./software/age-identities.js";

// Certificates
export {
  verifyCertificate,
  type RevocationAccount,
  type TrustAccount,
  type VerifyCertificateOptions,
} from "./trust/verify-certificate.js";
export type { CertificateUse } from "./trust/certificate-usage.js";
export {
  certificatesIn,
  readCertificateFile,
  type CertificateFile,
} from "./x509/certificate-file.js";
export type { AlgorithmIdentifier } from "./asn1/algorithm-identifier.js";
export type { Certificate } from "./x509/certificate.js";
export type { DistributionPoint, DistributionPointName } from "./x509/distribution-point.js";
export type {
  AuthorityKeyId,
  BasicConstraints,
  Extension,
  Extensions,
  NameConstraints,
  PolicyConstraints,
  PolicyMapping,
} from "./x509/extensions.js";
export type { GeneralName } from "./x509/general-name.js";
export type { Attribute, Name } from "./x509/name.js";

// Streams and secrets
export { ByteStream, type ByteSource } from "./stream.js";
export { Secret } from "./secret.js";

// Errors
export {
  AbortedError,
  AuthenticationError,
  FileError,
  FormatError,
  NoMatchError,
  P11SealError,
  PolicyError,
  TokenError,
  UnsupportedError,
  UsageError,
} from "./errors.js";
