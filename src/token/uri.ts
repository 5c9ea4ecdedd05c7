/**
 * RFC 7512 URIs: how a person names a module, a token or a key.
 *
 * A URI is a filter: every attribute in its path must match. Parsing is strict (the RFC's grammar
 * in §2.3, no white space, no duplicates) and keeps no PIN: `pin-value` is refused on sight, and so
 * is `slot-id`, because slot numbers change when a token is initialized or a reader is replugged.
 * Nothing here touches a module or a file.
 */
import { equal } from "../bytes.js";
import { FormatError, PolicyError, UsageError } from "../errors.js";

/** Values of the attribute `type` (RFC 7512 §2.3). */
export type ObjectType = "public" | "private" | "cert" | "secret-key" | "data";

/** A parsed URI. Text is decoded; an absent attribute matches everything. */
export interface Pkcs11Uri {
  readonly token?: string;
  readonly manufacturer?: string;
  readonly serial?: string;
  readonly model?: string;
  readonly libraryManufacturer?: string;
  readonly libraryDescription?: string;
  /** As in "2" or "2.40": major, and minor where the URI gives it. */
  readonly libraryVersion?: { readonly major: number; readonly minor: number };
  readonly slotManufacturer?: string;
  readonly slotDescription?: string;
  /** CKA_LABEL. */
  readonly object?: string;
  readonly type?: ObjectType;
  /** CKA_ID. */
  readonly id?: Uint8Array;
  /** Where the PIN comes from (RFC 7512 §2.4); see `pinFromUri`. */
  readonly pinSource?: string;
  readonly moduleName?: string;
  readonly modulePath?: string;
  /**
   * Path attributes of other vendors, still encoded. They narrow the match in ways unknown here.
   */
  readonly otherPath?: readonly (readonly [name: string, value: string])[];
  /** Query attributes of other vendors, still encoded. They don't take part in matching. */
  readonly otherQuery?: readonly (readonly [name: string, value: string])[];
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };
type TextProperty = {
  [K in keyof Pkcs11Uri]-?: string extends NonNullable<Pkcs11Uri[K]> ? K : never;
}[keyof Pkcs11Uri];

/** In the order `formatUri` writes them. */
const PATH_TEXT: Readonly<Record<string, TextProperty>> = {
  token: "token",
  manufacturer: "manufacturer",
  serial: "serial",
  model: "model",
  "library-manufacturer": "libraryManufacturer",
  "library-description": "libraryDescription",
  "slot-manufacturer": "slotManufacturer",
  "slot-description": "slotDescription",
  object: "object",
};
const QUERY_TEXT: Readonly<Record<string, TextProperty>> = {
  "pin-source": "pinSource",
  "module-name": "moduleName",
  "module-path": "modulePath",
};
const OBJECT_TYPES: ReadonlySet<string> = new Set<ObjectType>([
  "public",
  "private",
  "cert",
  "secret-key",
  "data",
]);

