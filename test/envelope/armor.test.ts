/** Messages as text: what is written, what is read, and that nothing else is. */
import { randomBytes } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { ascii } from "../../src/bytes.js";
import { armored, armorLabel, dearmored } from "../../src/envelope/armor.js";
import {
  inspectMessage,
  openMessage,
  sealMessage,
  verifySender,
} from "../../src/envelope/messages.js";
import { P11SealError } from "../../src/errors.js";
import { collect, fillingSource, Reader, type ByteSource } from "../../src/stream.js";
import { identityOf, recipientOf, senderOf } from "../support/identities.js";
import { Random } from "../support/mutate.js";
import { scaled } from "../support/scale.js";
import { codeOf } from "../support/streams.js";

const LABEL = "P11SEAL MESSAGE";
const BEGIN = `-----BEGIN ${LABEL}-----`;
const END = `-----END ${LABEL}-----`;

const text = async (bytes: Uint8Array, chunk = 1000): Promise<string> =>
  Buffer.from(
    await collect(
      armored(
        inChunks(bytes, () => chunk),
        LABEL,
      ),
    ),
  ).toString("latin1");

async function* inChunks(
  bytes: Uint8Array,
  size: () => number,
): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < bytes.length;) {
    const end = at + size();
    yield await Promise.resolve(bytes.slice(at, end));
    at = end;
  }
}

const read = (armor: string, chunk = 1000): Promise<Uint8Array> =>
  collect(
    dearmored(
      inChunks(Buffer.from(armor, "latin1"), () => chunk),
      LABEL,
    ),
  );

describe("armour", () => {
  it("is base64 in lines of 64 characters, as openssl and PEM have it", async () => {
    const bytes = randomBytes(100);
    const base64 = bytes.toString("base64").match(/.{1,64}/g) ?? [];
    expect(await text(bytes)).toBe([BEGIN, ...base64, END, ""].join("\n"));
  });

  it.each([0, 1, 2, 3, 47, 48, 49, 95, 96, 97, 10_000])(
    "of %i bytes comes back, whatever chunks it comes in",
    async (length) => {
      const bytes = new Uint8Array(randomBytes(length));
      const armor = await text(bytes, 7);
      expect(await text(bytes)).toBe(armor);
      for (const size of [1, 2, 64, 65, 66, 1000, 100_000]) {
        expect(await read(armor, size)).toEqual(bytes);
        expect(await read(armor.replaceAll("\n", "\r\n"), size)).toEqual(bytes);
      }
      expect(await read(`\n \t\r\n${armor}\n\n \t`)).toEqual(bytes);
      expect(await read(armor.trimEnd())).toEqual(bytes);
    },
  );

  const good = [BEGIN, "A".repeat(64), "B".repeat(64), "QUJD", END, ""];
  const bad: [string, string, string?][] = [
    ["a line that is too short", lines([BEGIN, "AAAA", "B".repeat(64), END, ""])],
    ["a line that is too long", lines([BEGIN, "A".repeat(68), END, ""])],
    ["an empty line at the start", lines([BEGIN, "", "QUJD", END, ""])],
    ["an empty line at the end", lines([BEGIN, "QUJD", "", END, ""])],
    ["an empty line between full ones", lines([BEGIN, "A".repeat(64), "", "QUJD", END, ""])],
    ["a blank at a line's start", lines([BEGIN, " QUJD", END, ""])],
    ["a blank at a line's end", lines([BEGIN, "QUJD ", END, ""])],
    ["no padding", lines([BEGIN, "QUI", END, ""])],
    ["bits after the last byte", lines([BEGIN, "QUJ=", END, ""])],
    ["padding that another line follows", lines([BEGIN, `${"A".repeat(63)}=`, "QUJD", END, ""])],
    [
      "padding amid full lines",
      lines([BEGIN, "A".repeat(64), `${"A".repeat(63)}=`, "A".repeat(64), END, ""]),
    ],
    ["base64url", lines([BEGIN, "QUJ_", END, ""])],
    ["a character of another alphabet", lines([BEGIN, "QU\u00e9D", END, ""])],
    ["a header", lines([BEGIN, "Version: 1", "", "QUJD", END, ""])],
    ["a checksum", lines([BEGIN, "QUJD", "=QUJD", END, ""])],
    ["another end", lines([BEGIN, "QUJD", "-----END AGE ENCRYPTED FILE-----", ""])],
    ["a blank after END", lines([BEGIN, "QUJD", `${END} `, ""])],
    ["text after the end", `${lines(good)}and so on\n`],
    ["text after the end, on its line", `${lines(good).trimEnd()}and so on`],
    ["a second message", lines([...good.slice(0, -1), ...good])],
    ["more blank lines at the end than anybody needs", `${lines(good)}${"\n".repeat(1100)}`],
    ["a line without end", `${BEGIN}\n${"A".repeat(5000)}`],
    ["no end", lines(good.slice(0, -2)), "ERR_TRUNCATED"],
    ["an end that is cut", lines(good).slice(0, -3)],
    ["nothing but its first line", `${BEGIN}\n`, "ERR_TRUNCATED"],
  ];

  it.each(bad)("is refused with %s", async (_, armor, code = "ERR_ARMOR") => {
    for (const size of [1, 64, 65, 100_000]) {
      expect(await codeOf(read(armor, size))).toBe(code);
    }
  });

  it("says which line is wrong", async () => {
    const armor = lines([
      "",
      BEGIN,
      ...Array.from({ length: 9 }, () => "A".repeat(64)),
      "B A",
      END,
    ]);
    await expect(read(armor)).rejects.toThrow("line 12 of the armour is not canonical base64");
    await expect(read(lines([...good, "more"]))).rejects.toThrow("line 7 of the armour follows");
  });

  it("reads the same bytes or none, however it was changed", async () => {
    const random = new Random(29);
    const bytes = random.bytes(300);
    const armor = Buffer.from(await text(bytes), "latin1");
    for (let run = 0; run < scaled(20_000, 500); run++) {
      const changed = Buffer.from(armor);
      changed[random.below(changed.length)] = random.below(256);
      const found = await collect(
        dearmored(
          inChunks(changed, () => 1 + random.below(100)),
          LABEL,
        ),
      ).catch((error: unknown) => error as Error);
      if (found instanceof Error) expect(found).toBeInstanceOf(P11SealError);
      // A changed character of base64 is other bytes: what is in the armour must tell.
      else expect(found).toHaveLength(bytes.length);
    }
  });
});

