/**
 * Certificates made to waste time: circles, many authorities of one name, and names, constraints
 * and policies that multiply. Each is refused within a bound, or checked quickly.
 */
import { describe, expect, it } from "@jest/globals";
import {
  AUTHORITY_EXTENSIONS,
  generalName,
  nameConstraints,
  newKeys,
  policies,
  policyMappings,
  rootAuthority,
  subjectAltNames,
  type Issuer,
} from "../support/certificates.js";
import { withinSeconds } from "../support/processor-time.js";
import { crl, distributionPoints, scope } from "../support/revocation.js";
import { parseCrl } from "../../src/x509/crl.js";
import { verdict, type Asked } from "./support.js";

const root = rootAuthority();
const EFFORT = /^ERR_CERTIFICATE_EFFORT/;
const PATH = /^ERR_CERTIFICATE_(?:PATH|SIGNATURE)/;

/** The verdict, which must come within a second of processor time. */
function quickly(end: Issuer, asked: Asked): string {
  return withinSeconds(1, () => verdict(end, asked));
}

const times = <T>(count: number, make: (n: number) => T): T[] =>
  Array.from({ length: count }, (_, n) => make(n));

describe("circles", () => {
  it("of two authorities end", () => {
    const [a, b] = [rootAuthority("A"), rootAuthority("B")];
    const aByB = b.authority("A", { keys: a.keys });
    const bByA = a.authority("B", { keys: b.keys });
    const others = [aByB, bByA];
    expect(quickly(a.issue(), { anchors: [root], others })).toMatch(PATH);
    const bByRoot = root.authority("B", { keys: b.keys });
    expect(quickly(a.issue(), { anchors: [root], others: [...others, bByRoot] })).toBe("trusted");
  });

  it("of twenty authorities, each certified by all others, end", () => {
    const all = times(20, (n) => rootAuthority(`CA ${n}`));
    const others = all.flatMap((issuer) =>
      all.map((subject, n) => issuer.authority(`CA ${n}`, { keys: subject.keys })),
    );
    expect(quickly((all[0] as Issuer).issue(), { anchors: [root], others })).toMatch(EFFORT);
  });
});

describe("authorities of one name", () => {
  it("with a key each end: every one of them could be the issuer", () => {
    const others = times(300, () => root.authority("CA"));
    const end = rootAuthority("CA").issue();
    expect(quickly(end, { anchors: [root], others })).toMatch(EFFORT);
  });

  it("in levels, with all of each level signed by all of the next, end", () => {
    // 165 signatures, and 3^7 paths.
    const levels = times(8, () => times(3, () => newKeys()));
    const named = levels.map((level, n) =>
      level.map((keys) => rootAuthority(`Level ${n}`, { keys })),
    );
    const others = named.flatMap((issuers, n) =>
      issuers.flatMap((issuer) =>
        (levels[n - 1] ?? []).map((keys) => issuer.authority(`Level ${n - 1}`, { keys })),
      ),
    );
    const end = (named[0]?.[0] as Issuer).issue();
    expect(quickly(end, { anchors: [root], others })).toMatch(EFFORT);
  });
});

describe("names and constraints", () => {
  it("that multiply are counted before they are compared", () => {
    const bases = times(1200, (n) => generalName.dns(`${n}.example.com`));
    const extensions = [...AUTHORITY_EXTENSIONS, nameConstraints(bases, bases)];
    const authority = root.authority("CA", { extensions });
    const names = times(1000, (n) => generalName.dns(`x.${n}.example.com`));
    const end = authority.issue({ extensions: [subjectAltNames(...names)] });
    const asked = { anchors: [root], others: [authority] };
    expect(quickly(end, asked)).toMatch(EFFORT);
    const few = authority.issue({ extensions: [subjectAltNames(generalName.email("a@b.org"))] });
    expect(quickly(few, asked)).toBe("trusted");
  });
});

it("a long name that is compared with many constraints is taken apart once", () => {
  const bases = times(20_000, (n) => generalName.email(`${n}.example.com`));
  const extensions = [...AUTHORITY_EXTENSIONS, nameConstraints([], bases)];
  const authority = root.authority("CA", { extensions });
  const names = [generalName.email(`${"a.".repeat(200_000)}a@example.com`)];
  const end = authority.issue({ extensions: [subjectAltNames(...names)] });
  expect(quickly(end, { anchors: [root], others: [authority] })).toBe("trusted");
});

describe("names of distribution points", () => {
  it("that multiply are counted before they are compared", () => {
    const names = times(1500, (n) => generalName.uri(`http://${n}/`));
    const end = root.issue({ extensions: [distributionPoints({ names })] });
    const own = times(1500, (n) => generalName.uri(`http://x${n}/`));
    const crls = [parseCrl(crl(root, { extensions: [scope({ names: own })] }))];
    expect(quickly(end, { anchors: [root], crls })).toMatch(EFFORT);
  });
});

describe("policies", () => {
  it("that are mapped to each other, in a tree of millions of nodes, are a graph of hundreds", () => {
    const own = times(40, (n) => `1.2.3.${n}`);
    const pairs = own.flatMap((from) => own.map((to) => [from, to] as const));
    const chain = [root];
    for (let n = 0; n < 8; n++) {
      const extensions = [...AUTHORITY_EXTENSIONS, policies(...own), policyMappings(...pairs)];
      chain.push((chain.at(-1) as Issuer).authority(`CA ${n}`, { extensions }));
    }
    const end = (chain.at(-1) as Issuer).issue({ extensions: [policies(...own)] });
    expect(quickly(end, { anchors: [root], others: chain, requirePolicy: true })).toBe("trusted");
  });
});

it("a chain and its authorities given many times cost no more than once", () => {
  const authority = root.authority("CA");
  const others = times(2000, () => authority);
  expect(quickly(authority.issue(), { anchors: times(500, () => root), others })).toBe("trusted");
});
