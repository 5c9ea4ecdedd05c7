/** The token layer's own check: whoever calls it may not have compared the keys. */
import { beforeAll, afterAll, describe, expect, it } from "@jest/globals";
import type { TokenAccess } from "../../../src/token/access.js";
import { parseUri } from "../../../src/token/uri.js";
import type { KeyInfo } from "../../../src/token/values.js";
import { rootAuthority } from "../../support/certificates.js";
import { freshToken, objectCount, softHsmAccess, type TestToken } from "../../support/softhsm.js";

describe("a certificate on a token", () => {
  let token: TestToken;
  let access: TokenAccess;
  let key: KeyInfo;
  beforeAll(async () => {
    token = await freshToken("certificates");
    access = softHsmAccess();
    const info = await access.findToken(parseUri(token.uri));
    const how = { type: "ec:p256", label: "k", use: "sign", allowDecrypt: false } as const;
    key = (await access.generate(info, how)).key;
  });
  afterAll(() => access.close());

  it("is of its key, or is not stored", async () => {
    const before = await objectCount(token);
    const other = rootAuthority().certificate.der;
    await expect(access.storeCertificate(key, other)).rejects.toMatchObject({
      code: "ERR_CERTIFICATE_MISMATCH",
    });
    await expect(access.storeCertificate(key, other.subarray(1))).rejects.toMatchObject({
      code: "ERR_CERTIFICATE",
    });
    expect(await objectCount(token)).toBe(before);
  });
});
