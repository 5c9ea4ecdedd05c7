/**
 * Templates of a secret that a token unwraps or derives, by name, in the order in which they are
 * tried.
 *
 * SoftHSM makes a readable key only when the template says so; openCryptoki rejects such a
 * template; Luna and MyEID require the length; a few tokens support only AES keys. SENSITIVE and
 * EXTRACTABLE concern a copy of the secret that lives in a session object for a moment and leaves
 * the token in any case.
 */
import { CKK, CKO } from "../modules/constants.js";
import type { AttributeValues } from "../modules/template.js";
import type { Quirk } from "./quirks.js";

export type TemplateName = `${"generic" | "AES"} ${"readable" | "bare" | "readable, with length"}`;

/** The template of this name for a secret of `bytes` bytes. */
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

/** True for a template that includes the length of the secret. */
export function namesLength(name: TemplateName): boolean {
  return name.endsWith("length");
}

/** The templates to try for this function on a token with these quirks, in order. */
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

/** The one with a length comes first: without it, the token chooses the length. */
const DERIVE_TEMPLATES: readonly TemplateName[] = [
  "generic readable, with length",
  "generic readable",
  "generic bare",
];
