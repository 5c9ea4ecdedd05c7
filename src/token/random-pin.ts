/** PINs that a program makes up, for tokens that it makes. */
import { randomInt } from "node:crypto";

/** 8 random digits, the first of which is not 0. */
export function randomPin(): string {
  return String(randomInt(10_000_000, 100_000_000));
}
