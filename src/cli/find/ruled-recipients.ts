/** Recipients as the rules for a message's place let it be sealed to them. */
import { toHex } from "../../bytes.js";
import { PolicyError } from "../../errors.js";
import type { OaepHash, Recipient } from "../../keys/key.js";
import { oaepUnder, recipientBreaches, type Breach } from "../../records/rules/breaches.js";
import type { Governance } from "../../records/rules/governance.js";
import type { RuledKey, RuledKeys } from "../../records/rules/ruled-keys.js";
import { quoted } from "../../store/system-error.js";

/** A key that rules name, to seal to. @throws PolicyError `ERR_RULES`: nobody here can */
export function usable({ name, recipient, problem }: RuledKey, path: string): Recipient {
  if (recipient !== undefined && problem === undefined) return recipient;
  throw new PolicyError(
    "ERR_RULES",
    `the rules for ${quoted(path)} name "${name}", and ${problem ?? "its key is not known"}`,
    {
      hint: "get the key from its owner, compare its fingerprint with the rules', and add it with: p11seal recipients add",
    },
  );
}

/**
 * The recipient as the rules let it be sealed to.
 *
 * @param wanted - the OAEP hash that the user or the format chose
 * @throws PolicyError `ERR_RULES`
 */
export function obeying(
  recipient: Recipient,
  governance: Governance,
  keys: RuledKeys,
  wanted: OaepHash | undefined,
): Recipient {
  const { breach, oaep } = oaepUnder(governance, recipient, wanted);
  const breaches = [
    ...recipientBreaches(governance, recipient, keys, Date.now()),
    ...(breach === undefined ? [] : [breach]),
  ].map((one) => ({ ...one, fact: `the key ${shortName(recipient, governance)}: ${one.fact}` }));
  refuse(breaches, governance);
  return oaep === undefined ? recipient : { ...recipient, oaep };
}

/** @throws PolicyError `ERR_RULES`: there is a breach */
export function refuse(
  [breach]: readonly Pick<Breach, "fact">[],
  { path, matched }: Governance,
  hint?: string,
): void {
  if (breach === undefined) return;
  const files = [...new Set(matched.map(({ file }) => quoted(file.path)))].join(" and ");
  throw new PolicyError("ERR_RULES", `${quoted(path)}: ${breach.fact}`, {
    hint: hint ?? `the rules are in ${files}; see p11seal rules explain`,
  });
}

export function isSameKey(one: Recipient, other: Recipient): boolean {
  return toHex(one.publicKey.fingerprint) === toHex(other.publicKey.fingerprint);
}

function shortName({ publicKey }: Recipient, { to, always, only = [] }: Governance): string {
  const fingerprint = toHex(publicKey.fingerprint);
  const known = [...always, ...to, ...only].find((key) => key.fingerprint === fingerprint);
  return known === undefined ? `SHA256:${fingerprint}` : `of "${known.name}"`;
}
