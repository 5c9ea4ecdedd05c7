import { describe, expect, it } from "@jest/globals";
import { around } from "../../src/keys/around.js";
import { softwareIdentity } from "../../src/software/software-identity.js";
import { newKeys, pemOf, rootAuthority } from "../support/certificates.js";

describe("certificates beside the key in its file", () => {
  const root = rootAuthority();
  const keys = newKeys();
  const key = String(keys.privateKey.export({ format: "pem", type: "pkcs8" }));
  const [old, renewed] = [root.issue({ keys }), root.issue({ keys })].map(
    ({ certificate }) => certificate.der,
  ) as [Uint8Array, Uint8Array];

  it("belong to the identity if they are the key's, in the order of the file", () => {
    const file = `${key}${pemOf("CERTIFICATE", renewed, root.certificate.der)}${pemOf("X509 CERTIFICATE", old)}`;
    expect(softwareIdentity(file, "bob.pem", { purpose: "sign" }).certificates).toEqual([
      renewed,
      old,
    ]);
    const identity = around(softwareIdentity(file, "bob.pem"), {});
    expect(identity.certificates).toEqual([renewed, old]);
  });

  it("are none if they are others', or can't be read: the key is good all the same", () => {
    for (const beside of [root.certificate.der, old.subarray(0, 100), Uint8Array.of(5, 0)]) {
      const identity = softwareIdentity(`${pemOf("CERTIFICATE", beside)}${key}`, "bob.pem");
      expect(identity).not.toHaveProperty("certificates");
    }
  });
});
