/** What revocation lists and OCSP responses say of one certificate, and how their times count. */

export type RevocationStatus =
  /** `asOfMs`: when the list or the response was made, in milliseconds since 1970. */
  | { readonly status: "good"; readonly asOfMs: number }
  | { readonly status: "revoked"; readonly revokedMs?: number }
  /** `why`: what kept the first list or response about the certificate from being used. */
  | { readonly status: "unknown"; readonly why?: string };

/** Clocks are not exact: so far in the future a list or a response may have been made. */
export const CLOCK_SKEW_MS = 5 * 60_000;
