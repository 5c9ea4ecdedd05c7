/** The rules of RFC 5280 §6.1 for paths, each broken on its own. */
import { generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { der, TAG } from "../../src/asn1/der.js";
import { EXTENSION } from "../../src/x509/extensions.js";
import { nameText } from "../../src/x509/name.js";
import {
  AUTHORITY_EXTENSIONS,
  basicConstraints,
  DAY_MS,
  extendedKeyUsage,
  extension,
  generalName,
  keyUsage,
  nameConstraints,
  NOW_MS,
  rootAuthority,
  subjectAltNames,
  type CertificateOptions,
} from "../support/certificates.js";
import { trusted, verdict } from "./support.js";

const root = rootAuthority();
const middle = root.authority("Middle");
const bob = middle.issue();
const asked = { anchors: [root], others: [middle] };

/** Bob's certificate below an intermediate made with these options. */
function below(options: CertificateOptions): string {
  const authority = root.authority("Odd", options);
  return verdict(authority.issue(), { anchors: [root], others: [authority] });
}

/** Bob's certificate, made with these options, below the root. */
const leaf = (options: CertificateOptions): string =>
  verdict(root.issue(options), { anchors: [root] });

/** Bob's certificate below a root made with these options. */
function under(options: CertificateOptions): string {
  const anchor = rootAuthority("Odd Root", options);
  return verdict(anchor.issue(), { anchors: [anchor] });
}

describe("a path", () => {
  it("leads from the certificate to the anchor", () => {
    const { path } = trusted(bob, asked);
    expect(path.map(({ subject }) => nameText(subject))).toEqual([
      "CN=Bob",
      "CN=Middle",
      "CN=Root",
    ]);
  });

  it("is found among certificates of the same names, and with the issuer given twice", () => {
    const others = [root.authority("Middle"), rootAuthority("Middle"), middle, middle, root, bob];
    expect(verdict(bob, { anchors: [rootAuthority(), root], others })).toBe("trusted");
  });

  it("may lead over a second chain when the first has expired", () => {
    const expired = root.authority("Middle", {
      keys: middle.keys,
      notAfterMs: NOW_MS - DAY_MS,
    });
    expect(verdict(bob, { anchors: [root], others: [expired] })).toMatch(/^ERR_CERTIFICATE_TIME/);
    expect(verdict(bob, { anchors: [root], others: [expired, middle] })).toBe("trusted");
  });

  it("is the certificate alone when that is an anchor", () => {
    expect(trusted(bob, { anchors: [bob] }).path).toHaveLength(1);
    const self = rootAuthority("Self", { extensions: [] });
    expect(verdict(self, { anchors: [self] })).toBe("trusted");
    expect(verdict(self, { anchors: [self], atMs: NOW_MS + 366 * DAY_MS })).toMatch(/expired/);
  });

  it.each([
    ["the issuer is unknown", bob, { anchors: [root] }, "CN=Middle is no trusted authority"],
    ["there is no anchor", bob, { anchors: [], others: [middle, root] }, "which is not trusted"],
    [
      "only an intermediate is at hand",
      bob,
      { anchors: [], others: [middle] },
      "its certificate is not at hand",
    ],
    [
      "the issuer has another key",
      bob,
      { anchors: [root], others: [root.authority("Middle")] },
      "is not signed by",
    ],
    [
      "the anchor has another key",
      root.issue(),
      { anchors: [rootAuthority()] },
      "is not signed by",
    ],
  ])("is missing if %s", (_, certificate, demands, message) => {
    expect(verdict(certificate, demands)).toContain(message);
  });

  it("has eight intermediates at most, and ten with self-issued ones", () => {
    const chain = [root];
    for (let n = 1; n <= 9; n++) chain.push((chain.at(-1) as typeof root).authority(`CA ${n}`));
    const ends = chain.map((authority) =>
      verdict(authority.issue(), { anchors: [root], others: chain }),
    );
    expect(ends.slice(0, 9).every((end) => end === "trusted")).toBe(true);
    expect(ends[9]).toMatch(/^ERR_CERTIFICATE_PATH: .* too long/);
    const one = { anchors: [root], others: chain, maxIntermediates: 1 };
    expect(verdict((chain[1] as typeof root).issue(), one)).toBe("trusted");
    expect(verdict((chain[2] as typeof root).issue(), one)).toMatch(/too long/);
    const own = [root];
    for (let n = 1; n <= 11; n++) own.push((own.at(-1) as typeof root).authority("Root"));
    expect(verdict((own[10] as typeof root).issue(), { ...one, others: own })).toBe("trusted");
    expect(verdict((own[11] as typeof root).issue(), { ...one, others: own })).toMatch(/too long/);
  });
});

describe("time", () => {
  const exact = { notBeforeMs: NOW_MS, notAfterMs: NOW_MS };
  it("the first and the last second belong to it", () => {
    expect(leaf(exact)).toBe("trusted");
    const certificate = root.issue(exact);
    const at = (atMs: number) => verdict(certificate, { anchors: [root], atMs });
    expect(at(NOW_MS + 999)).toBe("trusted");
    expect(at(NOW_MS + 1000)).toMatch(/^ERR_CERTIFICATE_TIME: .* expired on 2026-01-15/);
    expect(at(NOW_MS - 1)).toMatch(/^ERR_CERTIFICATE_TIME: .* is not valid before 2026-01-15/);
  });

  it("holds for intermediates and for the anchor", () => {
    expect(below({ notAfterMs: NOW_MS - 1000 })).toMatch(/certificate of CN=Odd expired/);
    expect(below({ notBeforeMs: NOW_MS + 1000 })).toMatch(/CN=Odd is not valid before/);
    expect(under({ notAfterMs: NOW_MS - 1000 })).toMatch(/CN=Odd Root expired/);
  });
});

describe("an authority is refused", () => {
  const rule = /^ERR_CERTIFICATE_RULE: /;
  it.each<[string, readonly Uint8Array[]]>([
    ["without basic constraints", [keyUsage("keyCertSign")]],
    ["that is an end entity", [basicConstraints(false), keyUsage("keyCertSign")]],
    ["that may not sign certificates", [basicConstraints(true), keyUsage("cRLSign")]],
    [
      "with an unknown critical extension",
      [...AUTHORITY_EXTENSIONS, extension("1.2.3.4", der(TAG.null), true)],
    ],
    [
      "with a critical authority key identifier",
      [...AUTHORITY_EXTENSIONS, extension(EXTENSION.authorityKeyId, der(TAG.sequence), true)],
    ],
  ])("%s, as an intermediate and as an anchor", (_, extensions) => {
    expect(below({ extensions })).toMatch(rule);
    expect(under({ extensions })).toMatch(rule);
  });

  it("without a name", () => {
    expect(below({ subject: {} })).toMatch(rule);
  });

  it("but not for basic constraints that are not critical, nor without a key usage", () => {
    expect(below({ extensions: [basicConstraints(true, undefined, false)] })).toBe("trusted");
  });
});

describe("a length that an authority allows", () => {
  const limited = (pathLength: number) =>
    root.authority("Limited", { extensions: [basicConstraints(true, pathLength)] });

  it("counts the intermediates below it", () => {
    for (const [length, depth, end] of [
      [0, 0, "trusted"],
      [0, 1, "ERR_CERTIFICATE_RULE"],
      [1, 1, "trusted"],
      [1, 2, "ERR_CERTIFICATE_RULE"],
    ] as const) {
      const chain = [limited(length)];
      for (let n = 0; n < depth; n++)
        chain.push((chain.at(-1) as typeof root).authority(`CA ${n}`));
      const certificate = (chain.at(-1) as typeof root).issue();
      expect([
        length,
        depth,
        verdict(certificate, { anchors: [root], others: chain }).split(":")[0],
      ]).toEqual([length, depth, end]);
    }
  });

  it("is not extended by one below it, and self-issued ones don't count", () => {
    const first = limited(0);
    const self = first.authority("Limited");
    expect(verdict(self.issue(), { anchors: [root], others: [first, self] })).toBe("trusted");
    const one = limited(1);
    const second = one.authority("Second", { extensions: [basicConstraints(true, 9)] });
    const third = second.authority("Third");
    const chain = { anchors: [root], others: [one, second, third] };
    expect(verdict(second.issue(), chain)).toBe("trusted");
    expect(verdict(third.issue(), chain)).toMatch(/^ERR_CERTIFICATE_RULE/);
  });

  it("counts from the anchor, too", () => {
    const anchor = rootAuthority("Short", { extensions: [basicConstraints(true, 0)] });
    const between = anchor.authority("Between");
    expect(verdict(anchor.issue(), { anchors: [anchor] })).toBe("trusted");
    expect(verdict(between.issue(), { anchors: [anchor], others: [between] })).toMatch(
      /^ERR_CERTIFICATE_RULE/,
    );
  });
});

describe("an end entity is refused", () => {
  it.each<[string, CertificateOptions]>([
    [
      "with an unknown critical extension",
      { extensions: [extension("1.2.3.4", der(TAG.null), true)] },
    ],
    ["with keyCertSign", { extensions: [keyUsage("digitalSignature", "keyCertSign")] }],
    ["with name constraints", { extensions: [nameConstraints([generalName.dns("example.com")])] }],
    ["without a name", { subject: {} }],
    [
      "with its only name in an extension that is not critical",
      { subject: {}, extensions: [subjectAltNames(generalName.email("bob@example.com"))] },
    ],
    ["with an empty issuer", { fields: { issuer: der(TAG.sequence) } }],
  ])("%s", (_, options) => {
    expect(leaf(options)).not.toBe("trusted");
  });

  it("but not with an unknown extension that is not critical, nor without any", () => {
    expect(leaf({ extensions: [extension("1.2.3.4", der(TAG.null))] })).toBe("trusted");
    expect(leaf({ extensions: [] })).toBe("trusted");
  });

  it("but not with its only name in a critical extension", () => {
    const value = der(TAG.sequence, generalName.email("bob@example.com"));
    const extensions = [extension(EXTENSION.subjectAltName, value, true)];
    expect(leaf({ subject: {}, extensions })).toBe("trusted");
  });
});

describe("the use", () => {
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const weak = generateKeyPairSync("rsa", { modulusLength: 1024 });
  const MAIL = "1.3.6.1.5.5.7.3.4";
  const SERVER = "1.3.6.1.5.5.7.3.1";
  const ANY = "2.5.29.37.0";
  it.each<["encrypt" | "sign", string, CertificateOptions, boolean]>([
    ["encrypt", "no usage", { extensions: [] }, true],
    ["encrypt", "EC with keyAgreement", { extensions: [keyUsage("keyAgreement")] }, true],
    ["encrypt", "EC with keyEncipherment", { extensions: [keyUsage("keyEncipherment")] }, false],
    [
      "encrypt",
      "RSA with keyEncipherment",
      { keys: rsa, extensions: [keyUsage("keyEncipherment")] },
      true,
    ],
    [
      "encrypt",
      "RSA with keyAgreement",
      { keys: rsa, extensions: [keyUsage("keyAgreement")] },
      false,
    ],
    ["encrypt", "digitalSignature", { extensions: [keyUsage("digitalSignature")] }, false],
    ["encrypt", "weak RSA", { keys: weak, extensions: [] }, false],
    ["sign", "digitalSignature", { extensions: [keyUsage("digitalSignature")] }, true],
    ["sign", "nonRepudiation", { extensions: [keyUsage("nonRepudiation")] }, true],
    ["sign", "keyAgreement", { extensions: [keyUsage("keyAgreement")] }, false],
    ["sign", "weak RSA", { keys: weak, extensions: [] }, false],
    ["sign", "for mail", { extensions: [extendedKeyUsage(SERVER, MAIL)] }, true],
    ["sign", "for anything", { extensions: [extendedKeyUsage(SERVER, ANY)] }, true],
    ["sign", "for servers", { extensions: [extendedKeyUsage(SERVER)] }, false],
    ["encrypt", "for servers", { extensions: [extendedKeyUsage(SERVER)] }, false],
    [
      "encrypt",
      "for Protect-CmsMessage",
      { extensions: [extendedKeyUsage("1.3.6.1.4.1.311.80.1")] },
      true,
    ],
    [
      "sign",
      "for Protect-CmsMessage",
      { extensions: [extendedKeyUsage("1.3.6.1.4.1.311.80.1")] },
      false,
    ],
  ])("%s: %s", (use, _, options, allowed) => {
    const found = verdict(root.issue(options), { anchors: [root], use });
    if (allowed) expect(found).toBe("trusted");
    else expect(found).toMatch(/^ERR_CERTIFICATE_USAGE: /);
    expect(verdict(root.issue(options), { anchors: [root], use: "any" })).toBe("trusted");
  });

  it("is limited by intermediates, and not by the anchor", () => {
    const extensions = [...AUTHORITY_EXTENSIONS, extendedKeyUsage(SERVER)];
    const servers = root.authority("Servers", { extensions });
    const demands = { anchors: [root], others: [servers], use: "sign" } as const;
    expect(verdict(servers.issue(), demands)).toMatch(
      /^ERR_CERTIFICATE_USAGE: certificate of CN=Servers/,
    );
    const anchor = rootAuthority("Servers", { extensions });
    expect(verdict(anchor.issue(), { anchors: [anchor], use: "sign" })).toBe("trusted");
  });
});

describe("a signature", () => {
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const SHA1 = {
    identifier: { oid: "1.2.840.113549.1.1.5", parameters: der(TAG.null) },
    hash: "sha1",
  };
  const SHA256 = {
    identifier: { oid: "1.2.840.113549.1.1.11", parameters: der(TAG.null) },
    hash: "sha256",
  };
  const MD5 = {
    identifier: { oid: "1.2.840.113549.1.1.4", parameters: der(TAG.null) },
    hash: "md5",
  };

  it("with SHA-1 counts only if that is allowed", () => {
    const anchor = rootAuthority("RSA", { keys: rsa, algorithm: SHA256 });
    const certificate = anchor.issue({ algorithm: SHA1 });
    expect(verdict(certificate, { anchors: [anchor] })).toMatch(
      /^ERR_CERTIFICATE_SIGNATURE: .*SHA-1/,
    );
    expect(verdict(certificate, { anchors: [anchor], allowSha1: true })).toBe("trusted");
    expect(verdict(anchor.issue({ algorithm: SHA256 }), { anchors: [anchor] })).toBe("trusted");
  });

  it("of the anchor on itself may be SHA-1, and is not looked at", () => {
    const anchor = rootAuthority("RSA", { keys: rsa, algorithm: SHA1 });
    expect(verdict(anchor.issue({ algorithm: SHA256 }), { anchors: [anchor] })).toBe("trusted");
  });

  it("with MD5 never counts, nor one by RSA of 1,024 bits", () => {
    const anchor = rootAuthority("RSA", { keys: rsa, algorithm: SHA256 });
    const md5 = anchor.issue({ algorithm: MD5 });
    expect(verdict(md5, { anchors: [anchor], allowSha1: true })).toMatch(
      /RSA MD5 is not supported/,
    );
    const keys = generateKeyPairSync("rsa", { modulusLength: 1024 });
    const weak = rootAuthority("Weak", { keys, algorithm: SHA256 });
    expect(verdict(weak.issue({ algorithm: SHA256 }), { anchors: [weak] })).toMatch(/1024 bits/);
  });

  it("that was altered doesn't count", () => {
    const bytes = Uint8Array.from(bob.certificate.der);
    bytes[bytes.length - 10] = (bytes.at(-10) as number) ^ 1;
    const altered = {
      ...bob.certificate,
      signature: bytes.subarray(-bob.certificate.signature.length),
    };
    expect(verdict(altered, asked)).toMatch(/^ERR_CERTIFICATE_SIGNATURE/);
  });
});
