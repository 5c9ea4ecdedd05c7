/**
 * RFC 7512 URIs, by which people name modules, tokens and keys: parsed and written. uri-match.ts
 * compares them with what modules report.
 *
 * Parsing is strict: the grammar of RFC 7512 §2.3, no white space, no duplicates. A URI with a PIN
 * (`pin-value`) is refused, so that no PIN is kept. So is one with `slot-id`, because slot numbers
 * change when a token is initialized or a reader is plugged in again. Nothing here uses a module
 * or a file.
 */
import { bytesOfText, isExactText, textOfBytes } from "./byte-text.js";
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
  /** Vendors' own path attributes, still encoded. Whether they match cannot be decided here. */
  readonly otherPath?: readonly (readonly [name: string, value: string])[];
  /** Vendors' own query attributes, still encoded. They play no part in matching. */
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

/** Longest URI that is parsed, in characters. */
const MAX_URI = 8192;
/** RFC 7512 §2.3: pk11-path-res-avail and pk11-query-res-avail, with RFC 3986's unreserved set. */
const PATH_VALUE = /^(?:[A-Za-z0-9\-._~:[\]@!$'()*+,=&]|%[0-9A-Fa-f]{2})*$/;
const QUERY_VALUE = /^(?:[A-Za-z0-9\-._~:[\]@!$'()*+,=/?|]|%[0-9A-Fa-f]{2})*$/;

/** True when `text` has the scheme of these URIs. It may be malformed all the same. */
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
    throw new FormatError("ERR_URI_SCHEME", "the URI does not begin with pkcs11:", {
      hint: "a token that is called alice is named as pkcs11:token=alice",
    });
  }
  if (text.length > MAX_URI) {
    throw syntax(`the URI has ${text.length} characters; at most ${MAX_URI} are allowed`);
  }
  const body = text.slice("pkcs11:".length);
  const question = body.indexOf("?");
  const path = question < 0 ? body : body.slice(0, question);
  const query = question < 0 ? "" : body.slice(question + 1);
  // This check comes first, because an error about anything else could quote part of the PIN. No
  // standard defines `pin=` and the like, but their values would be PINs too.
  if (/(?:^|[&?;])pin(?!-source[=&;])[a-z_-]*(?:[=&;]|$)/i.test(`${path}?${query}`))
    throw pinValue();

  const uri: Writable<Pkcs11Uri> = {};
  const pathAttributes = split(path, ";", PATH_VALUE);
  refuseDuplicates(pathAttributes.map(([name]) => name));
  const otherPath = pathAttributes.filter(([name, value]) => !readPathAttribute(uri, name, value));
  const queryAttributes = split(query, "&", QUERY_VALUE);
  // RFC 7512 §2.3: only vendors' own query attributes may be repeated.
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
 * Parses a URI that was read from a file. Somebody else may have written the file, so the URI may
 * only choose a token and a key: neither the code that is loaded nor what is sent as a PIN.
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

/** Writes a URI in canonical form: in a fixed order, with all but unreserved characters encoded. */
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

/** Splits a component into names and values, both still encoded. An empty one has none. */
function split(component: string, separator: string, allowed: RegExp): [string, string][] {
  if (component === "") return [];
  return component.split(separator).map((attribute) => {
    const sign = attribute.indexOf("=");
    const name = sign < 0 ? attribute : attribute.slice(0, sign);
    if (name === "") throw syntax("the URI has an attribute without a name");
    if (!/^[A-Za-z0-9_-]+$/.test(name)) {
      throw syntax("an attribute name in the URI has a character that is not allowed");
    }
    if (sign < 0) throw syntax(`attribute "${name}" has no value`);
    const value = attribute.slice(sign + 1);
    if (/%(?![0-9A-Fa-f]{2})/.test(value)) {
      throw new FormatError(
        "ERR_URI_ENCODING",
        `attribute "${name}" has a % that is not followed by two hexadecimal digits`,
        { hint: "write the character % itself as %25" },
      );
    }
    if (!allowed.test(value)) {
      throw syntax(
        `attribute "${name}" has a character that must be percent-encoded`,
        "write a blank as %20, a semicolon as %3B, other characters as their UTF-8 bytes",
      );
    }
    return [name, value];
  });
}

function refuseDuplicates(names: readonly string[]): void {
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) {
    throw new FormatError("ERR_URI_DUPLICATE", `the URI has the attribute "${twice}" twice`, {
      hint: "leave one of them out",
    });
  }
}

/** Stores a path attribute. False when RFC 7512 does not define it. */
function readPathAttribute(uri: Writable<Pkcs11Uri>, name: string, value: string): boolean {
  const property = Object.hasOwn(PATH_TEXT, name) ? PATH_TEXT[name] : undefined;
  if (property !== undefined) {
    // Objects are compared byte for byte. Of the other names pkcs11js gives text alone.
    uri[property] =
      property === "object" ? textOfBytes(decodeBytes(value)) : decodeText(name, value);
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
      if (!/^[0-9]+$/.test(value)) throw syntax('attribute "slot-id" is not a number', NO_SLOTS);
      throw new UsageError("ERR_SLOT_ID", "the URI chooses a token by slot number", {
        hint: NO_SLOTS,
      });
    default:
      return false;
  }
}

const NO_SLOTS = "slot numbers change; use token= or serial= instead, `p11seal tokens` shows them";

/** Stores a query attribute. False when RFC 7512 does not define it. */
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
    throw new FormatError("ERR_URI_VERSION", `library-version "${value}" is not like 2.40`, {
      hint: "it has two numbers up to 255; leave it out, and any version will do",
    });
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
    throw new FormatError("ERR_URI_ENCODING", `attribute "${name}" is not UTF-8`, {
      hint: "percent-encode the text's UTF-8 bytes: ä is %C3%A4",
    });
  }
}

function encodeText(text: string): string {
  if (!isExactText(text)) return encodeBytes(bytesOfText(text));
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

function pinValue(): UsageError {
  return new UsageError("ERR_PIN_VALUE", "the URI contains a PIN", {
    hint: "a PIN in a URI ends up in shell histories and process lists; use pin-source= or --pin-source",
  });
}

function syntax(message: string, hint = LOOKS_LIKE): FormatError {
  return new FormatError("ERR_URI_SYNTAX", message, { hint });
}

const LOOKS_LIKE =
  "a URI looks like pkcs11:token=alice;object=mail%20key; `p11seal tokens` and `p11seal keys list` show them";
