/** The message formats that are known, and which of them a message has. */
import { FormatError, UsageError } from "../errors.js";
import { printable } from "../printable.js";
import type { Reader } from "../stream.js";
import { age } from "./age/age.js";
import { armorLabel, dearmored } from "./armor.js";
import { cms } from "./cms/cms.js";
import type { Envelope } from "./envelope.js";
import { native } from "./native/native.js";

/** The format that messages are sealed in where no other is asked for. */
const DEFAULT_FORMAT: Envelope = native;

/** In the order in which they are asked. */
const known: Envelope[] = [native, age, cms];

/**
 * Makes one more format known; it is asked after all that are known already.
 *
 * @returns makes it unknown again
 */
export function registerFormat(envelope: Envelope): () => void {
  known.push(envelope);
  return () => {
    const index = known.indexOf(envelope);
    if (index >= 0) known.splice(index, 1);
  };
}

/**
 * The format to seal in.
 *
 * @param name - one of `formatNames`; by default `p11seal`
 * @throws UsageError `ERR_FORMAT_UNKNOWN`
 */
export function formatNamed(name: string = DEFAULT_FORMAT.name): Envelope {
  const envelope = known.find((one) => one.name === name);
  if (envelope !== undefined) return envelope;
  throw new UsageError("ERR_FORMAT_UNKNOWN", `no message format is called "${printable(name)}"`, {
    hint: `known formats: ${formatNames().join(", ")}`,
  });
}

/** The names of all known formats. */
export function formatNames(): string[] {
  return known.map(({ name }) => name);
}

/**
 * The format of the message that `header` has next; where it is in armour, `header` has the bytes
 * in it from here on. Consumes nothing else, and waits for no more bytes than the known formats
 * need to see.
 *
 * @throws FormatError `ERR_NOT_A_MESSAGE`, `ERR_ARMOR`: it holds a message of another format
 */
export async function formatOf(header: Reader): Promise<Envelope> {
  const label = await armorLabel(header);
  if (label === undefined || !known.some((envelope) => hasLabel(envelope, label))) {
    return formatOfBytes(header);
  }
  header.decode((armor) => dearmored(armor, label));
  const envelope = await formatOfBytes(header);
  if (hasLabel(envelope, label)) return envelope;
  throw new FormatError(
    "ERR_ARMOR",
    `the armour says ${label}, and holds a message of ${envelope.name}`,
  );
}

function hasLabel({ armorLabel: own, otherArmorLabels = [] }: Envelope, label: string): boolean {
  return own === label || otherArmorLabels.includes(label);
}

async function formatOfBytes(header: Reader): Promise<Envelope> {
  for (const envelope of known) {
    const start = await header.peek(Math.min(envelope.startBytes, MAX_START_BYTES));
    if (envelope.detect(start)) return envelope;
  }
  for (const envelope of known) {
    if ((await envelope.detectAhead?.(header)) === true) return envelope;
  }
  // Loaded here: it knows many files that are none of ours.
  const { notAMessage, TELLING_BYTES } = await import("./foreign.js");
  // More than the formats asked for helps to name it, but nobody waits for it.
  throw notAMessage(header.atHand(TELLING_BYTES));
}

/** No format gets to see more of a message before it is detected. */
const MAX_START_BYTES = 64;
