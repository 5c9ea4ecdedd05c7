/**
 * A hash tree over a set of entries, each a key and a value. Its root commits to all of them: who
 * has the root sees from one path of nodes that an entry is there, has another value, or is absent.
 *
 * A node has a path, the digits that all keys below it begin with. It is a leaf with up to 32
 * entries, or it has sixteen children, one for each next digit. So 10⁶ entries with random keys
 * take five levels, and a look reads one node of at most 2 KB on each. The shape follows from the
 * entries alone, and not from the order in which they came.
 */
import { hash } from "node:crypto";

/** Where nodes are kept, by path. */
export interface TreeNodes {
  /** Those of the wanted ones that there are. */
  read(paths: readonly string[]): ReadonlyMap<string, string>;
  /** Replaces nodes; the empty text stands for none. */
  write(nodes: ReadonlyMap<string, string>): void;
}

/** What a key's value was, and what it becomes; absent: the key has none. */
export interface Replacement {
  /** 32 hexadecimal digits. Digits that many keys have in common make their paths longer. */
  readonly key: string;
  /** 32 hexadecimal digits. */
  readonly from: string | undefined;
  readonly to: string | undefined;
}

/** SHA-256 of a node, and how many entries there are below it: 64 and 12 hexadecimal digits. */
export type Root = string;

/** The tree is not the one that its root stands for, or not the one that was expected. */
export class TreeMismatch extends Error {}

/** The values of some keys; undefined where a key is not in the tree. @throws TreeMismatch */
export function valuesIn(
  nodes: TreeNodes,
  root: Root,
  keys: readonly string[],
): ReadonlyMap<string, string | undefined> {
  const found = new Map<string, string | undefined>();
  walk(
    nodes,
    root,
    keys,
    (key) => key,
    (_, node, part) => {
      if (!isLeaf(node)) return;
      const values = valuesOf(node);
      for (const key of part) found.set(key, values.get(key));
    },
  );
  return found;
}

/**
 * Replaces values, each of which must be what it is said to be. No key may occur twice.
 *
 * @returns the new root
 * @throws TreeMismatch; then nothing was written
 */
export function replaced(nodes: TreeNodes, root: Root, replacements: readonly Replacement[]): Root {
  const change = new TreeChange(nodes);
  walk(
    nodes,
    root,
    replacements,
    ({ key }) => key,
    (path, node) => {
      change.known.set(path, node);
    },
  );
  const after = change.replace("", root, replacements);
  if (change.changed.size > 0) nodes.write(change.changed);
  return after;
}

/** How many entries are in the tree. */
export function countIn(root: Root): number {
  return Number.parseInt(root.slice(HASH_DIGITS), 16);
}

// ── Reading ──

/** Visits the nodes on the way to some items, level by level, each with the items below it. */
function walk<T>(
  nodes: TreeNodes,
  root: Root,
  items: readonly T[],
  keyOf: (item: T) => string,
  visit: (path: string, node: string, items: readonly T[]) => void,
): void {
  let level = [{ path: "", root, items }];
  while (level.length > 0) {
    const found = nodes.read(level.filter((at) => at.root !== EMPTY_ROOT).map(({ path }) => path));
    const next: typeof level = [];
    for (const at of level) {
      const node = authentic(at.path, found.get(at.path), at.root);
      visit(at.path, node, at.items);
      if (isLeaf(node)) continue;
      const children = childrenOf(node);
      for (const [digit, part] of byDigit(at.items, keyOf, at.path.length)) {
        next.push({ path: pathBelow(at.path, digit), root: childAt(children, digit), items: part });
      }
    }
    level = next;
  }
}

function authentic(path: string, node = "", root: Root): string {
  if (rootOf(node) !== root) throw new TreeMismatch(`node "${path}" is another one`);
  return node;
}

// ── Writing ──

class TreeChange {
  /** The nodes on the way to what is changed. */
  readonly known = new Map<string, string>();
  readonly changed = new Map<string, string>();
  readonly #nodes: TreeNodes;

  constructor(nodes: TreeNodes) {
    this.#nodes = nodes;
  }

  /** In the node at a path, which is known, and below it. */
  replace(path: string, root: Root, replacements: readonly Replacement[]): Root {
    const node = this.known.get(path) ?? "";
    if (isLeaf(node)) return this.#replaceInLeaf(path, root, node, replacements);
    const children = childrenOf(node);
    for (const [digit, part] of byDigit(replacements, ({ key }) => key, path.length)) {
      const child = childAt(children, digit);
      children[digit] = this.replace(pathBelow(path, digit), child, part);
    }
    const inner = innerNode(children);
    if (inner === node) return root;
    if (countOf(inner) > LEAF_ENTRIES) return this.#put(path, inner);
    return this.#gather(path, children);
  }

