/**
 * Matching RFC 7512 URIs: every attribute that a URI has must be equal to what a module reports.
 * Attributes that it lacks match everything.
 */
import { equal, toHex } from "../bytes.js";
import type { Pkcs11Uri } from "./uri.js";
import type { KeyInfo, ObjectName } from "./values.js";

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
  const name = moduleNameOf(path);
  return name === uri.moduleName || name === `lib${uri.moduleName}`;
}

/** A `module-name` that matches the module's file. */
export function moduleNameOf(path: string): string {
  const file = path.split(/[\\/]/).at(-1) ?? "";
  return file.replace(/\.(?:so(?:\.\d+)*|dylib|dll|bundle)$/i, "");
}

/** Matches a key pair: label and id are those of any of its objects that are visible. */
export function matchesKey(uri: Pkcs11Uri, { objects }: Pick<KeyInfo, "objects">): boolean {
  return objects.some((object) => matchesObject(uri, object));
}

/**
 * True if `id` is what a URI has whose writer left % signs out of `meant`: `9deb` or `%9deb` for
 * the bytes 9d eb, as some versions of pkcs11-tool print it.
 */
export function lacksPercents(id: Uint8Array, meant: Uint8Array): boolean {
  let rests = new Set([toHex(meant)]);
  for (const byte of id) {
    const digit = String.fromCharCode(byte).toLowerCase();
    const readings = [toHex(Uint8Array.of(byte)), ...(/[0-9a-f]/.test(digit) ? [digit] : [])];
    rests = new Set(
      [...rests].flatMap((rest) =>
        readings.filter((one) => rest.startsWith(one)).map((one) => rest.slice(one.length)),
      ),
    );
  }
  return rests.has("");
}

/** Matches a key pair by an object of the class that the URI's `type` names. */
export function matchesByType(uri: Pkcs11Uri, { objects }: Pick<KeyInfo, "objects">): boolean {
  const wanted = uri.type === undefined ? undefined : CLASSES[uri.type];
  return objects.some((object) => object.class === wanted && matchesObject(uri, object));
}

function matchesObject(uri: Pkcs11Uri, object: ObjectName): boolean {
  return (
    (uri.object === undefined || uri.object === object.label) &&
    (uri.id === undefined || equal(uri.id, object.id))
  );
}

const CLASSES: Readonly<Partial<Record<Required<Pkcs11Uri>["type"], ObjectName["class"]>>> = {
  private: "private key",
  public: "public key",
  cert: "certificate",
};

function matchesText(wanted: string | undefined, found: string): boolean {
  return wanted === undefined || wanted.trimEnd() === found.trimEnd();
}
