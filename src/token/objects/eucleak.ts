/**
 * Devices whose ECDSA leaks the private key to whoever has them for a while: EUCLEAK (Roche 2024),
 * in Infineon's cryptographic library. Yubico's are affected before firmware 5.7, its HSMs before
 * 2.4 (YSA-2024-03). Agreeing on a secret (ECDH) does not leak.
 */
import type { TokenDetails } from "../session/token-info.js";

/** As in `a YubiKey with firmware 5.4`; undefined for a device that is not known to leak. */
export function leakingDevice({ info, slot, firmware }: TokenDetails): string | undefined {
  const names = [info.manufacturer, info.model, slot.description, slot.manufacturer].join(" ");
  if (/\bYubiHSM/i.test(names)) return ofYubico("a YubiHSM", firmware, { major: 2, minor: 4 });
  if (/\bYubi(?:Key|co)/i.test(names)) {
    return ofYubico("a YubiKey", firmware, { major: 5, minor: 7 });
  }
  return INFINEON.test(names) ? "an Infineon chip" : undefined;
}

/** Also by the names of its chips; TPMs give their maker as IFX. */
const INFINEON = /\binfineon|\bIFX\b|\boptiga|\bSL[BEIM] ?\d{2}/i;

interface Version {
  readonly major: number;
  readonly minor: number;
}

function ofYubico(name: string, firmware: Version, fixed: Version): string | undefined {
  const bound = `${fixed.major}.${fixed.minor}`;
  const { major } = firmware;
  // Other vendors' modules don't tell it.
  if (major === 0) return `${name}, if its firmware is older than ${bound}`;
  // Yubico's own module writes 5.4.3 as 5.43.
  const minor = Number(String(firmware.minor).charAt(0));
  const isFixed = major > fixed.major || (major === fixed.major && minor >= fixed.minor);
  return isFixed ? undefined : `${name} with firmware ${major}.${minor} (fixed in ${bound})`;
}