  #replaceInLeaf(
    path: string,
    root: Root,
    leaf: string,
    replacements: readonly Replacement[],
  ): Root {
    const values = valuesOf(leaf);
    for (const { key, from, to } of replacements) {
      if (values.get(key) !== from) throw new TreeMismatch(`entry "${key}" is another one`);
      if (to === undefined) values.delete(key);
      else values.set(key, to);
    }
    const isSame = replacements.every(({ from, to }) => from === to);
    return isSame ? root : this.#write(path, [...values]);
  }

  /** So few entries are left that they make a leaf. What is below are leaves already. */
  #gather(path: string, children: readonly Root[]): Root {
    const below = children.flatMap((root, digit) =>
      root === EMPTY_ROOT ? [] : [{ path: pathBelow(path, digit), root }],
    );
    const stored = this.#nodes.read(below.map((child) => child.path));
    const entries = below.flatMap((child) => {
      const node = this.changed.get(child.path) ?? stored.get(child.path);
      return [...valuesOf(authentic(child.path, node, child.root))];
    });
    for (const child of below) this.changed.set(child.path, "");
    return this.#write(path, entries);
  }

  /** Writes entries where no node, or a leaf, was before. */
  #write(path: string, entries: readonly Entry[]): Root {
    if (entries.length <= LEAF_ENTRIES || path.length === MAX_PATH_DIGITS) {
      const sorted = entries.map(([key, value]) => key + value).sort();
      return this.#put(path, sorted.join(""));
    }
    const children = DIGITS.split("").map(() => EMPTY_ROOT);
    for (const [digit, part] of byDigit(entries, ([key]) => key, path.length)) {
      children[digit] = this.#write(pathBelow(path, digit), part);
    }
    return this.#put(path, innerNode(children));
  }

  #put(path: string, node: string): Root {
    this.changed.set(path, node);
    return rootOf(node);
  }
}

// ── The form of a node ──
// A leaf is its entries in their order; any other node is "/" and the roots of its children.

type Entry = readonly [key: string, value: string];

function isLeaf(node: string): boolean {
  return !node.startsWith(INNER);
}

function valuesOf(leaf: string): Map<string, string> {
  const values = new Map<string, string>();
  for (let at = 0; at < leaf.length; at += ENTRY_DIGITS) {
    const middle = at + KEY_DIGITS;
    values.set(leaf.slice(at, middle), leaf.slice(middle, at + ENTRY_DIGITS));
  }
  return values;
}

function childrenOf(node: string): Root[] {
  return Array.from(DIGITS, (_, digit) => {
    const at = INNER.length + digit * ROOT_DIGITS;
    return node.slice(at, at + ROOT_DIGITS);
  });
}

function innerNode(children: readonly Root[]): string {
  return INNER + children.join("");
}

function rootOf(node: string): Root {
  const count = countOf(node)
    .toString(16)
    .padStart(ROOT_DIGITS - HASH_DIGITS, "0");
  return hash("sha256", node) + count;
}

function countOf(node: string): number {
  if (isLeaf(node)) return node.length / ENTRY_DIGITS;
  return childrenOf(node).reduce((sum, child) => sum + countIn(child), 0);
}

function childAt(children: readonly Root[], digit: number): Root {
  return children[digit] ?? EMPTY_ROOT;
}

function pathBelow(path: string, digit: number): string {
  return path + DIGITS.charAt(digit);
}

/** The items by the digit that their key has at a place. */
function byDigit<T>(
  items: readonly T[],
  keyOf: (item: T) => string,
  place: number,
): Map<number, T[]> {
  const parts = new Map<number, T[]>();
  for (const item of items) {
    const digit = Number.parseInt(keyOf(item).charAt(place), 16);
    const part = parts.get(digit);
    if (part === undefined) parts.set(digit, [item]);
    else part.push(item);
  }
  return parts;
}

/** A leaf's size is a compromise: each change writes one, and more entries make fewer levels. */
const LEAF_ENTRIES = 32;
/** Keys that have this in common share a leaf, however many they are. */
const MAX_PATH_DIGITS = 12;

const DIGITS = "0123456789abcdef";
const INNER = "/";
const KEY_DIGITS = 32;
const ENTRY_DIGITS = 64;
const HASH_DIGITS = 64;
const ROOT_DIGITS = 76;

export const EMPTY_ROOT: Root = rootOf("");
