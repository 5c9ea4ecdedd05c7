/**
 * What reaches a module through koffi, byte for byte, and what becomes of a module's lies about
 * lengths. lying.cc is the module: the number of a slot says how it lies.
 */
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { bytesOfText } from "../../../../src/token/byte-text.js";
import { CKM } from "../../../../src/token/modules/constants.js";
import { FfiCryptoki } from "../../../../src/token/modules/ffi/ffi-cryptoki.js";
import { loadKoffi } from "../../../../src/token/modules/ffi/koffi.js";
import { describeStructures } from "../../../../src/token/modules/ffi/structures.js";
import {
  ecdhMechanism,
  oaepMechanism,
  plainMechanism,
  pssMechanism,
  template,
} from "../../../../src/token/modules/template.js";
import { runInPlainNode } from "../plain-node/run.js";
import { buildModule } from "../../../support/build-module.js";

const LIE = { none: 0, huge: 1, longer: 2, hidden: 3 } as const;

let native: FfiCryptoki;
/** What the module noted of the last call. */
let seen: () => string;
let layout: () => string;
let path: string;

beforeAll(async () => {
  path = buildModule(fileURLToPath(new URL("./lying.cc", import.meta.url)), "lying");
  const koffi = await loadKoffi();
  native = new FfiCryptoki(koffi);
  native.load(path);
  const library = koffi.load(path);
  const reader = (name: string): (() => string) => {
    const read = library.func(name, "str", []);
    return () => read() as unknown as string;
  };
  seen = reader("seen");
  layout = reader("layout");
});

function number(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(value);
  return bytes;
}

function session(lie: number): Buffer {
  return native.C_OpenSession(number(lie), 4);
}

const GENERAL_ERROR = expect.objectContaining({ code: 5 });
const TOO_MUCH = [LIE.huge, LIE.longer];
const key = number(7);

describe("structures", () => {
  it("have the sizes and offsets that a C compiler gives them", async () => {
    const koffi = await loadKoffi();
    const { structures } = describeStructures(koffi);
    const rows = layout()
      .trim()
      .split("\n")
      .map((line) => line.split(" ") as [string, string]);
    expect(rows).toHaveLength(23);
    for (const [what, value] of rows) {
      const [name = "", member] = what.split(".");
      const type = structures[name as keyof typeof structures];
      const ours = member === undefined ? koffi.sizeof(type) : koffi.offsetof(type, member);
      expect({ what, value: ours }).toEqual({ what, value: Number(value) });
    }
  });
});

describe("a module gets", () => {
  it("handles with all their bits", () => {
    native.C_CloseSession(session(LIE.none));
    expect(seen()).toBe("fedcba9876543200");
  });

  it.each([
    [undefined, "2 -"],
    ["configdir='sql:/x'", "2 configdir='sql:/x'"],
  ])("the parameters %j with C_Initialize", (libraryParameters, noted) => {
    native.C_Initialize({
      flags: 2,
      ...(libraryParameters === undefined ? {} : { libraryParameters }),
    });
    expect(seen()).toBe(noted);
  });

  it("mechanisms with their parameters", () => {
    const init = (...[mechanism]: [Parameters<typeof native.C_DecryptInit>[1]]): string => {
      native.C_DecryptInit(session(LIE.none), mechanism, key);
      return seen();
    };
    expect(init(plainMechanism(CKM.RSA_PKCS))).toBe("1");
    expect(init(oaepMechanism({ hash: "sha256", mgfHash: "sha1" }))).toBe("9 oaep 250 1 1 ");
    const label = Buffer.from("age");
    expect(init(oaepMechanism({ hash: "sha1", label }))).toBe("9 oaep 220 1 1 616765");
    expect(init(pssMechanism())).toBe("d pss 250 2 20");
    expect(init(ecdhMechanism(Buffer.of(4, 1, 2)))).toBe("1050 ecdh 1 0 040102");
  });

  it("templates as they were written, whatever they are", async () => {
    const values = fc.record(
      {
        CLASS: fc.nat(0xffff_ffff),
        LABEL: fc.string({ unit: "grapheme", maxLength: 16 }),
        ID: fc.uint8Array({ maxLength: 64 }),
        VALUE: fc.uint8Array({ maxLength: 64 }),
        SENSITIVE: fc.boolean(),
        VALUE_LEN: fc.nat(0xffff_ffff),
      },
      { requiredKeys: [] },
    );
    const noted = (attributes: ReturnType<typeof template>): string =>
      attributes
        .map(({ type, value }) => {
          const bytes = Buffer.alloc(8);
          if (typeof value === "number") bytes.writeUInt32LE(value);
          const shown =
            typeof value === "boolean"
              ? Buffer.of(value ? 1 : 0)
              : Buffer.isBuffer(value)
                ? value
                : bytes;
          return ` ${type.toString(16)}=${shown.subarray(0, 64).toString("hex")}`;
        })
        .join("");
    const open = session(LIE.none);
    const plain = plainMechanism(CKM.RSA_PKCS);
    await fc.assert(
      fc.asyncProperty(values, fc.uint8Array({ maxLength: 512 }), async (given, wrapped) => {
        const attributes = template(given);
        const input = Buffer.from(wrapped);
        const made = native.C_UnwrapKey(open, plain, key, input, attributes);
        expect(made).toEqual(number(wrapped.length));
        expect(seen()).toBe(`1${noted(attributes)}`);
        const derived = await native.C_DeriveKeyAsync(open, plain, key, attributes);
        expect(derived).toEqual(number(attributes.length));
        expect(seen()).toBe(`1${noted(attributes)}`);
      }),
      { numRuns: 300 },
    );
  });

  it("nothing of a wrong type: that is refused here", () => {
    const open = session(LIE.none);
    const plain = plainMechanism(CKM.RSA_PKCS);
    const wrong = (value: unknown): never => value as never;
    const calls: (() => unknown)[] = [
      () => {
        native.C_CloseSession(wrong(5));
      },
      () => {
        native.C_CloseSession(Buffer.alloc(4));
      },
      () => {
        native.C_Login(open, 1, wrong(undefined));
      },
      () => native.C_Decrypt(open, wrong("text"), Buffer.alloc(8)),
      () => native.C_Decrypt(open, Buffer.alloc(8), wrong(8)),
      () => native.C_UnwrapKey(open, plain, key, wrong(null), []),
      () => native.C_UnwrapKey(open, plain, key, Buffer.alloc(8), [{ type: 1, value: wrong({}) }]),
      () => {
        native.C_DecryptInit(open, { mechanism: 9, parameter: wrong({ type: 99 }) }, key);
      },
      () => native.C_InitToken(number(0), "1234", "short"),
    ];
    for (const one of calls) expect(one).toThrow(TypeError);
  });
});

