/**
 * The amount of work that decoding does, counted at the calls to node:crypto. Manger's attack would
 * measure a difference between two faults with a clock.
 */
import * as nodeCrypto from "node:crypto";
import { describe, expect, it, jest } from "@jest/globals";

let calls: string[] = [];

jest.unstable_mockModule("node:crypto", () => ({
  ...nodeCrypto,
  createHash: (name: string) => {
    calls.push(name);
    const hash = nodeCrypto.createHash(name);
    const update = hash.update.bind(hash) as (data: Uint8Array) => nodeCrypto.Hash;
    const counted = (data: Uint8Array) => {
      calls.push(`update ${data.length}`);
      return update(data);
    };
    return Object.assign(hash, { update: counted });
  },
  timingSafeEqual: (a: Uint8Array, b: Uint8Array) => {
    calls.push(`compare ${a.length} ${b.length}`);
    return nodeCrypto.timingSafeEqual(a, b);
  },
}));

const { oaepDecode, oaepEncrypt } = await import("../../src/wrap/rsa-oaep.js");
const { TEST_KEYS } = await import("../support/keys.js");

const key = nodeCrypto.createPrivateKey(TEST_KEYS.rsa2048);
const padding = nodeCrypto.constants.RSA_NO_PADDING;

function encoded(message: Uint8Array): Buffer {
  const ciphertext = oaepEncrypt(nodeCrypto.createPublicKey(key), message, { hash: "sha256" });
  return nodeCrypto.privateDecrypt({ key, padding }, ciphertext);
}

function workFor(em: Uint8Array): { calls: string[]; opened: boolean } {
  calls = [];
  const opened = oaepDecode(em, { hash: "sha256" }) !== null;
  return { calls, opened };
}

describe("the work of decoding OAEP", () => {
  const valid = encoded(new Uint8Array(32).fill(1));
  const expected = workFor(valid);

  it("is seen: both masks, the label's hash, and one comparison", () => {
    expect(expected.opened).toBe(true);
    // ceil(32 / 32) + ceil(223 / 32) blocks of MGF1, and the hash of the empty label.
    expect(expected.calls.filter((call) => call === "sha256").length).toBe(1 + 7 + 1);
    expect(expected.calls.filter((call) => call.startsWith("compare"))).toEqual(["compare 32 32"]);
  });

  it.each([
    ["a message of no bytes", encoded(new Uint8Array(0)), true],
    ["the longest message", encoded(new Uint8Array(190)), true],
    ["a first byte that is not zero", altered(0), false],
    ["a seed altered: nothing after it holds", altered(1), false],
    ["a label hash altered", altered(33), false],
    ["padding altered", altered(70), false],
    ["zeros", new Uint8Array(256), false],
    ["all ones", new Uint8Array(256).fill(0xff), false],
  ])("is the same for %s", (_what, em, opens) => {
    const work = workFor(em);
    expect(work.opened).toBe(opens);
    expect(work.calls).toEqual(expected.calls);
  });

  function altered(at: number): Uint8Array {
    const em = Uint8Array.from(valid);
    em[at] = (em[at] as number) ^ 0x40;
    return em;
  }
});
