/** Certificate policies: those that a path is valid for, and demands on them. */
import { describe, expect, it } from "@jest/globals";
import type { PolicyDemands } from "../../src/trust/path-validation.js";
import { EXTENSION } from "../../src/x509/extensions.js";
import {
  AUTHORITY_EXTENSIONS,
  extension,
  policies,
  policyConstraints,
  policyMappings,
  rootAuthority,
  smallInteger,
  type Issuer,
} from "../support/certificates.js";
import { trusted, verdict } from "./support.js";

const ANY = "2.5.29.32.0";
const [A, B, C] = ["1.2.3.1", "1.2.3.2", "1.2.3.3"] as const;
const root = rootAuthority();

const authority = (above: Issuer, name: string, ...extensions: Uint8Array[]) =>
  above.authority(name, { extensions: [...AUTHORITY_EXTENSIONS, ...extensions] });
const inhibitAny = (count: number) =>
  extension(EXTENSION.inhibitAnyPolicy, smallInteger(count), true);

/** The policies of a path over these authorities to a certificate with these extensions. */
function found(
  chain: readonly Issuer[],
  extensions: readonly Uint8Array[],
  demands: PolicyDemands = {},
): readonly string[] | string {
  const end = (chain.at(-1) ?? root).issue({ extensions });
  const asked = { anchors: [root], others: chain, ...demands };
  const text = verdict(end, asked);
  return text === "trusted" ? trusted(end, asked).policies : text.replace(/:.*/, "");
}

const NONE = "ERR_CERTIFICATE_POLICY";

describe("a path is valid for", () => {
  it.each<[string, Uint8Array[], Uint8Array[], readonly string[]]>([
    ["what all of it has", [policies(A, B)], [policies(B, C)], [B]],
    ["nothing, if none has any", [], [], []],
    ["nothing, if one has none", [], [policies(A)], []],
    ["nothing, if they have none in common", [policies(A)], [policies(B)], []],
    ["what anyPolicy stands for", [policies(ANY)], [policies(A)], [A]],
    ["what anyPolicy of the last one stands for", [policies(A)], [policies(ANY)], [A]],
    ["every policy", [policies(ANY)], [policies(ANY)], [ANY]],
    [
      "what is mapped, by the name that the anchor's side knows",
      [policies(A), policyMappings([A, B])],
      [policies(B)],
      [A],
    ],
    [
      "nothing, by the old name of what is mapped",
      [policies(A), policyMappings([A, B])],
      [policies(A)],
      [],
    ],
    ["what is mapped to two", [policies(A), policyMappings([A, B], [A, C])], [policies(C)], [A]],
    [
      "what two are mapped to",
      [policies(A, B), policyMappings([A, C], [B, C])],
      [policies(C)],
      [A, B],
    ],
    ["what is mapped below anyPolicy", [policies(ANY), policyMappings([A, B])], [policies(B)], [A]],
  ])("%s", (_, middle, end, expected) => {
    const result = found([authority(root, "Middle", ...middle)], end);
    expect(Array.from(result).sort()).toEqual([...expected].sort());
  });
});

describe("demands", () => {
  const both = [authority(root, "Middle", policies(A, B))];
  it("of a policy refuse a path without it", () => {
    expect(found(both, [policies(A)], { requirePolicy: true })).toEqual([A]);
    expect(found(both, [policies(A)], { requirePolicy: true, policies: [A, C] })).toEqual([A]);
    expect(found(both, [policies(A)], { requirePolicy: true, policies: [B] })).toBe(NONE);
    expect(found(both, [], { requirePolicy: true })).toBe(NONE);
    expect(found(both, [policies(A)], { policies: [B] })).toEqual([]);
    const any = [authority(root, "Middle", policies(ANY))];
    expect(found(any, [policies(ANY)], { requirePolicy: true, policies: [B] })).toEqual([B]);
  });

  it("not to follow mappings, or not to believe anyPolicy", () => {
    const mapped = [authority(root, "Middle", policies(A), policyMappings([A, B]))];
    expect(found(mapped, [policies(B)], { requirePolicy: true })).toEqual([A]);
    expect(found(mapped, [policies(B)], { requirePolicy: true, ignoreMappings: true })).toBe(NONE);
    const any = [authority(root, "Middle", policies(ANY))];
    expect(found(any, [policies(A)], { requirePolicy: true })).toEqual([A]);
    expect(found(any, [policies(A)], { requirePolicy: true, ignoreAnyPolicy: true })).toBe(NONE);
  });
});

