/** The expected results of the recorded exchanges, wherever the private keys are. */
import { expect } from "@jest/globals";
import { ascii, fromHex, toHex } from "../../src/bytes.js";
import {
  parseSimpleBlob,
  receiveMessage,
  ThreePhase,
  unwrapSessionKey,
  type RsaPrivateKey,
} from "../../src/capi/index.js";
import {
  type Exchange,
  fixture,
  inSteps,
  joined,
  type Manifest,
  message,
  parametersOf,
} from "./support.js";

type Recipient = Exchange["recipients"][number];

/** Every message with each of its recipients. */
export function exchangeCases(
  vectors: Manifest,
): { name: string; exchange: Exchange; recipient: Recipient }[] {
  return vectors.exchange.flatMap((exchange) =>
    exchange.recipients.map((recipient) => ({
      name: `${exchange.id} for ${recipient.name}`,
      exchange,
      recipient,
    })),
  );
}

/** The private key opens the recipient's blob, and the message is the one that was sent. */
export async function checkExchange(
  vectors: Manifest,
  exchange: Exchange,
  recipient: Recipient,
  privateKey: RsaPrivateKey,
): Promise<void> {
  const blob = fixture(recipient.simpleBlob);
  expect(toHex(blob)).toBe(recipient.simpleBlobHex);
  const padding = exchange.flags.includes("CRYPT_OAEP") ? "oaep" : "pkcs1";

  const { key, genuine } = await unwrapSessionKey(parseSimpleBlob(blob), privateKey, { padding });
  expect(genuine).toBe(true);
  expect(toHex(key.bytes.expose())).toBe(exchange.sessionKeyHex);

  const received = await receiveMessage({
    blob,
    ciphertext: inSteps(fixture(exchange.cipher), 37),
    privateKey,
    padding,
    parameters: parametersOf(exchange),
    allowUnauthenticated: true,
  });
  expect(received.algorithm).toBe(exchange.alg);
  expect(toHex(await joined(received.plaintext))).toBe(toHex(message(vectors, exchange.message)));
}

/**
 * Both sides of the run accept the hashes that the real CryptoAPI computed, and end with its keys.
 */
export async function checkThreePhase(
  vectors: Manifest,
  keyOf: (name: string) => RsaPrivateKey,
): Promise<void> {
  const run = vectors.threePhase;
  const sender = keyOf(run.sender);
  const receiver = keyOf(run.receiver);
  const senderParty = { name: run.sender, publicKey: sender.publicKey };
  const receiverParty = { name: run.receiver, publicKey: receiver.publicKey };
  const agreed = { algorithm: run.alg, hash: run.hash, padding: "pkcs1" as const };

  // The fixed keys are put into the runs' own files, in blobs that CryptoAPI also made.
  const theSender = ThreePhase.resume(
    withKeys(
      ThreePhase.begin({ ...agreed, own: senderParty, peer: receiverParty }).run,
      fixture("three-phase/keyA.alice.simple.blob"),
    ),
  );
  const phase3 = await theSender.confirm(
    {
      blob: fixture(run.phase2.blobForSender),
      hash: fromHex(run.phase2.hashHex),
    },
    sender,
  );
  expect(toHex(phase3)).toBe(run.phase3.hashHex);

  const { run: answered } = await ThreePhase.answer(
    { ...agreed, own: receiverParty, peer: senderParty },
    fixture(run.phase1.blobForReceiver),
    receiver,
  );
  const theReceiver = ThreePhase.resume(
    withKeys(
      answered,
      fixture(run.phase1.blobForReceiver),
      fixture("three-phase/keyB.bob.simple.blob"),
    ),
  );
  await theReceiver.finish(fromHex(run.phase3.hashHex), receiver);

  for (const [side, key] of [
    [theSender, sender],
    [theReceiver, receiver],
  ] as const) {
    const { keyA, keyB } = await side.keys(key);
    expect(toHex(keyA.bytes.expose())).toBe(run.keyAHex);
    expect(toHex(keyB.bytes.expose())).toBe(run.keyBHex);
  }
}

/** The numbers of a PRIVATEKEYBLOB: n p q dP dQ qInv d after the public part. For tests only. */
export function privateKeyBlobJwk(bytes: Uint8Array): Record<string, string> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (toHex(bytes.subarray(8, 12)) !== "52534132") throw new Error("not RSA2");
  const k = view.getUint32(12, true) / 8;
  let offset = 20;
  const next = (length: number): string => {
    const field = bytes.slice(offset, offset + length).reverse();
    offset += length;
    return number(field);
  };
  const e = number(bytes.slice(16, 20).reverse());
  const n = next(k);
  const [p, q, dp, dq, qi] = Array.from({ length: 5 }, () => next(k / 2)) as [
    string,
    string,
    string,
    string,
    string,
  ];
  const d = next(k);
  if (offset !== bytes.length) throw new Error("trailing bytes");
  return { kty: "RSA", n, e, d, p, q, dp, dq, qi };
}

function number(bigEndian: Uint8Array): string {
  const start = bigEndian.findIndex((byte) => byte !== 0);
  return Buffer.from(bigEndian.subarray(start)).toString("base64url");
}

/** A run's file with its key blobs replaced. */
function withKeys(run: ThreePhase, keyA: Uint8Array, keyB?: Uint8Array): Uint8Array {
  const state = JSON.parse(Buffer.from(run.serialize()).toString()) as Record<string, unknown>;
  state["keyA"] = Buffer.from(keyA).toString("base64");
  if (keyB !== undefined) state["keyB"] = Buffer.from(keyB).toString("base64");
  return ascii(`${JSON.stringify(state, undefined, 2)}\n`);
}
