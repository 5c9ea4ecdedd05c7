/** What the fields of the project's own JSON records may hold: exact forms, nothing coerced. */

/** True when a field's value has the form. */
export type Check = (value: unknown) => boolean;

/** Text of a form; the expression is anchored. */
export const text =
  (form: RegExp): Check =>
  (value) =>
    typeof value === "string" && form.test(value);

/** 16 and 32 bytes in lower-case hexadecimal. */
export const HEX_16 = text(/^[0-9a-f]{32}$/);
export const HEX_32 = text(/^[0-9a-f]{64}$/);

/** A whole number from 0 on. */
export const count: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
