/**
 * Templates of a secret that a token unwraps or derives, by name, in the order in which they are
 * tried.
 *
 * SoftHSM makes a key that can be read only when told so; openCryptoki refuses to be told; Luna and
 * MyEID want the length; a few tokens know AES keys only. SENSITIVE and EXTRACTABLE concern the
 * secret's copy, which leaves the token in any case, and lives in a session object for a moment.
 */
import { CKK, CKO } from "../modules/constants.js";
import type { AttributeValues } from "../modules/template.js";
import type { Quirk } from "./quirks.js";

export type TemplateName = `${"generic" | "AES"} ${"readable" | "bare" | "readable, with length"}`;

/** A template by its name, for a secret of so many bytes. */
export function secretTemplate(name: TemplateName, bytes: number): AttributeValues {
  const bare = {
    CLASS: CKO.SECRET_KEY,
    KEY_TYPE: name.startsWith("AES") ? CKK.AES : CKK.GENERIC_SECRET,
    TOKEN: false,
  };
  if (name.endsWith("bare")) return bare;
  const readable = { ...bare, SENSITIVE: false, EXTRACTABLE: true };
  return namesLength(name) ? { ...readable, VALUE_LEN: bytes } : readable;
}

/** True for a template that says how long the secret is. */
export function namesLength(name: TemplateName): boolean {
  return name.endsWith("length");
}

/** What is tried to make a secret with this function on a token with these quirks. */
export function templatesFor(
  fn: "C_UnwrapKey" | "C_DeriveKey",
  quirks: readonly Quirk[],
): readonly TemplateName[] {
  const ladder = fn === "C_DeriveKey" ? DERIVE_TEMPLATES : UNWRAP_TEMPLATES;
  if (!quirks.some(({ effect }) => effect.template === "bare")) return ladder;
  const bare = ladder.filter((name) => name.endsWith("bare"));
  return [...bare, ...ladder.filter((name) => !bare.includes(name))];
}

const UNWRAP_TEMPLATES: readonly TemplateName[] = [
  "generic readable",
  "generic bare",
  "generic readable, with length",
  "AES readable",
  "AES bare",
  "AES readable, with length",
];

/** The length first: what a token returns without one is its own choice. */
const DERIVE_TEMPLATES: readonly TemplateName[] = [
  "generic readable, with length",
  "generic readable",
  "generic bare",
];
