/** Revocation lists: which one is about a certificate, who may sign it, and what it says. */
import { describe, expect, it } from "@jest/globals";
import { der, TAG } from "../../src/asn1/der.js";
import { EXTENSION } from "../../src/x509/extensions.js";
import { parseCrl } from "../../src/x509/crl.js";
import {
  basicConstraints,
  DAY_MS,
  ECDSA_SHA1,
  extension,
  generalName,
  keyUsage,
  NOW_MS,
  rootAuthority,
  type Issuer,
} from "../support/certificates.js";
import { withinSeconds } from "../support/processor-time.js";
import {
  crl,
  crlNumber,
  deltaOf,
  distributionPoints,
  manyRevoked,
  reason,
  revoked,
  scope,
} from "../support/revocation.js";
import { trusted, verdict, type Asked } from "./support.js";

const { directory, uri } = generalName;
const root = rootAuthority();
const ca = root.authority("CA");
const bob = ca.issue();
/** The root's list, which says that the authorities below it are not revoked. */
const rootList = crl(root);

/** The verdict on Bob's certificate by these lists and the root's. */
function by(lists: readonly Uint8Array[], options: Partial<Asked> & { end?: Issuer } = {}): string {
  const { end = bob, ...asked } = options;
  return verdict(end, {
    anchors: [root],
    others: [ca],
    ...asked,
    crls: [rootList, ...lists].map(parseCrl),
  }).replace(/:.*?(?::|$)/, ":");
}

const REVOKED = /^ERR_CERTIFICATE_REVOKED/;
const UNKNOWN = /^ERR_REVOCATION_UNKNOWN/;

