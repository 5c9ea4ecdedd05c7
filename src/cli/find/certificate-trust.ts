/**
 * Whether a certificate is believed, by what the user trusts: the authorities that `--trust` names,
 * or else those of the data folder and of `config.toml`. Revocation is known from the files of
 * `--crl` and `--ocsp`; the time is `--at`, or now. Nothing is fetched.
 */
import { existsSync } from "node:fs";
import { realpath } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { defined } from "../../defined.js";
import { FormatError, PolicyError } from "../../errors.js";
import { naming } from "../../keys/refusals.js";
import { findAuthority, readAuthorities } from "../../records/authorities.js";
import { configPath, readConfig } from "../../records/config.js";
import { parseMoment } from "../../records/directory/directory.js";
import { isRecipientName } from "../../records/directory/recipients-file.js";
import { readWhole } from "../../store/files.js";
import { fileError } from "../../store/system-error.js";
import type { CertificateUse } from "../../trust/certificate-usage.js";
import { requireTrusted } from "../../trust/trust.js";
import { trustAccount, type TrustAccount } from "../../trust/verify-certificate.js";
import { parseX509, type Certificate } from "../../x509/certificate.js";
import { certificatesIn, readCertificateFile } from "../../x509/certificate-file.js";
import { parseCrl, type Crl } from "../../x509/crl.js";
import { parseOcspResponse, type OcspResponse } from "../../x509/ocsp-response.js";
import type { Arguments } from "../arguments/arguments.js";
import type { Context } from "../command.js";
import { homeOf } from "../io/home.js";
import { readSmall } from "../io/inputs.js";
import { certificatesAt } from "./certificate-files.js";

/** A certificate that is to be judged, and what came with it. */
export interface CertificateCase {
  readonly certificate: Certificate;
  /** Certificates that a path may lead over. */
  readonly others?: readonly Certificate[];
  readonly use: CertificateUse;
  readonly crls?: readonly Crl[];
  readonly ocsp?: readonly OcspResponse[];
  readonly allowSha1?: boolean;
}

/** What the user trusts. */
export class CertificateTrust {
  /** `--trust` was given. */
  readonly isNamed: boolean;
  /** Recipients' certificates must be believed: the settings say so. */
  readonly isRequired: boolean;
  /** When certificates are to be valid. */
  readonly atMs: number;
  readonly #anchors: readonly Certificate[];
  readonly #revocation: Revocation;

  constructor(
    { isNamed, isRequired, atMs }: Pick<CertificateTrust, "isNamed" | "isRequired" | "atMs">,
    anchors: readonly Certificate[],
    revocation: Revocation,
  ) {
    this.isNamed = isNamed;
    this.isRequired = isRequired;
    this.atMs = atMs;
    this.#anchors = anchors;
    this.#revocation = revocation;
  }

  /** No authority is trusted, so no certificate can be believed. */
  get isEmpty(): boolean {
    return this.#anchors.length === 0;
  }

  /**
   * Why a certificate is believed.
   *
   * @throws PolicyError `ERR_NO_AUTHORITY`; as `requireTrusted`
   */
  judge(one: CertificateCase): TrustAccount {
    if (this.isEmpty) {
      throw new PolicyError("ERR_NO_AUTHORITY", "no authority is trusted for certificates", {
        hint: "name one with --trust FILE, or keep it with: p11seal trust add NAME FILE",
      });
    }
    const { crls, ocsp, others } = this.#revocation;
    return trustAccount(
      requireTrusted(one.certificate, {
        ...one,
        anchors: this.#anchors,
        others: [...(one.others ?? []), ...others],
        crls: [...(one.crls ?? []), ...crls],
        ocsp: [...(one.ocsp ?? []), ...ocsp],
        atMs: this.atMs,
      }),
    );
  }
}

interface Revocation {
  readonly crls: readonly Crl[];
  readonly ocsp: readonly OcspResponse[];
  /** Certificates that came with the lists. */
  readonly others: readonly Certificate[];
}

