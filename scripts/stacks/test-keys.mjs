/**
 * TEST keys for stacks whose keys are given, so that one message can be opened on all stacks. They
 * stand in test/support/keys.ts, and a script of Node's can't import TypeScript, so they are read
 * out of its text.
 */
import { generateKeyPairSync } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { root } from "../lib/run.mjs";

/**
 * Keys for the PIV card, by key slot: TEST keys to exchange with, others to sign with.
 * @returns {{ slot: number, pem: string, name: string, use: "exchange" | "sign" }[]}
 */
export function cardKeys() {
  const pem = (/** @type {import("node:crypto").KeyObject} */ key) =>
    key.export({ type: "pkcs8", format: "pem" }).toString();
  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  return [
    // OpenSC names the token after the first slot's certificate.
    { slot: 0x9a, pem: pem(ec), name: "p11seal test card", use: "sign" },
    { slot: 0x9c, pem: pem(rsa), name: "sign RSA-2048", use: "sign" },
    { slot: 0x9d, pem: testKey("rsa2048"), name: "RSA-2048", use: "exchange" },
    { slot: 0x82, pem: testKey("rsa3072"), name: "RSA-3072", use: "exchange" },
    { slot: 0x83, pem: testKey("p256"), name: "P-256", use: "exchange" },
    { slot: 0x84, pem: testKey("p384"), name: "P-384", use: "exchange" },
  ];
}

/** @param {"rsa2048" | "rsa3072" | "p256" | "p384"} name */
function testKey(name) {
  const text = fs.readFileSync(path.join(root, "test/support/keys.ts"), "utf8");
  const pem = new RegExp(`^  ${name}: \`(-----BEGIN PRIVATE KEY-----[^\`]+)\``, "m").exec(
    text,
  )?.[1];
  if (pem === undefined) throw new Error(`test/support/keys.ts has no key "${name}"`);
  return pem;
}