describe("a list of the issuer", () => {
  const other = ca.issue();

  it("says whether a certificate was revoked", () => {
    expect(by([crl(ca)])).toBe("trusted");
    expect(by([crl(ca, { entries: [revoked(other.certificate)] })])).toBe("trusted");
    expect(
      by([crl(ca, { entries: [revoked(other.certificate), revoked(bob.certificate)] })]),
    ).toMatch(REVOKED);
    expect(by([crl(ca, { entries: [revoked(bob.certificate, reason(6))] })])).toMatch(REVOKED);
  });

  it("is reported with its time", () => {
    const crls = [rootList, crl(ca)].map(parseCrl);
    const { unrevoked } = trusted(bob, { anchors: [root], others: [ca], crls });
    expect(unrevoked.map(({ by, asOfMs }) => [by, asOfMs])).toEqual([
      ["crl", NOW_MS - DAY_MS],
      ["crl", NOW_MS - DAY_MS],
    ]);
  });

  it("is needed for the authorities, too", () => {
    const revokedCa = crl(root, {
      entries: [revoked(ca.certificate)],
      thisUpdateMs: NOW_MS - 1000,
    });
    expect(by([crl(ca), revokedCa])).toMatch(REVOKED);
    const asked = { anchors: [root], others: [ca], crls: [parseCrl(crl(ca))] };
    expect(verdict(bob, asked)).toMatch(/^ERR_REVOCATION_UNKNOWN: .* of CN=CA /);
  });

  it("may be missing if that is said, but what is known counts", () => {
    const lax = { revocation: "if-known" } as const;
    expect(by([], lax)).toBe("trusted");
    expect(by([crl(ca, { entries: [revoked(bob.certificate)] })], lax)).toMatch(REVOKED);
    expect(verdict(bob, { anchors: [root], others: [ca], revocation: "required" })).toMatch(
      UNKNOWN,
    );
    expect(verdict(bob, { anchors: [root], others: [ca] })).toBe("trusted");
  });

  it.each<[string, Uint8Array]>([
    ["is missing", rootList],
    ["is out of date", crl(ca, { nextUpdateMs: NOW_MS - 1000 })],
    ["doesn't say how long it holds", crl(ca, { nextUpdateMs: null })],
    ["is of a later time", crl(ca, { thisUpdateMs: NOW_MS + 10 * 60_000 })],
    ["is signed by another key", crl(root.authority("CA"))],
    [
      "has an unknown critical extension",
      crl(ca, { extensions: [extension("1.2.3", der(TAG.null), true)] }),
    ],
    [
      "has a critical number",
      crl(ca, { extensions: [extension(EXTENSION.crlNumber, Uint8Array.of(2, 1, 1), true)] }),
    ],
    [
      "has an entry with an unknown critical extension",
      crl(ca, { entries: [revoked(other.certificate, extension("1.2.3", der(TAG.null), true))] }),
    ],
    [
      "has an entry of another issuer, without being indirect",
      crl(ca, {
        entries: [
          revoked(
            other.certificate,
            extension(EXTENSION.certificateIssuer, der(TAG.sequence, directory({ CN: "X" })), true),
          ),
        ],
      }),
    ],
    ["is a delta", crl(ca, { extensions: [crlNumber(2), deltaOf(1)] })],
    ["is about authorities", crl(ca, { extensions: [scope({ onlyAuthorities: true })] })],
    ["is about attribute certificates", crl(ca, { extensions: [scope({ onlyAttributes: true })] })],
    [
      "is about another distribution point",
      crl(ca, { extensions: [scope({ names: [uri("http://x/")] })] }),
    ],
    ["is about some reasons", crl(ca, { extensions: [scope({ reasons: [1, 2] })] })],
  ])("leaves it unknown if it %s", (_, list) => {
    expect(by([list])).toMatch(UNKNOWN);
  });

  it("is signed by a key that may sign lists", () => {
    const silent = root.authority("Silent", {
      extensions: [basicConstraints(true), keyUsage("keyCertSign")],
    });
    const asked = { others: [silent], end: silent.issue() };
    expect(by([crl(silent)], asked)).toMatch(UNKNOWN);
    // Another certificate of the same name may have that right.
    const signer = root.authority("Silent", { extensions: [keyUsage("cRLSign")] });
    expect(by([crl(signer)], { ...asked, others: [silent, signer] })).toBe("trusted");
    // But not below another anchor, nor one that was revoked.
    const stranger = rootAuthority().authority("Silent", { extensions: [keyUsage("cRLSign")] });
    expect(by([crl(stranger)], { ...asked, others: [silent, stranger] })).toMatch(UNKNOWN);
    const listed = crl(root, { entries: [revoked(signer.certificate)], thisUpdateMs: NOW_MS });
    expect(by([crl(signer), listed], { ...asked, others: [silent, signer] })).toMatch(UNKNOWN);
  });

  it("may be signed with SHA-1 only if that is allowed, and the reason is said", () => {
    const crls = [rootList, crl(ca, { algorithm: ECDSA_SHA1 })].map(parseCrl);
    const asked = { anchors: [root], others: [ca], crls };
    expect(verdict(bob, asked)).toMatch(/^ERR_REVOCATION_UNKNOWN: .* signed with SHA-1/);
    expect(verdict(bob, { ...asked, allowSha1: true })).toBe("trusted");
  });

  it("counts when it is the newest: an older one may be passed on by somebody revoked since", () => {
    const old = crl(ca, { thisUpdateMs: NOW_MS - 2 * DAY_MS });
    const current = crl(ca, { entries: [revoked(bob.certificate)] });
    expect(by([old, current])).toMatch(REVOKED);
    expect(by([current, old])).toMatch(REVOKED);
  });
});

