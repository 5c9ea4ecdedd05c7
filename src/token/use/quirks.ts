/**
 * Known quirks of individual libraries that no query reveals. Each entry says how to recognise the
 * library, what changes in a plan, and the source. Everything else is found out by trying
 * (`ways.ts`). A quirk only says what to try first; the try itself decides.
 */
import type { OaepHash } from "../../keys/key.js";
import type { Module } from "../modules/module.js";
import type { TokenDetails } from "../session/token-info.js";

/** The makers of library and token, as they identify themselves (CK_INFO, CK_TOKEN_INFO). */
export interface Maker {
  readonly library: { readonly manufacturer: string; readonly description: string };
  readonly manufacturer: string;
  readonly model: string;
  /** The token's firmware version; SoftHSM puts its library's version here, also behind p11-kit. */
  readonly firmware: { readonly major: number; readonly minor: number };
}

/** A quirk as shown to users. */
export interface QuirkInfo {
  /** Stable, as in `oaep-sha1-only`. */
  readonly name: string;
  /** One sentence, lower case, no full stop. */
  readonly fact: string;
  /** The source of this knowledge. */
  readonly source: string;
}

/** A quirk with its effects on plans. */
export interface Quirk extends QuirkInfo {
  readonly effect: {
    /** OAEP hashes that the token itself undoes; the others are tried last. */
    readonly oaep?: readonly OaepHash[];
    /** False when it undoes OAEP only with an empty label and one hash for both purposes. */
    readonly oaepLabels?: false;
    /** The template of a new secret that is tried first. */
    readonly template?: "bare";
    /** Mechanisms, without `CKM_`, that are not there if they are not listed. */
    readonly missing?: readonly string[];
    /** Encodings of a peer's point that the library understands. */
    readonly points?: readonly ("raw" | "der")[];
  };
}

/** The quirks of a library and token from these makers. */
export function quirksOf(maker: Maker): Quirk[] {
  return TABLE.filter(({ applies }) => applies(maker)).map(({ name, fact, source, effect }) => ({
    name,
    fact,
    source,
    effect,
  }));
}

/** How a token and its library identify themselves. */
export function makerOf(module: Pick<Module, "library">, details: TokenDetails): Maker {
  const { manufacturer, description } = module.library;
  const { info, firmware } = details;
  return {
    library: { manufacturer, description },
    manufacturer: info.manufacturer,
    model: info.model,
    firmware,
  };
}

/** A quirk without its effects: plain text for users. */
export function told({ name, fact, source }: Quirk): QuirkInfo {
  return { name, fact, source };
}

// ── Who is who ──

const isSoftHsm = ({ manufacturer }: Maker): boolean => manufacturer === "SoftHSM project";
const isNss = ({ manufacturer }: Maker): boolean => manufacturer === "Mozilla Foundation";
const isTpm = ({ library }: Maker): boolean => library.manufacturer.startsWith("tpm2-software");
/**
 * SoftHSM's own library, or one of its tokens behind another library; no other model has this name.
 */
const isOpenSc = ({ library, model }: Maker): boolean =>
  library.manufacturer.startsWith("OpenSC") || model.startsWith("PKCS#15");
const isOpenCryptokiSoft = (maker: Maker): boolean =>
  maker.manufacturer.startsWith("IBM") && /soft/i.test(maker.model) && !isTpm(maker);
const isP11Kit = ({ library }: Maker): boolean =>
  library.manufacturer === "PKCS#11 Kit" || library.manufacturer === "p11-kit";

const MEASURED = "measured (docs/tokens.md)";

const TABLE: readonly (Quirk & { readonly applies: (maker: Maker) => boolean })[] = [
  {
    name: "oaep-sha1-only",
    fact: "SoftHSM up to 2.7 undoes RSA-OAEP with SHA-1 only (CKR_ARGUMENTS_BAD for others)",
    source: "measured on 2.6.1; softhsm/SoftHSMv2 issue 474",
    applies: (maker) => {
      const { major, minor } = maker.firmware;
      return isSoftHsm(maker) && (major < 2 || (major === 2 && minor <= 7));
    },
    effect: { oaep: ["sha1"], oaepLabels: false },
  },
  {
    name: "unwraps-any-length",
    fact: "SoftHSM unwraps keys of any length as AES, even of none: lengths are checked on the host",
    source: "measured on 2.6.1 (docs/tokens.md)",
    applies: isSoftHsm,
    effect: {},
  },
  {
    name: "unwrap-without-second-login",
    fact: "SoftHSM heeds CKA_ALWAYS_AUTHENTICATE for C_Decrypt and C_Sign, not for C_UnwrapKey",
    source: "measured on 2.6.1 (docs/tokens.md)",
    applies: isSoftHsm,
    effect: {},
  },
  {
    name: "never-locks",
    fact: "wrong PINs are not counted: whoever has the token's files may try them all",
    source: MEASURED,
    applies: (maker) => isSoftHsm(maker) || isNss(maker),
    effect: {},
  },
  {
    name: "implicit-rejection",
    fact: "NSS answers bad PKCS#1 v1.5 padding with random bytes and CKR_OK",
    source: "measured on 3.87 (docs/tokens.md)",
    applies: isNss,
    effect: {},
  },
  {
    name: "wraps-unextractable",
    fact: "NSS wraps keys out although CKA_EXTRACTABLE is false, and heeds no CKA_DERIVE",
    source: "measured on 3.87 (docs/tokens.md)",
    applies: isNss,
    effect: {},
  },
  {
    name: "bare-template",
    fact: "openCryptoki's soft token refuses to be told that an unwrapped key may be read",
    source: "measured on 3.8.1 (docs/tokens.md)",
    applies: isOpenCryptokiSoft,
    effect: { template: "bare" },
  },
  {
    name: "stuck-session",
    fact: "a failed C_Decrypt leaves the session stuck: every operation has one of its own here",
    source: "measured on tpm2-pkcs11 1.9.0 (docs/tokens.md)",
    applies: isTpm,
    effect: {},
  },
  {
    name: "attributes-on-paper",
    fact: "tpm2-pkcs11 lets CKA_SENSITIVE and other attributes be changed; the TPM goes by its own",
    source: "measured on tpm2-pkcs11 1.9.0 (docs/tokens.md)",
    applies: isTpm,
    effect: {},
  },
  {
    name: "raw-point",
    fact: "OpenSC takes a peer's point bare and not as an OCTET STRING",
    source: "measured on 0.23 (docs/tokens.md); OpenSC issues 898 and 901",
    applies: isOpenSc,
    effect: { points: ["raw"] },
  },
  {
    name: "derived-objects-stay",
    fact: "OpenSC frees a derived key only when told: after some hundred, no key can be used",
    source: "measured on 0.23 (docs/tokens.md)",
    applies: isOpenSc,
    effect: {},
  },
  {
    name: "hangs-when-pulled",
    fact: "OpenSC never returns when the card is pulled while it decrypts",
    source: "measured on 0.23 (docs/tokens.md)",
    applies: isOpenSc,
    effect: {},
  },
  {
    name: "no-derive-remotely",
    fact: "p11-kit up to 0.25 passes neither ECDH nor AES on to a token elsewhere",
    source: "measured on 0.24.1 (docs/tokens.md)",
    applies: isP11Kit,
    effect: { missing: ["ECDH1_DERIVE"] },
  },
];
