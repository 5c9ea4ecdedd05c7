/**
 * p11seal/capi: exchange with programs that use Microsoft's CryptoAPI, exactly as the article
 * "Manual Session Key Exchanges" and its siblings describe it. docs/cryptoapi.md maps their steps
 * to this.
 *
 * Without authentication, and with PKCS#1 v1.5 inside, unless both ends do more: for peers that
 * speak nothing else.
 *
 * @packageDocumentation
 */

// The article's exchange
export {
  receiveMessage,
  sendMessage,
  wrapSessionKey,
  type ReceivedMessage,
  type ReceiveOptions,
  type SendOptions,
  type SentMessage,
} from "./exchange.js";
export { AuthenticMessage, signMessage } from "./authentic.js";
export { readSdkFile, sdkFileHead, type SdkFile } from "./sdk-file.js";
export {
  cipherMode,
  decryptMessage,
  encryptMessage,
  type CipherMode,
  type CipherParameters,
} from "./cipher.js";

// Blobs and session keys
export {
  blobKind,
  encodePublicKeyBlob,
  parsePublicKeyBlob,
  requireExchangeBlob,
  type BlobKind,
  type KeyUse,
  type PublicKeyBlob,
} from "../keys/formats/capi-blob.js";
export {
  encodePlaintextKeyBlob,
  encodeSimpleBlob,
  parsePlaintextKeyBlob,
  parseSimpleBlob,
  type SimpleBlob,
} from "./blob.js";
export {
  generateSessionKey,
  SESSION_ALGORITHMS,
  type CapiHash,
  type SessionAlgorithm,
  type SessionKey,
} from "./algorithms.js";
export { deriveSessionKey, hashParts, type HashPart } from "./session-key-hash.js";

// Private keys
export { softwareRsaKey } from "../software/software-key.js";
export type { Identity, PrivateKey, RsaPrivateKey, RsaPublicKey } from "../keys/key.js";
export {
  unwrapSessionKey,
  type KeyPadding,
  type UnwrappedSessionKey,
  type UnwrapOptions,
} from "./session-key-unwrap.js";

// Signatures
export {
  capiHash,
  signData,
  signDigest,
  signingHash,
  verifyData,
  verifyDigest,
  type SignatureForm,
} from "./hash-signature.js";

// The siblings' procedures
export {
  formatPhase2,
  parsePhase2,
  phase1Id,
  ThreePhase,
  type Party,
  type Phase2,
  type Role,
  type RunOptions,
  type RunStatus,
  type Terms,
} from "./three-phase.js";
export {
  backUpSessionKey,
  encodeBackupRecord,
  openBackup,
  openStoredKey,
  requireStored,
  parseBackupRecord,
  storeSessionKey,
  type BackupHash,
  type BackupRecord,
  type StoredKey,
  type StoreOptions,
} from "./stored-keys.js";
export { delayBefore, NO_FAILURES, recordFailure, type Failures } from "./failures.js";
