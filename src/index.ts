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
  type OpenOptions,
  type Sealed,
} from "./envelope/messages.js";
export { openRanges, type OpenedRanges, type RandomAccessSource } from "./envelope/ranges.js";
export type {
  ClaimedSender,
  MessageInfo,
  RecipientInfo,
  SealOptions,
  Sender,
  SenderInfo,
} from "./envelope/envelope.js";
export type { SigningIdentity, SigningKey, SigningPublicKey } from "./keys/signing.js";

// Keys
export type {
  EcCurve,
  EcPrivateKey,
  EcPublicKey,
  Ed25519PublicKey,
  ExchangePublicKey,
  Identity,
  OaepHash,
  PrivateKey,
  PublicKey,
  Recipient,
  RsaPrivateKey,
  RsaPublicKey,
  Using,
  X25519PublicKey,
} from "./keys/key.js";

export {
  formatPublicKey,
  parsePublicKey,
  requireRecipient,
  type KeyFile,
  type PublicKeyFormat,
} from "./keys/formats/key-file.js";
export {
  fingerprintGroups,
  fingerprintText,
  publicKeyFromSpki,
  requireExchange,
} from "./keys/public-key.js";
export { needsPassphrase } from "./keys/formats/private-file.js";
export { softwareIdentity } from "./keys/software-key.js";
export { softwareSigningIdentity } from "./keys/software-signing-key.js";

// Streams and secrets
export { ByteStream, type ByteSource } from "./stream.js";
export { Secret } from "./secret.js";

// Errors
export {
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
