/**
 * OpenSSL from 3.5 on refuses Ed25519 signatures whose key or R is of small order: the former
 * p11seal refuses in any case, the latter docs/format.md §5.2 leaves to the reader.
 */
export const REFUSES_SMALL_ORDER = Number.parseFloat(process.versions.openssl) >= 3.5;
