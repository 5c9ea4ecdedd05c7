/**
 * ROCA (CVE-2017-15361): RSA keys made by an Infineon library can be factored. The library was used
 * in smart cards, TPMs and tokens from 2012 to 2017.
 *
 * Its primes have the form k·M + (65537^a mod M), where M is a product of small primes. So modulo
 * each of those primes the modulus is a power of 65537 (Nemec et al., CCS 2017, §3). A sound key
 * matches by chance with a probability of about 2^-28.
 */
import { toHex } from "../bytes.js";

/** True if the RSA modulus, big-endian, has ROCA's fingerprint. */
export function isRoca(modulus: Uint8Array): boolean {
  // One long division by the product of all primes, then short ones.
  const rest = BigInt(`0x0${toHex(modulus)}`) % PRODUCT;
  // If the powers of 65537 are all residues of a prime, it proves nothing; a sound key fails at
  // others.
  return PRIMES.every((prime) => isPowerOf65537(Number(rest % BigInt(prime)), prime));
}

function isPowerOf65537(residue: number, prime: number): boolean {
  let power = 1;
  do {
    if (power === residue) return true;
    power = (power * (65537 % prime)) % prime;
  } while (power !== 1);
  return false;
}

/** The odd primes up to 167. They divide M for every key size that the library made. */
const PRIMES = [
  3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101,
  103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

const PRODUCT = PRIMES.reduce((product, prime) => product * BigInt(prime), 1n);
