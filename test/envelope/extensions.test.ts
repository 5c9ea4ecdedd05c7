/** EXT is never the sender's word (docs/format.md §6): nobody is shown anything of it. */
import { createHmac, hkdfSync } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { ascii, concat } from "../../src/bytes.js";
import { encodeExtensions, readHeader } from "../../src/envelope/native/header.js";
import {
  inspectMessage,
  openMessage,
  sealMessage,
  verifySender,
} from "../../src/envelope/messages.js";
import { requireCapability } from "../../src/keys/purpose.js";
import { Reader } from "../../src/stream.js";
import { identityOf, recipientOf, senderOf } from "../support/identities.js";

const lie = { type: 0x8000, body: ascii("sent by somebody else, at another time") };

describe("an extension that somebody with the file key added to a signed message", () => {
  it("changes nothing of what is said about the message and its sender", async () => {
    let fileKey = new Uint8Array(0);
    const inner = identityOf("rsa2048");
    const insider = {
      ...inner,
      unlock: async () => {
        const key = await inner.unlock();
        const oaep = requireCapability(key, "oaep");
        const decrypt: typeof oaep.decrypt = async (...args) => {
          const secret = await oaep.decrypt(...args);
          fileKey = Uint8Array.from(secret?.expose() ?? []);
          return secret;
        };
        return { ...key, oaep: { ...oaep, decrypt } };
      },
    };
    const recipients = [recipientOf("rsa2048", "sha256")];
    const sealed = await sealMessage(ascii("signed"), { recipients, sender: senderOf("ed25519") });
    const whole = await sealed.stream().bytes();
    await (await openMessage(whole, { identities: [insider] })).plaintext.bytes();

    const parsed = await readHeader(new Reader(whole));
    const transcript = concat(parsed.immutablePart, encodeExtensions([lie]), parsed.recipsBlock);
    const key = new Uint8Array(
      hkdfSync("sha256", fileKey, new Uint8Array(0), "p11seal/v1 header mac", 32),
    );
    const mac = createHmac("sha256", key).update(transcript).digest();
    const extended = concat(transcript, mac, whole.subarray(sealed.header.length));

    const told = async (bytes: Uint8Array) => {
      const { info, sender, plaintext } = await openMessage(bytes, { identities: [inner] });
      expect(await plaintext.bytes()).toEqual(ascii("signed"));
      const inspected = await inspectMessage(bytes);
      // Its length is all there is to see of it.
      const shown = [info, inspected].map((one) => ({ ...one, headerBytes: 0 }));
      return JSON.stringify({ shown, sender, verified: await verifySender(bytes) });
    };
    expect(await told(extended)).toBe(await told(whole));
  });
});
