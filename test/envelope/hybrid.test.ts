import { beforeAll, describe, expect, it } from "@jest/globals";
import { ascii } from "../../src/bytes.js";
import { inspectMessage, openMessage, sealMessage } from "../../src/envelope/messages.js";
import { readHeader } from "../../src/envelope/native/header.js";
import type { HybridPublicKey, Identity, Recipient } from "../../src/keys/key.js";
import { HALVES, hybridIdentityOf, NATIVE_HYBRID_KEMS } from "../support/hybrid.js";
import { counting, identityOf, recipientOf, senderOf } from "../support/identities.js";
import { Reader } from "../../src/stream.js";
import { encBytes } from "../../src/wrap/hpke.js";
import { codeOf } from "../support/streams.js";

const message = ascii("secret for longer than a curve may last");

async function seal(...recipients: Recipient[]): Promise<Uint8Array> {
  return (await sealMessage(message, { recipients })).stream().bytes();
}

const open = async (sealed: Uint8Array, ...identities: Identity[]): Promise<Uint8Array> =>
  (await openMessage(sealed, { identities })).plaintext.bytes();

describe.each(NATIVE_HYBRID_KEMS)("a message to a %s key", (kem) => {
  let identity: Identity<HybridPublicKey>;
  let sealed: Uint8Array;
  beforeAll(async () => {
    identity = await hybridIdentityOf(kem);
    sealed = await seal({ publicKey: identity.publicKey });
  });

  it("opens with one unlock and one operation", async () => {
    const counted = counting(identity);
    expect(await open(sealed, counted.identity)).toEqual(message);
    expect([counted.unlocks, counted.operations.length]).toEqual([1, 1]);
  });

  it("shows its kind, and that it is the key's", async () => {
    const [recipient, ...others] = (await inspectMessage(sealed)).recipients;
    expect(others).toEqual([]);
    expect(recipient).toMatchObject({ type: `hpke-${kem}` });
    expect(recipient?.matches(identity.publicKey)).toBe(true);
    expect(recipient?.matches(identity.publicKey.dh)).toBe(false);
  });

  it("does not open with the half on the curve alone", async () => {
    const half = counting(identityOf(HALVES[kem]));
    expect(await codeOf(open(sealed, half.identity))).toBe("ERR_NO_MATCH");
    expect(half.unlocks).toBe(0);
  });

  it("opens for other recipients beside it, and may be signed", async () => {
    const recipients = [recipientOf("rsa2048"), { publicKey: identity.publicKey }];
    const signed = await sealMessage(message, { recipients, sender: senderOf("p256") });
    const bytes = await signed.stream().bytes();
    for (const one of [identityOf("rsa2048"), identity]) {
      expect(await open(bytes, one)).toEqual(message);
    }
  });

  it("fails as an altered one wherever its stanza is altered, in ML-KEM's part too", async () => {
    const { transcript } = await readHeader(new Reader(sealed));
    const enc = transcript.length - 48 - encBytes(kem);
    // The ML-KEM ciphertext, the point's last byte, the wrapped key.
    for (const at of [enc, enc + 700, transcript.length - 49, transcript.length - 1]) {
      const wrong = sealed.slice();
      wrong[at] = (wrong[at] as number) ^ 1;
      expect(await codeOf(open(wrong, identity))).toBe("ERR_NOT_AUTHENTIC");
    }
  });
});

it("a key with an X25519 half is refused: no stanza is defined for it", async () => {
  const { publicKey } = await hybridIdentityOf("mlkem768-x25519");
  expect(await codeOf(seal({ publicKey }))).toBe("ERR_KEY_TYPE");
});
