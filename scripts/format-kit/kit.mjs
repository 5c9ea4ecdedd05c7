/** The kit's files, from the private keys that are a part of it: the same bytes each time. */
import { createPublicKey } from "node:crypto";
import * as f from "../../test/docs/formulas.mjs";
import { badBodies } from "./bad-body.mjs";
import { badHeaders } from "./bad-header.mjs";
import { badSenders } from "./bad-sender.mjs";
import { goodCases } from "./good.mjs";
import { badRecords, goodRecords } from "./records.mjs";
import { writeMessage } from "./writer.mjs";

/** @typedef {import("./good.mjs").Case} Case */
/** @typedef {Record<string, string>} Keys private keys in PEM, by name */

/**
 * Every file but the keys and the README, by its path in the kit.
 * @param {Keys} pems
 * @returns {Map<string, Uint8Array>}
 */
export function kitFiles(pems) {
  const good = [...goodCases(pems), ...goodRecords(pems)];
  const bad = [badHeaders, badSenders, badRecords, badBodies].flatMap((cases) => cases(pems));
  const cases = [...good, ...bad];
  /** @type {Map<string, Uint8Array>} */
  const files = new Map();
  const messages = cases.map((one) => {
    const path = `${one.error === undefined ? "good" : "bad"}/${one.name}`;
    if (files.has(`${path}.p11s`)) throw new Error(`${path} is there twice`);
    const message = writeMessage(one.name, one.spec);
    const whole =
      one.bytes?.(message) ??
      (one.detached ? message.header : f.join(message.header, message.body));
    if (one.detached) files.set(`${path}.p11k`, whole);
    files.set(`${path}.p11s`, one.detached ? message.body : whole);
    return entryOf(path, one);
  });
  const manifest = { format: "p11seal message format, version 1", keys: keysOf(pems), messages };
  files.set("manifest.json", Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`));
  return files;
}

/** @param {string} path @param {Case} one */
function entryOf(path, one) {
  const { plaintext = f.ascii("hello") } = one.spec;
  const expected =
    one.error === undefined
      ? {
          expect: "opens",
          plaintextBytes: plaintext.length,
          plaintextSha256: f.hash("sha256", plaintext).toString("hex"),
        }
      : { expect: "refused", step: one.step, error: one.error };
  return {
    file: `${path}.p11s`,
    ...(one.detached ? { keyBlob: `${path}.p11k` } : {}),
    why: one.why,
    keys: one.keys,
    ...(one.sender === undefined ? {} : { sender: one.sender }),
    ...(one.custodian === undefined ? {} : { custodian: one.custodian }),
    ...expected,
  };
}

/** @param {Keys} pems */
function keysOf(pems) {
  return Object.fromEntries(
    Object.entries(pems)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, pem]) => {
        const spkiSha256 = f.hash("sha256", f.spkiOf(pem)).toString("hex");
        if (f.hybridOf(pem) !== undefined) {
          return [name, { file: `keys/${name}.pem`, type: name, spkiSha256 }];
        }
        const key = createPublicKey(pem);
        const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {};
        const type = [key.asymmetricKeyType, namedCurve ?? modulusLength].filter(Boolean).join(" ");
        return [name, { file: `keys/${name}.pem`, type, spkiSha256 }];
      }),
  );
}