/**
 * What the command line, the data folder and the settings say about certificates.
 *
 * @throws UsageError `ERR_MOMENT`; FormatError `ERR_CERTIFICATE`, `ERR_CRL`, `ERR_OCSP`,
 *   `ERR_AUTHORITY`, `ERR_CONFIG`; FileError `ERR_READ`; PolicyError `ERR_UNSAFE_FILE`
 */
export function certificateTrust(args: Arguments, context: Context): Promise<CertificateTrust> {
  const [trust, crls, ocsp] = ["trust", "crl", "ocsp"].map((name) => args.texts(name));
  return trustOf({ ...defined({ trust, crls, ocsp }), at: args.text("at") }, context);
}

/** As `certificateTrust`, for commands without such options. */
export function keptTrust(context: Context): Promise<CertificateTrust> {
  return trustOf({}, context);
}

/** The options' values. */
interface TrustOptions {
  readonly trust?: readonly string[];
  readonly crls?: readonly string[];
  readonly ocsp?: readonly string[];
  readonly at?: string | undefined;
}

async function trustOf(options: TrustOptions, context: Context): Promise<CertificateTrust> {
  const { trust: named = [], at } = options;
  const home = homeOf(context.io);
  const { trust = [], certificates } = await readConfig(home);
  const anchors: Certificate[] = [];
  for (const word of named) anchors.push(...(await namedAnchors(word, home, context)));
  if (named.length === 0) anchors.push(...(await keptAnchors(home, trust)));
  const how = {
    isNamed: named.length > 0,
    isRequired: certificates === "required",
    atMs: at === undefined ? Date.now() : parseMoment(at, "start"),
  };
  return new CertificateTrust(how, anchors, await revocationOf(options, context));
}

/** A name counts before a file, as with `-r`. */
async function namedAnchors(
  word: string,
  home: string,
  context: Context,
): Promise<readonly Certificate[]> {
  if (isRecipientName(word)) {
    const known = findAuthority(await readAuthorities(home), word);
    if (known !== undefined) {
      if (existsSync(word)) {
        context.report.note(`${word}: from p11seal trust; write ./${word} for the file here`);
      }
      return [known.certificate];
    }
  }
  return certificatesAt([word], context.io);
}

async function keptAnchors(
  home: string,
  trust: readonly string[],
): Promise<readonly Certificate[]> {
  const anchors = (await readAuthorities(home)).map(({ certificate }) => certificate);
  for (const path of trust) {
    const file = isAbsolute(path) ? path : join(home, path);
    const bytes = await settingsFile(file, home);
    anchors.push(...naming(file, () => certificatesIn(bytes)));
  }
  return anchors;
}

/** Whoever can write to it decides whom the user believes. A system's bundle may be a link. */
async function settingsFile(path: string, home: string): Promise<Uint8Array> {
  const hint = `${configPath(home)} names it under trust`;
  const real = await realpath(path).catch((error: unknown) => {
    throw fileError("ERR_READ", path, error, hint);
  });
  const bytes = await readWhole(real, MAX_BUNDLE_BYTES);
  if (bytes === undefined) throw fileError("ERR_READ", path, { code: "ENOENT" }, hint);
  return bytes;
}

async function revocationOf(options: TrustOptions, { io }: Context): Promise<Revocation> {
  const crls: Crl[] = [];
  const ocsp: OcspResponse[] = [];
  const others: Certificate[] = [];
  for (const path of options.crls ?? []) {
    const bytes = await readSmall(path, io);
    naming(path, () => {
      const file = readCertificateFile(bytes);
      if (file.crls.length === 0) throw noList();
      crls.push(...file.crls.map((der) => parseCrl(der)));
      others.push(...file.certificates.map((der) => parseX509(der)));
    });
  }
  for (const path of options.ocsp ?? []) {
    const bytes = await readSmall(path, io);
    ocsp.push(naming(path, () => parseOcspResponse(bytes)));
  }
  return { crls, ocsp, others };
}

function noList(): FormatError {
  return new FormatError("ERR_CRL", "there is no revocation list in the file", {
    hint: "revocation lists come as PEM (BEGIN X509 CRL) or as DER",
  });
}

/** A system's bundle has a quarter of a megabyte. */
const MAX_BUNDLE_BYTES = 16 * 1024 * 1024;
