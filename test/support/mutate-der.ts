/**
 * A mutation fuzzer that knows DER: values are changed, dropped, repeated, swapped or taken from
 * another input, and the lengths around them are put right again, so that the damage gets past the
 * lengths to what reads the values.
 */
import { der } from "../../src/asn1/der.js";
import { concat } from "../../src/bytes.js";
import { mutated, type Random } from "./mutate.js";

interface Value {
  readonly tag: number;
  /** Values of a constructed one, or the content. */
  readonly content: Value[] | Uint8Array;
}

/** One of `seeds` with damage: half of all times in its bytes, otherwise in its values. */
export function mutatedDer(seeds: readonly Uint8Array[], random: Random): Uint8Array {
  if (random.below(2) === 0) return mutated(seeds, random);
  const [root] = parsed(random.of(seeds));
  const other = parsed(random.of(seeds));
  if (root === undefined) return mutated(seeds, random);
  let changed = root;
  for (let changes = 1 + random.below(3); changes > 0; changes--) {
    changed = change(changed, collect(other), random);
  }
  return write(changed);
}

function change(root: Value, others: readonly Value[], random: Random): Value {
  const places = collect([root]).length;
  let place = 1 + random.below(Math.max(places - 1, 1));
  const walk = (value: Value): Value[] => {
    if (place-- === 0) return damaged(value, others, random);
    const { tag, content } = value;
    return [{ tag, content: content instanceof Uint8Array ? content : content.flatMap(walk) }];
  };
  return walk(root)[0] ?? root;
}

function damaged(value: Value, others: readonly Value[], random: Random): Value[] {
  const { tag, content } = value;
  switch (random.below(8)) {
    case 0:
      return [];
    case 1:
      return [value, value];
    case 2:
      return [{ tag: random.of(TAGS), content }];
    case 3:
      return [random.of(others)];
    case 4:
      return [value, random.of(others)];
    case 5:
      return [{ tag, content: random.bytes(random.below(24)) }];
    case 6:
      if (content instanceof Uint8Array) return [{ tag, content: mutated([content], random) }];
      return [{ tag, content: [...content].reverse() }];
    default:
      if (content instanceof Uint8Array) return [{ tag, content: content.subarray(1) }];
      return content;
  }
}

const PARSED = new WeakMap<Uint8Array, Value[]>();

function parsed(seed: Uint8Array): Value[] {
  const values = PARSED.get(seed) ?? parse(seed);
  PARSED.set(seed, values);
  return values;
}

/** The values of `bytes`; none if they are not DER. */
function parse(bytes: Uint8Array): Value[] {
  const values: Value[] = [];
  let at = 0;
  while (at < bytes.length) {
    const [tag = 0, first = 0] = bytes.subarray(at);
    const size = first < 0x80 ? 0 : first & 0x7f;
    let length = first;
    if (size > 0) {
      length = 0;
      for (const byte of bytes.subarray(at + 2, at + 2 + size)) length = length * 256 + byte;
    }
    const start = at + 2 + size;
    const content = bytes.subarray(start, start + length);
    if (size > 3 || start > bytes.length || content.length < length) return [];
    const inner = (tag & 0x20) !== 0 || tag === 0x04 ? parse(content) : [];
    const isWhole = inner.length > 0 && Buffer.compare(concat(...inner.map(write)), content) === 0;
    values.push({ tag, content: isWhole ? inner : content });
    at = start + length;
  }
  return values;
}

function write({ tag, content }: Value): Uint8Array {
  return der(tag, ...(content instanceof Uint8Array ? [content] : content.map(write)));
}

function collect(values: readonly Value[]): Value[] {
  return values.flatMap((value) => [
    value,
    ...(value.content instanceof Uint8Array ? [] : collect(value.content)),
  ]);
}

const TAGS = [
  0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0a, 0x0c, 0x17, 0x18, 0x30, 0x31, 0x80, 0x81, 0xa0, 0xa1,
  0xa3,
];
