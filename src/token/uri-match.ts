/**
 * Matching RFC 7512 URIs: every attribute that a URI has must be equal to what a module reports.
 * Attributes that it lacks match everything.
 */
import { equal } from "../bytes.js";
import type { Pkcs11Uri } from "./uri.js";

/** The names in CK_TOKEN_INFO. Padding with blanks is ignored. */
export interface TokenNames {
  readonly label: string;
  readonly manufacturer: string;
  readonly serial: string;
  readonly model: string;
}

/** Matches a token. */
export function matchesToken(uri: Pkcs11Uri, token: TokenNames): boolean {
  return (
    matchesText(uri.token, token.label) &&
    matchesText(uri.manufacturer, token.manufacturer) &&
    matchesText(uri.serial, token.serial) &&
    matchesText(uri.model, token.model)
  );
}

/** Matches the names in CK_SLOT_INFO. */
export function matchesSlot(
  uri: Pkcs11Uri,
  slot: { readonly description: string; readonly manufacturer: string },
): boolean {
  return (
    matchesText(uri.slotDescription, slot.description) &&
    matchesText(uri.slotManufacturer, slot.manufacturer)
  );
}

/** Matches a library by CK_INFO. */
export function matchesLibrary(
  uri: Pkcs11Uri,
  library: {
    readonly manufacturer: string;
    readonly description: string;
    readonly version: { readonly major: number; readonly minor: number };
  },
): boolean {
  return (
    matchesText(uri.libraryManufacturer, library.manufacturer) &&
    matchesText(uri.libraryDescription, library.description) &&
    (uri.libraryVersion === undefined ||
      (uri.libraryVersion.major === library.version.major &&
        uri.libraryVersion.minor === library.version.minor))
  );
}

/**
 * Matches a module's file. `module-name` is its name without folder and suffix, and without the
 * prefix "lib" where a system uses one (RFC 7512 §2.3). `path` may have either kind of slash.
 */
export function matchesModuleName(uri: Pkcs11Uri, path: string): boolean {
  if (uri.moduleName === undefined) return true;
  const file = path.split(/[\\/]/).at(-1) ?? "";
  const stem = file.replace(/\.(?:so(?:\.\d+)*|dylib|dll|bundle)$/i, "");
  return stem === uri.moduleName || stem === `lib${uri.moduleName}`;
}

/** Matches an object by label and id; the caller chooses its class. */
export function matchesObject(
  uri: Pkcs11Uri,
  object: { readonly label: string; readonly id: Uint8Array },
): boolean {
  return (
    (uri.object === undefined || uri.object === object.label) &&
    (uri.id === undefined || equal(uri.id, object.id))
  );
}

function matchesText(wanted: string | undefined, found: string): boolean {
  return wanted === undefined || wanted.trimEnd() === found.trimEnd();
}
