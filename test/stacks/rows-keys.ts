/** Rows about tokens and keys: found, listed, made, judged, destroyed. */
import { expect } from "@jest/globals";
import { CKM, CKO } from "../../src/token/modules/constants.js";
import type { KeyType } from "../../src/token/values.js";
import { parseUri } from "../../src/token/uri.js";
import { freshLabel, KINDS, Lacking } from "./bench.js";
import { row, type Row } from "./row.js";

const EXCHANGE_TYPES = (Object.keys(KINDS) as KeyType[]).filter((type) => type !== "ed25519");

const making = EXCHANGE_TYPES.map((type) =>
  row(`make-${type.replace(/.*:/, "")}`, async (bench) => {
    const { key } = await bench.made(type);
    expect(key.kind).toBe(KINDS[type]);
    expect(key.uses).toContain("exchange");
    expect(key.publicKey).toBeDefined();
  }),
);

export const keyRows: readonly Row[] = [
  row("find", async (bench) => {
    const token = await bench.token();
    expect(token.label).toBe(bench.stack.tokenLabel);
    // The URI that it prints finds exactly this token again.
    expect((await bench.door.findToken(parseUri(token.uri))).serial).toBe(token.serial);
  }),

  ...making,

  row("list", async (bench) => {
    const key = await bench.key("rsa:2048");
    const door = bench.open({ pin: () => Promise.reject(new Error("a PIN was asked for")) });
    const listed = await door.keys(parseUri(bench.uri));
    const found = listed.find(({ label }) => label === key.label);
    expect(found?.kind).toBe(key.kind);
    expect(found?.publicKey).toBeDefined();
    await door.close();
  }),

  row("policy", async (bench) => {
    const { notHonoured } = await bench.made("rsa:2048");
    expect(notHonoured).toEqual(bench.stated.notHonoured);
  }),

  row("audit", async (bench) => {
    const key = await bench.key("rsa:2048");
    const findings = await bench.door.audit(parseUri(key.uri));
    expect(findings.map(({ rule }) => rule)).toEqual(bench.stated.findings);
  }),

  row("delete", async (bench) => {
    const { key } = await bench.newKey("rsa:2048", "exchange");
    await bench.door.deleteKey(key);
    await expect(bench.door.findKey(parseUri(key.uri))).rejects.toMatchObject({
      code: "ERR_KEY_NOT_FOUND",
    });
    expect(await bench.raw([{ do: "count", values: { LABEL: key.label } }])).toEqual([{ ok: 0 }]);
  }),

  row("one-label", async (bench) => {
    const label = freshLabel("twin");
    const ids = [Uint8Array.of(0xa1, 1), Uint8Array.of(0xa1, 2)];
    const made = await bench.raw(
      ids.map((ID) => ({
        do: "generate",
        mechanism: CKM.RSA_PKCS_KEY_PAIR_GEN,
        publicHalf: {
          TOKEN: true,
          LABEL: label,
          ID,
          ENCRYPT: true,
          MODULUS_BITS: 2048,
          PUBLIC_EXPONENT: Uint8Array.of(1, 0, 1),
        },
        privateHalf: {
          TOKEN: true,
          PRIVATE: true,
          LABEL: label,
          ID,
          SENSITIVE: true,
          EXTRACTABLE: false,
          DECRYPT: true,
        },
      })),
    );
    if (made.some((one) => "error" in one)) throw new Lacking("NO_GENERATE", JSON.stringify(made));
    await bench.reopen();
    await expect(
      bench.door.findKey({ ...parseUri(bench.uri), object: label }),
    ).rejects.toMatchObject({ code: "ERR_KEY_NOT_UNIQUE" });
    for (const id of ids) {
      const key = await bench.door.findKey({ ...parseUri(bench.uri), object: label, id });
      expect(key.id).toEqual(id);
    }
    for (const CLASS of [CKO.PRIVATE_KEY, CKO.PUBLIC_KEY]) {
      expect(await bench.raw([{ do: "destroy", values: { CLASS, LABEL: label } }])).toEqual([
        { ok: 2 },
      ]);
    }
  }),
];
