/** GeneralName (RFC 5280 §4.2.1.6): the kinds of names that extensions hold. */
import { DerReader, TAG } from "../asn1/der.js";
import { oidText } from "../asn1/oid.js";
import { FormatError } from "../errors.js";
import { readName, type Name } from "./name.js";

export type GeneralName =
  /** `text` is IA5: a mail address, a DNS name, a URI. */
  | { readonly type: "email" | "dns" | "uri"; readonly text: string }
  | { readonly type: "directory"; readonly name: Name }
  /** An address of 4 or 16 bytes; in a constraint with its mask, 8 or 32. */
  | { readonly type: "ip"; readonly bytes: Uint8Array }
  | { readonly type: "registeredId"; readonly oid: string }
  /** `value` is the DER value, whole. */
  | { readonly type: "other"; readonly oid: string; readonly value: Uint8Array }
  | { readonly type: "x400" | "ediParty"; readonly value: Uint8Array };

/** Reads a SEQUENCE OF GeneralName, which must not be empty; `tag` may be an implicit one. */
export function readGeneralNames(reader: DerReader, tag: number = TAG.sequence): GeneralName[] {
  const list = reader.constructed(tag);
  const names: GeneralName[] = [];
  do {
    if (names.length === MAX_NAMES) throw new FormatError("ERR_DER", "a list has over 4096 names");
    names.push(readGeneralName(list));
  } while (list.peek() !== undefined);
  return names;
}

/** Reads the next value of `reader`. */
export function readGeneralName(reader: DerReader): GeneralName {
  const tag = reader.peek();
  switch (tag) {
    case 0xa0: {
      const fields = reader.constructed(tag);
      const oid = oidText(fields.read(TAG.oid));
      const wrapper = fields.constructed(0xa0);
      fields.end();
      const value = wrapper.any();
      wrapper.end();
      return { type: "other", oid, value };
    }
    case 0x81:
      return { type: "email", text: ia5(reader.read(tag)) };
    case 0x82:
      return { type: "dns", text: ia5(reader.read(tag)) };
    case 0xa3:
      return { type: "x400", value: reader.any() };
    case 0xa4: {
      // Name is a CHOICE, so its tag is explicit (X.680 §31.2.7).
      const wrapper = reader.constructed(tag);
      const name = readName(wrapper);
      wrapper.end();
      return { type: "directory", name };
    }
    case 0xa5:
      return { type: "ediParty", value: reader.any() };
    case 0x86:
      return { type: "uri", text: ia5(reader.read(tag)) };
    case 0x87:
      return { type: "ip", bytes: reader.read(tag) };
    case 0x88:
      return { type: "registeredId", oid: oidText(reader.read(tag)) };
    case undefined:
    default:
      throw new FormatError("ERR_DER", "a name is of no known kind");
  }
}

/** What kind of name it is, in words: `mail address`. */
export function generalNameKind(name: GeneralName): string {
  return KINDS[name.type];
}

function ia5(bytes: Uint8Array): string {
  if (bytes.some((byte) => byte > 0x7f)) {
    throw new FormatError("ERR_DER", "a name has characters beyond ASCII");
  }
  return Buffer.from(bytes).toString("latin1");
}

const KINDS: Readonly<Record<GeneralName["type"], string>> = {
  email: "mail address",
  dns: "DNS name",
  uri: "URI",
  directory: "directory name",
  ip: "IP address",
  registeredId: "registered ID",
  other: "other name",
  x400: "X.400 address",
  ediParty: "EDI party name",
};

const MAX_NAMES = 4096;
