/** The names of the profiles, for the command line, which loads nothing else of this folder. */

/** Kinds of tokens (docs/testing.md). */
export const PROFILE_NAMES = [
  ...(["softhsm", "piv", "pad", "tpm", "cloudhsm", "yubihsm", "luna"] as const),
] as const;

export type ProfileName = (typeof PROFILE_NAMES)[number];
