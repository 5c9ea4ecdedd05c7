/** Rows about signatures: made on the token, checked on the host. */
import { expect } from "@jest/globals";
import { verifySignature } from "../../src/keys/signing.js";
import type { KeyInfo, KeyType } from "../../src/token/types.js";
import { parseUri } from "../../src/token/uri.js";
import { type Bench, freshLabel, Lacking } from "./bench.js";
import { row, type Row } from "./row.js";

const message = new TextEncoder().encode("what the sender says");

const made = (
  [
    ["rsa:2048", "sign-rsa-pss"],
    ["ec:p256", "sign-p256"],
    ["ec:p384", "sign-p384"],
  ] as const satisfies [KeyType, string][]
).map(([type, id]) =>
  row(id, async (bench) => {
    const { key } = await bench.key(type, "sign");
    await signs(bench, key);
  }),
);

/** CKM_EC_EDWARDS_KEY_PAIR_GEN, and "edwards25519" as a PrintableString (PKCS#11 v3.0 §2.3.10). */
const EDWARDS_KEY_PAIR_GEN = 0x1055;
const EDWARDS25519 = Uint8Array.of(0x13, 12, ...new TextEncoder().encode("edwards25519"));

export const signRows: readonly Row[] = [
  ...made,

  row("sign-ed25519", async (bench) => {
    const LABEL = freshLabel("ed25519");
    const common = { TOKEN: true, LABEL, ID: Uint8Array.of(0xed, 0x25) };
    const [result] = await bench.raw([
      {
        do: "generate",
        mechanism: EDWARDS_KEY_PAIR_GEN,
        publicHalf: { ...common, VERIFY: true, EC_PARAMS: EDWARDS25519 },
        privateHalf: { ...common, PRIVATE: true, SIGN: true, SENSITIVE: true, EXTRACTABLE: false },
      },
    ]);
    if (result === undefined || "error" in result) throw new Lacking("NO_GENERATE");
    await bench.reopen();
    await signs(bench, await bench.door.findKey({ ...parseUri(bench.uri), object: LABEL }));
  }),
];

async function signs(bench: Bench, key: KeyInfo): Promise<void> {
  const identity = bench.door.signingIdentity(key);
  const signature = await (await identity.unlock()).sign(message);
  expect(verifySignature(identity.publicKey, message, signature)).toBe(true);
  expect(verifySignature(identity.publicKey, message.subarray(1), signature)).toBe(false);
}
