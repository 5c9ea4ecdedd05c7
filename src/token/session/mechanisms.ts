/**
 * A token's mechanisms by name. The names come from graphene, which knows several hundred; loading
 * it takes some 60 ms, so only this listing does.
 */
import { call } from "../modules/call.js";
import { MECHANISM_FLAG } from "../modules/constants.js";
import { mechanismNames } from "./mechanism-names.js";
import type { Token } from "./token.js";
import type { MechanismInfo } from "../values.js";

export async function listMechanisms(token: Token): Promise<MechanismInfo[]> {
  const names = await loadNames();
  const numbers = call("C_GetMechanismList", () =>
    token.module.native.C_GetMechanismList(token.slot),
  );
  return numbers.map((number) => {
    const { flags, min, max } = token.mechanism(number) ?? { flags: 0, min: 0, max: 0 };
    const hex = `0x${number.toString(16).toUpperCase().padStart(8, "0")}`;
    return {
      number,
      name: `CKM_${names[number] ?? hex}`,
      operations: OPERATIONS.filter(([flag]) => (flags & flag) !== 0).map(([, one]) => one),
      keySizes: { min, max },
    };
  });
}

async function loadNames(): Promise<Readonly<Record<number, string | undefined>>> {
  try {
    const { MechanismEnum } = await import("graphene-pk11");
    return MechanismEnum;
  } catch {
    return mechanismNames();
  }
}

const OPERATIONS = [
  [MECHANISM_FLAG.ENCRYPT, "encrypt"],
  [MECHANISM_FLAG.DECRYPT, "decrypt"],
  [MECHANISM_FLAG.SIGN, "sign"],
  [MECHANISM_FLAG.VERIFY, "verify"],
  [MECHANISM_FLAG.WRAP, "wrap"],
  [MECHANISM_FLAG.UNWRAP, "unwrap"],
  [MECHANISM_FLAG.DERIVE, "derive"],
  [MECHANISM_FLAG.GENERATE, "generate"],
  [MECHANISM_FLAG.GENERATE_KEY_PAIR, "generate pair"],
] as const;
