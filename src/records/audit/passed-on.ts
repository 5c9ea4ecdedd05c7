/**
 * Who passed a message on, as receipts and the audit log keep it: an object with its fields in a
 * fixed order.
 */
import { count, HEX_32, type Check } from "../fields.js";

export interface PassedOnBy {
  /** SHA-256 of the custodian's SPKI, hexadecimal. */
  readonly custodian: string;
  /** Milliseconds since 1970-01-01T00:00Z. */
  readonly rewrappedMs: number;
  /** From 1: how many times the message had been re-wrapped. */
  readonly generation: number;
}

/** Of a custodian's record, what is kept. */
export function passedOnBy(record: {
  readonly keyId: string;
  readonly rewrappedMs: number;
  readonly generation: number;
}): PassedOnBy {
  const { keyId, rewrappedMs, generation } = record;
  return { custodian: keyId, rewrappedMs, generation };
}

export const isPassedOnBy: Check = (value) => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  if (Object.keys(value).join() !== "custodian,rewrappedMs,generation") return false;
  const { custodian, rewrappedMs, generation } = value as Readonly<Record<string, unknown>>;
  return HEX_32(custodian) && count(rewrappedMs) && count(generation) && generation !== 0;
};
