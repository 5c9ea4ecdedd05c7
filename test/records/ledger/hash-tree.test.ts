import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import {
  countIn,
  EMPTY_ROOT,
  replaced,
  TreeMismatch,
  valuesIn,
  type Replacement,
  type Root,
  type TreeNodes,
} from "../../../src/records/ledger/hash-tree.js";
import { hex } from "../support/messages.js";

class MemoryNodes implements TreeNodes {
  readonly nodes = new Map<string, string>();
  reads = 0;

  read(paths: readonly string[]): Map<string, string> {
    this.reads += paths.length;
    return new Map(paths.map((path) => [path, this.nodes.get(path) ?? ""]));
  }

  write(nodes: ReadonlyMap<string, string>): void {
    for (const [path, node] of nodes) {
      if (node === "") this.nodes.delete(path);
      else this.nodes.set(path, node);
    }
  }
}

const key = (index: number): string => hex(`key ${index}`, 32);
const value = (index: number): string => hex(`value ${index}`, 32);

function added(nodes: TreeNodes, root: Root, from: number, to: number): Root {
  const entries = Array.from({ length: to - from }, (_, index) => from + index);
  const changes = entries.map((index) => ({ key: key(index), from: undefined, to: value(index) }));
  return replaced(nodes, root, changes);
}

describe("a hash tree", () => {
  it("holds what a map holds, in a shape that follows from its entries alone", () => {
    const change = fc.record({
      index: fc.integer({ min: 0, max: 300 }),
      to: fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined }),
    });
    const batches = fc.array(fc.array(change, { maxLength: 150 }), { maxLength: 8 });
    fc.assert(
      fc.property(batches, (all) => {
        const nodes = new MemoryNodes();
        const map = new Map<string, string>();
        let root = EMPTY_ROOT;
        for (const batch of all) {
          const changes = new Map<string, Replacement>();
          for (const { index, to } of batch) {
            const from = map.get(key(index));
            changes.set(key(index), {
              ...{ key: key(index), from },
              to: to === undefined ? undefined : value(to),
            });
          }
          root = replaced(nodes, root, [...changes.values()]);
          for (const one of changes.values()) {
            if (one.to === undefined) map.delete(one.key);
            else map.set(one.key, one.to);
          }
        }
        expect(countIn(root)).toBe(map.size);
        const keys = Array.from({ length: 301 }, (_, index) => key(index));
        const found = valuesIn(nodes, root, keys);
        for (const one of keys) expect(found.get(one)).toBe(map.get(one));

        const again = new MemoryNodes();
        const changes = [...map].map(([one, to]) => ({ key: one, from: undefined, to }));
        expect(replaced(again, EMPTY_ROOT, changes.reverse())).toBe(root);
        expect(again.nodes).toEqual(nodes.nodes);
      }),
      { numRuns: 60 },
    );
  });

  it("reads a path for a look, and writes one for a change", () => {
    const nodes = new MemoryNodes();
    let root = added(nodes, EMPTY_ROOT, 0, 20_000);
    nodes.reads = 0;
    valuesIn(nodes, root, [key(7)]);
    expect(nodes.reads).toBeLessThanOrEqual(5);
    for (const node of nodes.nodes.values()) expect(node.length).toBeLessThanOrEqual(2048);
    const before = new Map(nodes.nodes);
    root = replaced(nodes, root, [{ key: key(7), from: value(7), to: value(8) }]);
    const changed = [...nodes.nodes].filter(([path, node]) => before.get(path) !== node);
    expect(changed.length).toBeLessThanOrEqual(5);
    expect(changed.every(([path]) => key(7).startsWith(path))).toBe(true);
    expect(valuesIn(nodes, root, [key(7)]).get(key(7))).toBe(value(8));
  });

  it("is empty, without any node, when all is removed", () => {
    const nodes = new MemoryNodes();
    const root = added(nodes, EMPTY_ROOT, 0, 500);
    const changes = Array.from({ length: 500 }, (_, index) => index).map((index) => ({
      ...{ key: key(index), from: value(index), to: undefined },
    }));
    expect(replaced(nodes, root, changes)).toBe(EMPTY_ROOT);
    expect(nodes.nodes.size).toBe(0);
  });

  it("keeps keys apart that begin alike", () => {
    const nodes = new MemoryNodes();
    const keys = Array.from({ length: 100 }, (_, index) => {
      return "0123456789ab".padEnd(28, "0") + String(index).padStart(4, "0");
    });
    const changes = keys.map((one) => ({ key: one, from: undefined, to: hex(one, 32) }));
    const root = replaced(nodes, EMPTY_ROOT, changes);
    const found = valuesIn(nodes, root, keys);
    for (const one of keys) expect(found.get(one)).toBe(hex(one, 32));
    for (const path of nodes.nodes.keys()) expect(path.length).toBeLessThanOrEqual(12);
  });
});

describe("a hash tree whose nodes are not of one time", () => {
  it("never answers from an older one", () => {
    const nodes = new MemoryNodes();
    const first = added(nodes, EMPTY_ROOT, 0, 300);
    const old = new Map(nodes.nodes);
    const root = added(nodes, first, 300, 310);
    const replacedPaths = [...nodes.nodes.keys()].filter((p) => nodes.nodes.get(p) !== old.get(p));
    expect(replacedPaths.length).toBeGreaterThan(5);
    for (const path of replacedPaths) {
      const mixed = new MemoryNodes();
      mixed.write(nodes.nodes);
      mixed.write(new Map([[path, old.get(path) ?? ""]]));
      for (let index = 290; index < 310; index++) {
        if (!key(index).startsWith(path)) continue;
        expect(() => valuesIn(mixed, root, [key(index)])).toThrow(TreeMismatch);
        const change = { key: key(index), from: value(index), to: undefined };
        expect(() => replaced(mixed, root, [change])).toThrow(TreeMismatch);
      }
    }
    expect(() => valuesIn(nodes, first, [key(0)])).toThrow(TreeMismatch);
  });

  it.each([
    ["is there", { key: key(1), from: undefined, to: value(5) }],
    ["is another", { key: key(1), from: value(2), to: value(5) }],
    ["is not there", { key: key(999), from: value(999), to: undefined }],
    ["is there, and nothing is to change", { key: key(1), from: undefined, to: undefined }],
  ])("changes nothing where a value %s", (_, change) => {
    const nodes = new MemoryNodes();
    const root = added(nodes, EMPTY_ROOT, 0, 100);
    expect(() => replaced(nodes, root, [change])).toThrow(TreeMismatch);
  });
});
