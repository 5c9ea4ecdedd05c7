/** What re-wrapping asks of its recipients, whatever the format. */
import { equal } from "../bytes.js";
import { UsageError } from "../errors.js";
import type { RewrapOptions } from "./envelope.js";

/** @throws UsageError `ERR_USAGE`: a key is to be added and removed */
export function requireDisjoint({ add, remove }: Pick<RewrapOptions, "add" | "remove">): void {
  const isBoth = add.some(({ publicKey: { spki } }) => remove.some((key) => equal(key.spki, spki)));
  if (!isBoth) return;
  throw new UsageError("ERR_USAGE", "a key is both among those to add and those to remove");
}

export function nobodyLeft(): UsageError {
  return new UsageError("ERR_NO_RECIPIENTS", "nobody could open the message any more", {
    hint: "add a recipient along with those that are removed",
  });
}
