import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { verifySignature } from "../../../src/keys/signing.js";
import type { TokenAccess } from "../../../src/token/access.js";
import type { KeyType } from "../../../src/token/values.js";
import { parseUri } from "../../../src/token/uri.js";
import { freshToken, softHsmAccess, type TestToken } from "../../support/softhsm.js";
import { sign } from "../../support/private-key.js";

const message = new TextEncoder().encode("what the sender says");

let token: TestToken;
let access: TokenAccess;

beforeAll(async () => {
  token = await freshToken("sign");
  access = softHsmAccess();
});

afterAll(async () => {
  await access.close();
});

describe("a signing key on a token", () => {
  it.each<KeyType>(["rsa:2048", "ec:p256", "ec:p384", "ed25519"])(
    "%s makes signatures that hold on the host",
    async (type) => {
      const info = await access.findToken(parseUri(token.uri));
      const label = `sign ${type}`;
      const { key } = await access.generate(info, {
        type,
        label,
        use: "sign",
        allowDecrypt: false,
      });
      const identity = access.identity(key, "sign");
      const signature = await sign(await identity.unlock(), message);
      expect(verifySignature(identity.publicKey, message, signature)).toBe(true);
      expect(verifySignature(identity.publicKey, message.subarray(1), signature)).toBe(false);
    },
  );

  it("cannot be one on P-521", async () => {
    const info = await access.findToken(parseUri(token.uri));
    const request = { type: "ec:p521", label: "p521", use: "sign", allowDecrypt: false } as const;
    const { key } = await access.generate(info, request);
    expect(() => access.identity(key, "sign")).toThrow(
      expect.objectContaining({ code: "ERR_SIGNING_KEY" }),
    );
  });

  it("is not one that was made to open messages", async () => {
    const info = await access.findToken(parseUri(token.uri));
    const request = { type: "ec:p256", label: "x", use: "exchange", allowDecrypt: false } as const;
    const { key } = await access.generate(info, request);
    await expect(access.identity(key, "sign").unlock()).rejects.toMatchObject({
      code: "ERR_MECHANISM",
      message: expect.stringContaining("CKA_SIGN is false"),
    });
  });
});