/** Longer ones are no one's key. Characters. */
const MAX_URI = 8192;
/** RFC 7512 §2.3: pk11-path-res-avail and pk11-query-res-avail, with RFC 3986's unreserved set. */
const PATH_VALUE = /^(?:[A-Za-z0-9\-._~:[\]@!$'()*+,=&]|%[0-9A-Fa-f]{2})*$/;
const QUERY_VALUE = /^(?:[A-Za-z0-9\-._~:[\]@!$'()*+,=/?|]|%[0-9A-Fa-f]{2})*$/;

/** True when `text` has the scheme of these URIs; the rest of it may still be wrong. */
export function isPkcs11Uri(text: string): boolean {
  return /^pkcs11:/i.test(text);
}

/**
 * Parses a URI.
 *
 * @throws FormatError `ERR_URI_SCHEME`, `ERR_URI_SYNTAX`, `ERR_URI_ENCODING`, `ERR_URI_VERSION` or
 * `ERR_URI_DUPLICATE`; UsageError `ERR_PIN_VALUE` or `ERR_SLOT_ID` for what is well formed but
 * refused here.
 */
export function parseUri(text: string): Pkcs11Uri {
  if (!isPkcs11Uri(text)) {
    throw new FormatError("ERR_URI_SCHEME", "the URI does not begin with pkcs11:");
  }
  if (text.length > MAX_URI) {
    throw syntax(`the URI has ${text.length} characters, at most ${MAX_URI} are read`);
  }
  const body = text.slice("pkcs11:".length);
  const question = body.indexOf("?");
  const path = question < 0 ? body : body.slice(0, question);
  const query = question < 0 ? "" : body.slice(question + 1);
  // First of all: an error about anything else could quote a piece of the PIN. `pin=` and the like
  // are nobody's attributes, but what stands behind them is a PIN all the same.
  if (/(?:^|[&?;])pin(?!-source[=&;])[a-z_-]*(?:[=&;]|$)/i.test(`${path}?${query}`))
    throw pinValue();

  const uri: Writable<Pkcs11Uri> = {};
  const pathAttributes = split(path, ";", PATH_VALUE);
  refuseDuplicates(pathAttributes.map(([name]) => name));
  const otherPath = pathAttributes.filter(([name, value]) => !readPathAttribute(uri, name, value));
  const queryAttributes = split(query, "&", QUERY_VALUE);
  // RFC 7512 §2.3: only query attributes of other vendors may repeat.
  refuseDuplicates(
    queryAttributes.map(([name]) => name).filter((name) => Object.hasOwn(QUERY_TEXT, name)),
  );
  const otherQuery = queryAttributes.filter(
    ([name, value]) => !readQueryAttribute(uri, name, value),
  );
  if (otherPath.length > 0) uri.otherPath = otherPath;
  if (otherQuery.length > 0) uri.otherQuery = otherQuery;
  return uri;
}

/**
 * Parses a URI that stands in a file. Whoever wrote the file may be somebody else, so it can only
 * say which token and key are meant: not what code is loaded, nor what is sent to a token as a PIN.
 *
 * @param where - the file, and the line in it, for messages.
 * @throws as `parseUri`; PolicyError `ERR_URI_IN_FILE` for `module-path`, `module-name`,
 *   `pin-source`
 */
export function parseUriInFile(text: string, where: string): Pkcs11Uri {
  const uri = parseUri(text);
  const named = Object.entries(QUERY_TEXT).find(([, property]) => uri[property] !== undefined);
  if (named === undefined) return uri;
  throw new PolicyError("ERR_URI_IN_FILE", `${where}: a URI in a file may not have ${named[0]}=`, {
    hint: `whoever can change the file would choose what runs; ${IN_FILE_HINTS[named[0]] ?? ""}`,
  });
}

const IN_FILE_HINTS: Readonly<Partial<Record<string, string>>> = {
  "pin-source": "use --pin-source or P11SEAL_PIN_SOURCE",
  "module-name": "use --module or P11SEAL_MODULE",
  "module-path": "use --module or P11SEAL_MODULE",
};

/** The one canonical text of a URI: fixed order, everything but unreserved characters encoded. */
export function formatUri(uri: Pkcs11Uri): string {
  const path: string[] = [];
  for (const [name, property] of Object.entries(PATH_TEXT)) {
    const value = uri[property];
    if (value !== undefined) path.push(`${name}=${encodeText(value)}`);
  }
  if (uri.libraryVersion !== undefined) {
    path.push(`library-version=${uri.libraryVersion.major}.${uri.libraryVersion.minor}`);
  }
  if (uri.type !== undefined) path.push(`type=${uri.type}`);
  // RFC 7512 §2.3: the whole value of "id" should be percent-encoded.
  if (uri.id !== undefined) path.push(`id=${encodeBytes(uri.id)}`);
  for (const [name, value] of uri.otherPath ?? []) path.push(`${name}=${value}`);

  const query: string[] = [];
  for (const [name, property] of Object.entries(QUERY_TEXT)) {
    const value = uri[property];
    if (value !== undefined) query.push(`${name}=${encodeText(value).replaceAll("%2F", "/")}`);
  }
  for (const [name, value] of uri.otherQuery ?? []) query.push(`${name}=${value}`);
  return `pkcs11:${path.join(";")}${query.length > 0 ? `?${query.join("&")}` : ""}`;
}

/** What CK_TOKEN_INFO says; blank padding is ignored. */
export interface TokenNames {
  readonly label: string;
  readonly manufacturer: string;
  readonly serial: string;
  readonly model: string;
}

export function matchesToken(uri: Pkcs11Uri, token: TokenNames): boolean {
  return (
    matchesText(uri.token, token.label) &&
    matchesText(uri.manufacturer, token.manufacturer) &&
    matchesText(uri.serial, token.serial) &&
    matchesText(uri.model, token.model)
  );
}

/** What CK_SLOT_INFO says. */
export function matchesSlot(
  uri: Pkcs11Uri,
  slot: { readonly description: string; readonly manufacturer: string },
): boolean {
  return (
    matchesText(uri.slotDescription, slot.description) &&
    matchesText(uri.slotManufacturer, slot.manufacturer)
  );
}

/** What CK_INFO says. */
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
 * RFC 7512 §2.3: `module-name` is the file's name without path, suffix and, on systems that have
 * one, the prefix "lib". `path` is the module's file, with either kind of slash.
 */
export function matchesModuleName(uri: Pkcs11Uri, path: string): boolean {
  if (uri.moduleName === undefined) return true;
  const file = path.split(/[\\/]/).at(-1) ?? "";
  const stem = file.replace(/\.(?:so(?:\.\d+)*|dylib|dll|bundle)$/i, "");
  return stem === uri.moduleName || stem === `lib${uri.moduleName}`;
}

/** An object by label and id; its class is the caller's business. */
export function matchesObject(
  uri: Pkcs11Uri,
  object: { readonly label: string; readonly id: Uint8Array },
): boolean {
  return (
    (uri.object === undefined || uri.object === object.label) &&
    (uri.id === undefined || equal(uri.id, object.id))
  );
}

/** Splits one component into names and values, both still encoded. An empty component has none. */
function split(component: string, separator: string, allowed: RegExp): [string, string][] {
  if (component === "") return [];
  return component.split(separator).map((attribute) => {
    const sign = attribute.indexOf("=");
    const name = sign < 0 ? attribute : attribute.slice(0, sign);
    if (name === "") throw syntax("the URI has an attribute without a name");
    if (!/^[A-Za-z0-9_-]+$/.test(name)) {
      throw syntax("the URI has a character in an attribute's name that may not stand there");
    }
    if (sign < 0) throw syntax(`attribute "${name}" has no value`);
    const value = attribute.slice(sign + 1);
    if (/%(?![0-9A-Fa-f]{2})/.test(value)) {
      throw new FormatError(
        "ERR_URI_ENCODING",
        `attribute "${name}" has a % that is not followed by two hexadecimal digits`,
      );
    }
    if (!allowed.test(value)) {
      throw new FormatError(
        "ERR_URI_SYNTAX",
        `attribute "${name}" has a character that must be percent-encoded`,
        { hint: "write a blank as %20, a semicolon as %3B, other characters as their UTF-8 bytes" },
      );
    }
    return [name, value];
  });
}

function refuseDuplicates(names: readonly string[]): void {
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) {
    throw new FormatError("ERR_URI_DUPLICATE", `attribute "${twice}" stands twice in the URI`);
  }
}

/** Stores one path attribute; false when it isn't one of RFC 7512's. */
function readPathAttribute(uri: Writable<Pkcs11Uri>, name: string, value: string): boolean {
  const property = Object.hasOwn(PATH_TEXT, name) ? PATH_TEXT[name] : undefined;
  if (property !== undefined) {
    uri[property] = decodeText(name, value);
    return true;
  }
  switch (name) {
    case "id":
      uri.id = decodeBytes(value);
      return true;
    case "type":
      if (!OBJECT_TYPES.has(value)) {
        throw syntax(`type "${value}" is not public, private, cert, secret-key or data`);
      }
      uri.type = value as ObjectType;
      return true;
    case "library-version":
      uri.libraryVersion = parseVersion(value);
      return true;
    case "slot-id":
      if (!/^[0-9]+$/.test(value)) throw syntax('attribute "slot-id" is not a number');
      throw new UsageError("ERR_SLOT_ID", "the URI chooses a token by slot number", {
        hint: "slot numbers change; use token= or serial= instead, `p11seal tokens` shows them",
      });
    default:
      return false;
  }
}

/** Stores one query attribute; false when it isn't one of RFC 7512's. */
function readQueryAttribute(uri: Writable<Pkcs11Uri>, name: string, value: string): boolean {
  const property = Object.hasOwn(QUERY_TEXT, name) ? QUERY_TEXT[name] : undefined;
  if (property === undefined) return false;
  uri[property] = decodeText(name, value);
  return true;
}

/** RFC 7512 §2.3: 1*DIGIT [ "." 1*DIGIT ]; CK_VERSION holds a byte for each. */
function parseVersion(value: string): { major: number; minor: number } {
  const match = /^(\d{1,3})(?:\.(\d{1,3}))?$/.exec(value);
  const major = Number(match?.[1]);
  const minor = Number(match?.[2] ?? 0);
  if (match === null || major > 255 || minor > 255) {
    throw new FormatError("ERR_URI_VERSION", `library-version "${value}" is not like 2.40`);
  }
  return { major, minor };
}

function decodeBytes(value: string): Uint8Array {
  const bytes: number[] = [];
  for (let at = 0; at < value.length; at++) {
    if (value[at] === "%") {
      bytes.push(Number.parseInt(value.slice(at + 1, at + 3), 16));
      at += 2;
    } else {
      bytes.push(value.charCodeAt(at));
    }
  }
  return Uint8Array.from(bytes);
}

function decodeText(name: string, value: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(decodeBytes(value));
  } catch {
    throw new FormatError("ERR_URI_ENCODING", `attribute "${name}" is not UTF-8`);
  }
}

function encodeText(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function encodeBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, "0").toUpperCase()}`).join(
    "",
  );
}

function matchesText(wanted: string | undefined, found: string): boolean {
  return wanted === undefined || wanted.trimEnd() === found.trimEnd();
}

function pinValue(): UsageError {
  return new UsageError("ERR_PIN_VALUE", "the URI contains a PIN", {
    hint: "a PIN in a URI ends up in shell histories and process lists; use pin-source= or --pin-source",
  });
}

function syntax(message: string): FormatError {
  return new FormatError("ERR_URI_SYNTAX", message);
}
