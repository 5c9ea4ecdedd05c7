/** Types of attributes in names: the keyword that stands for each in text, and its syntax. */

export interface AttributeType {
  /** As it is written. Read in any case. */
  readonly keyword: string;
  /** Another keyword, which is read only. */
  readonly alias?: string;
  /** Dotted. */
  readonly oid: string;
  readonly syntax: AttributeSyntax;
}

/** What a value may be: any text, PrintableString, IA5String, or a country's two letters. */
export type AttributeSyntax = "text" | "printable" | "ia5" | "country";

/** RFC 4514 §3 and RFC 5280 appendix A.1, and those that certificates have besides. */
export const ATTRIBUTE_TYPES: readonly AttributeType[] = [
  { keyword: "CN", oid: "2.5.4.3", syntax: "text" },
  { keyword: "SN", oid: "2.5.4.4", syntax: "text" },
  { keyword: "serialNumber", oid: "2.5.4.5", syntax: "printable" },
  { keyword: "C", oid: "2.5.4.6", syntax: "country" },
  { keyword: "L", oid: "2.5.4.7", syntax: "text" },
  { keyword: "ST", oid: "2.5.4.8", syntax: "text" },
  { keyword: "STREET", oid: "2.5.4.9", syntax: "text" },
  { keyword: "O", oid: "2.5.4.10", syntax: "text" },
  { keyword: "OU", oid: "2.5.4.11", syntax: "text" },
  { keyword: "title", alias: "T", oid: "2.5.4.12", syntax: "text" },
  { keyword: "GN", oid: "2.5.4.42", syntax: "text" },
  { keyword: "dnQualifier", oid: "2.5.4.46", syntax: "printable" },
  // ETSI EN 319 412-1 §5.1.4.
  { keyword: "organizationIdentifier", oid: "2.5.4.97", syntax: "text" },
  { keyword: "UID", oid: "0.9.2342.19200300.100.1.1", syntax: "text" },
  { keyword: "DC", oid: "0.9.2342.19200300.100.1.25", syntax: "ia5" },
  { keyword: "emailAddress", alias: "E", oid: "1.2.840.113549.1.9.1", syntax: "ia5" },
];
