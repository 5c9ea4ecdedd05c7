/** Encrypted messages that RFCs and other projects published. */
import { createPrivateKey, type KeyObject } from "node:crypto";
import { expect, it } from "@jest/globals";
import { inspectMessage, openMessage } from "../../../src/envelope/messages.js";
import { softwareIdentity } from "../../../src/software/software-identity.js";
import { certificatesIn } from "../../../src/x509/certificate-file.js";
import { codeOf } from "../../support/streams.js";
import { describeVectors, vectorFile } from "../../support/vectors.js";

const ALL = { legacy: true, unauthenticated: true };

async function opened(message: string, key: KeyObject, certificates: string): Promise<string> {
  const pem = key.export({ format: "pem", type: "pkcs8" });
  const { plaintext } = await openMessage(vectorFile(message), {
    identities: [softwareIdentity(pem, message)],
    certificates: () =>
      Promise.resolve(certificatesIn(vectorFile(certificates)).map(({ der }) => der)),
    allows: ALL,
  });
  return Buffer.from(await plaintext.bytes()).toString("latin1");
}

describeVectors("an encrypted message", () => {
  it("of RFC 4134 §5.1: triple DES under RSA PKCS#1 v1.5", async () => {
    const key = createPrivateKey({
      key: vectorFile("cms-rfc4134/BobPrivRSAEncrypt.pri"),
      format: "der",
      type: "pkcs8",
    });
    const content = await opened("cms-rfc4134/5.1.bin", key, "cms-rfc4134/BobRSASignByCarl.cer");
    expect(content).toBe(vectorFile("cms-rfc4134/ExContent.bin").toString("latin1"));
  });

  it("of OpenSSL 1.1.1: triple DES under ECDH and its own key wrap", async () => {
    const file = "cms-openssl/smec3.pem";
    const key = createPrivateKey(vectorFile(file));
    const content = await opened("cms-openssl/ciphertext_from_1_1_1.cms", key, file);
    expect(content.replaceAll("\r", "")).toBe(
      vectorFile("cms-openssl/smcont.txt").toString("latin1").replaceAll("\r", ""),
    );
  });

  it.each([
    ["cms-openssl/ecdh-malformed.der", "ERR_CMS"],
    ["cms-openssl/rsa-malformed.der", "ERR_TRUNCATED"],
    ["cms-rfc4134/6.0.bin", "ERR_CMS_TYPE"],
    ["cms-rfc4134/7.1.bin", "ERR_CMS_TYPE"],
    ["cms-rfc4134/3.1.bin", "ERR_CMS_TYPE"],
    ["cms-rustcrypto/encrypted_data.bin", "ERR_CMS_TYPE"],
  ])("%s is refused: %s", async (file, code) => {
    const identities = [softwareIdentity(vectorFile("generated/keys/p256.p8.pem"), "p256")];
    expect(await codeOf(openMessage(vectorFile(file), { identities, allows: ALL }))).toBe(code);
  });

  it.each([
    ["enveloped_data_ktri.bin", ["rsa-pkcs1"]],
    ["enveloped_data_kari.bin", ["ecdh"]],
    ["enveloped_data_kekri.bin", ["unknown"]],
    ["enveloped_data_pwri.bin", ["unknown"]],
    ["enveloped_data_multi.bin", ["rsa-pkcs1", "ecdh", "unknown", "unknown"]],
    ["kms_ciphertext_for_recipient_1.ber", ["rsa-oaep"]],
    ["kms_ciphertext_for_recipient_2.ber", ["rsa-oaep"]],
  ])("of RustCrypto, %s, shows whom it is for", async (file, types) => {
    const { recipients } = await inspectMessage(vectorFile(`cms-rustcrypto/${file}`));
    expect(recipients.map(({ type }) => type).sort()).toEqual([...types].sort());
  });
});
