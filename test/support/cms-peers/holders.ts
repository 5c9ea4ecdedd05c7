/**
 * Holders of a key and a certificate, in the files that the peers want: PEM, DER, and PKCS#12 with
 * and without a password. One authority issued them all.
 */
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { chmodSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { der, TAG } from "../../../src/asn1/der.js";
import { EXTENSION, type KeyUsage } from "../../../src/x509/extensions.js";
import {
  basicConstraints,
  DAY_MS,
  extension,
  generalName,
  keyIdentifier,
  keyUsage,
  pemOf,
  rootAuthority,
  subjectAltNames,
  type CertificateOptions,
  type Issuer,
  type KeyPair,
} from "../certificates.js";

export interface Holder {
  readonly name: string;
  /** `NAME@example.org`, in the certificate. */
  readonly mail: string;
  /** Paths. The key is PKCS#8 in PEM. */
  readonly key: string;
  readonly certificate: string;
  readonly certificateDer: string;
  /** The password is `PKCS12_PASSWORD`. */
  readonly pkcs12: string;
  readonly pkcs12Open: string;
}

export const PKCS12_PASSWORD = "x";

/** Keys that sign as well as decrypt, but for X25519. */
const KINDS = {
  rsa: () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
  p256: () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
  p384: () => generateKeyPairSync("ec", { namedCurve: "P-384" }),
  p521: () => generateKeyPairSync("ec", { namedCurve: "P-521" }),
  x25519: () => generateKeyPairSync("x25519"),
  ed25519: () => generateKeyPairSync("ed25519"),
} as const satisfies Record<string, () => KeyPair>;

export type HolderKind = keyof typeof KINDS;

const USAGES: Readonly<Record<HolderKind, readonly KeyUsage[]>> = {
  rsa: ["digitalSignature", "keyEncipherment"],
  p256: ["digitalSignature", "keyAgreement"],
  p384: ["digitalSignature", "keyAgreement"],
  p521: ["digitalSignature", "keyAgreement"],
  x25519: ["keyAgreement"],
  ed25519: ["digitalSignature"],
};

export class Holders {
  readonly rootPem: string;
  readonly #root: Issuer;
  readonly #folder: string;
  readonly #made = new Map<string, Holder>();

  constructor(folder: string) {
    this.#folder = folder;
    this.#root = rootAuthority("p11seal test root", validNow());
    this.rootPem = join(folder, "root.pem");
    writeFileSync(this.rootPem, pemOf("CERTIFICATE", this.rootDer));
  }

  get rootDer(): Uint8Array {
    return this.#root.certificate.der;
  }

  of(kind: HolderKind): Holder {
    const made = this.#made.get(kind) ?? this.#write(kind);
    this.#made.set(kind, made);
    return made;
  }

  /** A certificate of the root for a public key that lives elsewhere. */
  issue(name: string, publicKey: KeyObject, usages: readonly KeyUsage[]): Uint8Array {
    const spki = publicKey.export({ format: "der", type: "spki" });
    const extensions = [
      basicConstraints(false),
      keyUsage(...usages),
      extension(EXTENSION.subjectKeyId, der(TAG.octetString, keyIdentifier(spki))),
      subjectAltNames(generalName.email(`${name}@example.org`)),
    ];
    const content = { ...validNow(), subject: { CN: name }, extensions };
    return this.#root.certify(publicKey, content).der;
  }

  /**
   * One with ML-KEM-768, which Node may not know: made by an OpenSSL that does. It has its key and
   * certificate in PEM, and no other files.
   */
  mlKem([openssl, ...first]: readonly [string, ...string[]]): Holder {
    const at = (ending: string): string => join(this.#folder, `mlkem.${ending}`);
    const run = (...args: readonly string[]): Buffer => {
      const { status, stdout, stderr } = spawnSync(openssl, [...first, ...args]);
      if (status !== 0) throw new Error(stderr.toString());
      return stdout;
    };
    run("genpkey", "-algorithm", "ML-KEM-768", "-out", at("key"));
    chmodSync(at("key"), 0o600);
    const spki = run("pkey", "-in", at("key"), "-pubout", "-outform", "DER");
    const certificate = this.#root.issueBytes({
      ...validNow(),
      subject: { CN: "mlkem" },
      extensions: [basicConstraints(false), keyUsage("keyEncipherment")],
      fields: { spki },
    });
    writeFileSync(at("crt"), pemOf("CERTIFICATE", certificate));
    return this.#holder("mlkem");
  }

  #write(kind: HolderKind): Holder {
    const at = (ending: string): string => join(this.#folder, `${kind}.${ending}`);
    const { publicKey, privateKey } = KINDS[kind]();
    const certificate = this.issue(kind, publicKey, USAGES[kind]);
    writeFileSync(at("key"), privateKey.export({ format: "pem", type: "pkcs8" }));
    chmodSync(at("key"), 0o600);
    writeFileSync(at("crt"), pemOf("CERTIFICATE", certificate));
    writeFileSync(at("cer"), certificate);
    for (const [file, password] of [
      ["p12", PKCS12_PASSWORD],
      ["open.p12", ""],
    ] as const) {
      // What programs of any age can read.
      const old = ["-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES", "-macalg", "sha1"];
      const files = ["-inkey", at("key"), "-in", at("crt"), "-out", at(file)];
      const args = ["pkcs12", "-export", "-name", kind, "-passout", `pass:${password}`];
      const { status, stderr } = spawnSync("openssl", [...args, ...old, ...files]);
      if (status !== 0) throw new Error(stderr.toString());
    }
    return this.#holder(kind);
  }

  #holder(name: string): Holder {
    const at = (ending: string): string => join(this.#folder, `${name}.${ending}`);
    return {
      name,
      mail: `${name}@example.org`,
      key: at("key"),
      certificate: at("crt"),
      certificateDer: at("cer"),
      pkcs12: at("p12"),
      pkcs12Open: at("open.p12"),
    };
  }
}

function validNow(): Pick<CertificateOptions, "notBeforeMs" | "notAfterMs"> {
  return { notBeforeMs: Date.now() - DAY_MS, notAfterMs: Date.now() + 30 * DAY_MS };
}