describe("an authority", () => {
  it("may require a policy, from itself on or later", () => {
    const after = (count: number) => authority(root, "Middle", policyConstraints(count));
    expect(found([after(0)], [])).toBe(NONE);
    // Not reached: with 1 the end of the path counts, with 2 it doesn't.
    expect(found([after(1)], [])).toBe(NONE);
    expect(found([after(2)], [])).toEqual([]);
    expect(found([], [policyConstraints(0)])).toBe(NONE);
    expect(found([], [policyConstraints(1)])).toEqual([]);
  });

  it("may rule out mappings below it", () => {
    const first = (count: number) =>
      authority(root, "First", policies(A), policyConstraints(0, count));
    const chain = (count: number) => {
      const one = first(count);
      return [one, authority(one, "Second", policies(A), policyMappings([A, B]))];
    };
    expect(found(chain(0), [policies(B)])).toBe(NONE);
    expect(found(chain(1), [policies(B)])).toEqual([A]);
  });

  it("may rule out anyPolicy below it, but not for self-issued ones", () => {
    const first = (count: number) =>
      authority(root, "First", policies(A), policyConstraints(0), inhibitAny(count));
    expect(found([first(0)], [policies(ANY)])).toBe(NONE);
    expect(found([first(1)], [policies(ANY)])).toEqual([A]);
    const one = first(0);
    const self = authority(one, "First", policies(ANY));
    expect(found([one, self], [policies(A)])).toEqual([A]);
    const below = authority(one, "Below", policies(ANY));
    expect(found([one, below], [policies(A)])).toBe(NONE);
  });

  it("can't map to or from anyPolicy", () => {
    for (const pair of [
      [A, ANY],
      [ANY, A],
    ] as const) {
      const odd = authority(root, "Middle", policies(A), policyMappings(pair));
      expect(found([odd], [policies(A)])).toBe("ERR_CERTIFICATE_RULE");
    }
  });
});

describe("an anchor's own", () => {
  const below = (
    own: Uint8Array[],
    middle: Uint8Array[],
    end: Uint8Array[],
    demands: PolicyDemands = {},
  ) => {
    const extensions = [...AUTHORITY_EXTENSIONS, ...own];
    const anchor = rootAuthority("Anchor", { extensions });
    const between = authority(anchor, "Middle", ...middle);
    const bob = between.issue({ extensions: end });
    const asked = { anchors: [anchor], others: [between], ...demands };
    const text = verdict(bob, asked);
    return text === "trusted" ? trusted(bob, asked).policies : text.replace(/:.*/, "");
  };

  it("demands hold", () => {
    expect(below([], [], [])).toEqual([]);
    expect(below([policyConstraints(5)], [], [])).toBe(NONE);
    const mapped = [policies(A), policyMappings([A, B])];
    expect(below([policyConstraints(5)], mapped, [policies(B)])).toEqual([A]);
    expect(below([policyConstraints(5, 5)], mapped, [policies(B)])).toBe(NONE);
    const any = [policies(ANY)];
    expect(below([policyConstraints(5)], any, [policies(A)])).toEqual([A]);
    expect(below([policyConstraints(5), inhibitAny(5)], any, [policies(A)])).toBe(NONE);
  });

  it("policies limit the path's", () => {
    const required = { requirePolicy: true };
    const all = [policies(A, B, C)];
    expect(below([policies(A, C)], all, [policies(B, C)], required)).toEqual([C]);
    expect(below([policies(C)], all, [policies(B)], required)).toBe(NONE);
    expect(below([policies(C)], all, [policies(C)], { ...required, policies: [A] })).toBe(NONE);
    const demands = { ...required, policies: [C] };
    expect(below([policies(ANY)], all, [policies(C)], demands)).toEqual([C]);
  });
});