describe("a label", () => {
  const labelOf = (start: string): Promise<string | undefined> =>
    armorLabel(new Reader(ascii(start)));

  it("is found at the start, and behind a few blanks", async () => {
    expect(await labelOf(`${BEGIN}\n`)).toBe(LABEL);
    expect(await labelOf(`\n\r\n \t${BEGIN}\r\nAAAA`)).toBe(LABEL);
    expect(await labelOf(`-----BEGIN ${"A".repeat(64)}-----\n`)).toBe("A".repeat(64));
  });

  it.each([
    BEGIN,
    `${BEGIN} \n`,
    `x${BEGIN}\n`,
    `----- BEGIN ${LABEL}-----\n`,
    `-----BEGIN ${LABEL} -----\n`,
    `-----BEGIN -----\n`,
    `-----BEGIN ${"A".repeat(65)}-----\n`,
    `${" ".repeat(1200)}${BEGIN}\n`,
    "",
  ])("is not seen in %j", async (start) => {
    expect(await labelOf(start)).toBeUndefined();
  });
});

describe("a message in armour", () => {
  const identities = [identityOf("x25519")];
  const recipients = [recipientOf("x25519")];
  const content = randomBytes(700_000);
  const sealed = async (plaintext: ByteSource = content): Promise<Uint8Array> =>
    (await sealMessage(plaintext, { recipients })).armored().bytes();
  const filling = (bytes: Uint8Array): ByteSource => {
    let at = 0;
    return fillingSource((target) => {
      const part = bytes.subarray(at, at + target.length);
      target.set(part);
      at += part.length;
      return Promise.resolve(part.length);
    });
  };

  it("opens, inspects and verifies as the message does", async () => {
    const armor = await sealed();
    for (const source of [armor, inChunks(armor, () => 4096), filling(armor)]) {
      const { plaintext } = await openMessage(source, { identities });
      expect(Buffer.compare(await plaintext.bytes(), content)).toBe(0);
    }
    const message = await (await sealMessage(content, { recipients })).stream().bytes();
    expect((await inspectMessage(armor)).headerBytes).toBe(
      (await inspectMessage(message)).headerBytes,
    );
    const signed = await sealMessage(content, { recipients, sender: senderOf("ed25519") });
    expect((await verifySender(await signed.armored().bytes()))?.serial).toBe(
      senderOf("ed25519").serial,
    );
  });

  it("gives no last chunk before its last line was checked", async () => {
    const armor = Buffer.from(await sealed(randomBytes(1000)));
    for (const wrong of [
      armor.subarray(0, -5),
      Buffer.concat([armor, ascii("more")]),
      armor.subarray(0, armor.lastIndexOf("-----END")),
    ]) {
      const { plaintext } = await openMessage(wrong, { identities });
      let given = 0;
      const all = (async () => {
        for await (const { length } of plaintext) given += length;
      })();
      await expect(all).rejects.toBeInstanceOf(P11SealError);
      expect(given).toBe(0);
    }
  });

  it("releases its source", async () => {
    let ended = 0;
    async function* source(): AsyncGenerator<Uint8Array, void, undefined> {
      try {
        yield* inChunks(await sealed(), () => 4096);
      } finally {
        ended++;
      }
    }
    const { plaintext } = await openMessage(source(), { identities });
    await plaintext.close();
    await inspectMessage(source());
    expect(await codeOf(openMessage(source(), { identities: [identityOf("p256")] }))).toBe(
      "ERR_NO_MATCH",
    );
    expect(ended).toBe(3);
  });

  it("is refused under another format's label, and as what it is under nobody's", async () => {
    const armor = Buffer.from(await sealed()).toString("latin1");
    const labelled = (label: string): Uint8Array => ascii(armor.replaceAll(LABEL, label));
    expect(await codeOf(inspectMessage(labelled("MESSAGE")))).toBe("ERR_NOT_A_MESSAGE");
    await expect(inspectMessage(ascii(lines([BEGIN, "QUJD", END])))).rejects.toMatchObject({
      code: "ERR_NOT_A_MESSAGE",
    });
  });
});

function lines(all: readonly string[]): string {
  return all.join("\n");
}
