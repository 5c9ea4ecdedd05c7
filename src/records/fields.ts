/** What a field of a JSON record may hold: exact forms, nothing is coerced. */

/** True if a field's value has the right form. */
export type Check = (value: unknown) => boolean;

/** Text that matches an anchored expression. */
export const text =
  (form: RegExp): Check =>
  (value) =>
    typeof value === "string" && form.test(value);

/** 16 and 32 bytes in lower-case hexadecimal. */
export const HEX_16 = text(/^[0-9a-f]{32}$/);
export const HEX_32 = text(/^[0-9a-f]{64}$/);

/** A whole number, 0 or more. */
export const count: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