describe("a distribution point", () => {
  const at = (...names: Uint8Array[]) => ca.issue({ extensions: [distributionPoints({ names })] });
  const [one, two] = [uri("http://x/1"), uri("http://x/2")];

  it("picks the list with its name", () => {
    const end = at(one);
    const list = (...names: Uint8Array[]) => crl(ca, { extensions: [scope({ names })] });
    expect(by([list(one)], { end })).toBe("trusted");
    expect(by([list(two, one)], { end })).toBe("trusted");
    expect(by([list(two)], { end })).toMatch(UNKNOWN);
    expect(by([list(directory({ CN: "CA" }))], { end })).toBe("trusted");
    expect(by([crl(ca)], { end })).toBe("trusted");
  });

  it("may cover some reasons, if lists cover all together", () => {
    const [some, rest] = [
      [1, 2],
      [3, 4, 5, 6, 7, 8],
    ];
    const end = ca.issue({
      extensions: [distributionPoints({ names: [one], reasons: some }, { names: [two] })],
    });
    const list = (name: Uint8Array, reasons: number[], ...entries: Uint8Array[]) =>
      crl(ca, { entries, extensions: [scope({ names: [name], reasons })] });
    expect(by([list(one, some)], { end })).toMatch(UNKNOWN);
    expect(by([list(one, some), list(two, rest)], { end })).toBe("trusted");
    expect(by([list(one, some), list(two, rest, revoked(end.certificate))], { end })).toMatch(
      REVOKED,
    );
    // Nothing new in the second.
    expect(by([list(one, some), list(two, some)], { end })).toMatch(UNKNOWN);
  });

  describe("may name another issuer of lists", () => {
    const signer = root.authority("Lists", { extensions: [keyUsage("cRLSign")] });
    const crlIssuer = [directory({ CN: "Lists" })];
    const end = ca.issue({ extensions: [distributionPoints({ names: [one], crlIssuer })] });
    const asked = { end, others: [ca, signer] };
    const indirect = { indirect: true, names: [one] };
    const issuerIs = (name: string) =>
      extension(EXTENSION.certificateIssuer, der(TAG.sequence, directory({ CN: name })), true);

    it("whose list is indirect", () => {
      expect(by([crl(signer, { extensions: [scope(indirect)] })], asked)).toBe("trusted");
      expect(by([crl(signer, { extensions: [scope({ names: [one] })] })], asked)).toMatch(UNKNOWN);
      const stranger = rootAuthority().authority("Lists", { extensions: [keyUsage("cRLSign")] });
      const list = crl(stranger, { extensions: [scope(indirect)] });
      expect(by([list], { ...asked, others: [ca, stranger] })).toMatch(UNKNOWN);
    });

    it("and whose entries name the issuers of certificates, each for those that follow", () => {
      const list = (...entries: Uint8Array[]) =>
        crl(signer, { entries, extensions: [scope(indirect)] });
      const [entry, first] = [end.certificate, { serial: Uint8Array.of(1) }];
      expect(by([list(revoked(entry))], asked)).toBe("trusted");
      expect(by([list(revoked(entry, issuerIs("CA")))], asked)).toMatch(REVOKED);
      expect(by([list(revoked(first, issuerIs("CA")), revoked(entry))], asked)).toMatch(REVOKED);
      expect(by([list(revoked(first, issuerIs("CA")), revoked(entry, issuerIs("X")))], asked)).toBe(
        "trusted",
      );
    });
  });
});

describe("a delta", () => {
  const base = (...entries: Uint8Array[]) => crl(ca, { entries, extensions: [crlNumber(5)] });
  const delta = (number: number, of: number, ...entries: Uint8Array[]) =>
    crl(ca, { entries, extensions: [crlNumber(number), deltaOf(of)] });
  const entry = revoked(bob.certificate);

  it("adds to its base, or takes away", () => {
    expect(by([base(), delta(6, 5, entry)])).toMatch(REVOKED);
    expect(by([delta(6, 5, entry), base()])).toMatch(REVOKED);
    expect(by([base(entry), delta(6, 5, revoked(bob.certificate, reason(8)))])).toBe("trusted");
    expect(by([base(entry), delta(6, 5)])).toMatch(REVOKED);
    // Of two, the newer one.
    const taken = delta(7, 5, revoked(bob.certificate, reason(8)));
    expect(by([base(entry), delta(6, 5, entry), taken])).toBe("trusted");
  });

  it.each([
    ["a later list", delta(9, 6, entry)],
    ["an earlier number", delta(5, 4, entry)],
    [
      "another scope",
      crl(ca, {
        entries: [entry],
        extensions: [crlNumber(6), deltaOf(5), scope({ onlyUsers: true })],
      }),
    ],
    [
      "another issuer",
      crl(root.authority("CA"), { entries: [entry], extensions: [crlNumber(6), deltaOf(5)] }),
    ],
  ])("with %s is passed over", (_, list) => {
    expect(by([base(), list])).toBe("trusted");
  });
});

it("a list of 100,000 entries takes less than half a second", () => {
  const list = crl(ca, { entries: [manyRevoked(100_000), revoked(bob.certificate)] });
  expect(withinSeconds(0.5, () => by([list]))).toMatch(REVOKED);
  expect(parseCrl(list).entries.count).toBe(100_001);
});