describe("a length that can't be", () => {
  it.each(TOO_MUCH)("of a list is refused: lie %i", (lie) => {
    expect(() => native.C_GetMechanismList(number(lie))).toThrow(GENERAL_ERROR);
    expect(() => native.C_FindObjects(session(lie), 3)).toThrow(GENERAL_ERROR);
  });

  it.each(TOO_MUCH)("of an attribute's value is refused: lie %i", (lie) => {
    expect(() => native.C_GetAttributeValue(session(lie), key, [{ type: 0 }])).toThrow(
      GENERAL_ERROR,
    );
  });

  it.each(TOO_MUCH)("of an output is refused: lie %i", async (lie) => {
    const [input, output] = [Buffer.from("in"), Buffer.alloc(4)];
    expect(() => native.C_Decrypt(session(lie), input, output)).toThrow(GENERAL_ERROR);
    await expect(native.C_SignAsync(session(lie), input, output)).rejects.toEqual(GENERAL_ERROR);
  });

  it("is none of an honest module's", async () => {
    const honest = session(LIE.none);
    expect(native.C_GetMechanismList(number(LIE.none))).toEqual([
      0x7654_3200, 0x7654_3201, 0x7654_3202,
    ]);
    expect(native.C_FindObjects(honest, 2).map((one) => one.readBigUInt64LE())).toEqual([
      0xfedc_ba98_7654_3200n,
      0xfedc_ba98_7654_3201n,
    ]);
    expect(native.C_GetAttributeValue(honest, key, [{ type: 0 }, { type: 1 }])).toEqual([
      { value: bytesOfText("aaa") },
      { value: bytesOfText("bbb") },
    ]);
    const output = Buffer.alloc(4);
    expect(native.C_Sign(honest, Buffer.of(1, 2), output)).toEqual(Buffer.of(254, 253));
    expect(await native.C_DecryptAsync(honest, Buffer.of(1), output)).toEqual(Buffer.of(254));
  });
});

it("a value that is not revealed is undefined", () => {
  expect(native.C_GetAttributeValue(session(LIE.hidden), key, [{ type: 0 }])).toEqual([
    { value: undefined },
  ]);
});

it("what a module returns has its name and number, and what it lacks is said so", async () => {
  const small = (): unknown => native.C_Sign(session(LIE.none), Buffer.alloc(8), Buffer.alloc(4));
  expect(small).toThrow(
    expect.objectContaining({ code: 0x150, message: "C_Sign: CKR_BUFFER_TOO_SMALL" }),
  );
  const lacking = expect.objectContaining({ code: 0x54 });
  expect(() => native.C_GetInfo()).toThrow(lacking);
  const pair = native.C_GenerateKeyPairAsync(key, plainMechanism(CKM.RSA_PKCS), [], []);
  await expect(pair).rejects.toEqual(lacking);
});

it("a library stays loaded, and what a call works on in place, when the rest is collected", () => {
  const env = { P11SEAL_BINDING: "koffi" };
  const { status, output, stderr } = runInPlainNode("collected.ts", [path], env);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  const rounds = Array.from({ length: 20 });
  expect(output).toEqual({ lengths: rounds.map(() => 2), salts: rounds.map(() => 32) });
});
