/** How a URI can be made to match one of several keys: by what they differ in. */
import { toHex } from "../../bytes.js";
import type { Pkcs11Uri } from "../uri.js";
import type { KeyInfo } from "../values.js";

/** Advice for a URI that matches these keys, of which there are at least two. */
export function howToTellApart(uri: Pkcs11Uri, keys: readonly KeyInfo[]): string {
  const helpful = ATTRIBUTES.filter(
    ({ name, of }) => uri[name] === undefined && canBeNamed(keys.map(of)),
  );
  const sure = helpful.find(({ of }) => new Set(keys.map(of)).size === keys.length);
  const names = (sure === undefined ? withoutRepeat(helpful) : [sure]).map(
    ({ name }) => `${name}=`,
  );
  if (names.length === 0) {
    return "no URI tells them apart: give them different ids with the token's own tool";
  }
  return `add ${names.join(" and ")} to the URI; \`p11seal keys list\` shows them`;
}

/** An empty attribute in a URI names nothing. */
function canBeNamed(values: readonly string[]): boolean {
  return new Set(values).size > 1 && !values.includes("");
}

/** A token that its label tells apart needs no serial number. */
function withoutRepeat(helpful: typeof ATTRIBUTES): typeof ATTRIBUTES {
  const byLabel = helpful.some(({ name }) => name === "token");
  return helpful.filter(({ name }) => !(byLabel && name === "serial"));
}

const ATTRIBUTES: readonly {
  readonly name: "token" | "id" | "object" | "serial";
  readonly of: (key: KeyInfo) => string;
}[] = [
  { name: "token", of: ({ token }) => token.label },
  // A label is easier to type than an id.
  { name: "object", of: ({ label }) => label },
  { name: "id", of: ({ id }) => toHex(id) },
  { name: "serial", of: ({ token }) => token.serial },
];
