/**
 * Certificate policies (RFC 5280 §6.1), as a graph (RFC 9618): with mappings, a tree of the same
 * policies can grow exponentially, the graph has a node per policy and certificate.
 */
import type { Certificate } from "../x509/certificate.js";

/** RFC 5280 §4.2.1.4: whatever policy there is. */
export const ANY_POLICY = "2.5.29.32.0";

interface Node {
  readonly policy: string;
  /** Nodes of the certificate before; for those below anyPolicy its node alone. */
  readonly parents: readonly Node[];
  /** What the next certificate may have, to be a child of this node. */
  expected: ReadonlySet<string>;
}

type Level = Map<string, Node>;

/** The policies that all certificates of a path so far agree on. */
export class PolicyGraph {
  #level: Level = new Map([
    [ANY_POLICY, { policy: ANY_POLICY, parents: [], expected: new Set([ANY_POLICY]) }],
  ]);
  /** anyPolicy of the certificate before the last one: mappings add policies below it. */
  #previousAny: Node | undefined;

  /**
   * The next certificate (§6.1.3 d, e).
   *
   * @param anyCounts - whether its anyPolicy stands for other policies.
   */
  add(certificate: Certificate, anyCounts: boolean): void {
    const previous = this.#level;
    const previousAny = previous.get(ANY_POLICY);
    const level: Level = new Map();
    const byExpected = new Map<string, Node[]>();
    for (const node of previous.values()) {
      for (const policy of node.expected) {
        const nodes = byExpected.get(policy);
        if (nodes === undefined) byExpected.set(policy, [node]);
        else nodes.push(node);
      }
    }
    const put = (policy: string, parents: readonly Node[]): void => {
      level.set(policy, { policy, parents, expected: new Set([policy]) });
    };
    const policies = certificate.policies ?? [];
    for (const policy of policies) {
      if (policy === ANY_POLICY) continue;
      const parents = byExpected.get(policy) ?? (previousAny ? [previousAny] : []);
      if (parents.length > 0) put(policy, parents);
    }
    if (policies.includes(ANY_POLICY) && anyCounts) {
      for (const [policy, parents] of byExpected) if (!level.has(policy)) put(policy, parents);
    }
    this.#previousAny = previousAny;
    this.#level = level;
  }

  /**
   * The mappings of the certificate that was added last (§6.1.4 b): they count, or whatever is
   * mapped is dropped.
   */
  map(certificate: Certificate, mappingsCount: boolean): void {
    const targets = new Map<string, Set<string>>();
    for (const { issuer, subject } of certificate.policyMappings ?? []) {
      const set = targets.get(issuer);
      if (set === undefined) targets.set(issuer, new Set([subject]));
      else set.add(subject);
    }
    const any = this.#level.get(ANY_POLICY);
    for (const [policy, expected] of targets) {
      const node = this.#level.get(policy);
      if (!mappingsCount) this.#level.delete(policy);
      else if (node !== undefined) node.expected = expected;
      else if (any !== undefined && this.#previousAny !== undefined) {
        this.#level.set(policy, { policy, parents: [this.#previousAny], expected });
      }
    }
  }

  /**
   * The policies of the whole path in the anchor's terms, limited to `wanted` (§6.1.5 g); an empty
   * list if there is none. `[ANY_POLICY]` stands for every policy.
   */
  policies(wanted: ReadonlySet<string>): string[] {
    const all = wanted.has(ANY_POLICY);
    if (this.#level.has(ANY_POLICY)) return all ? [ANY_POLICY] : [...wanted];
    const found = new Set<string>();
    let nodes = new Set(this.#level.values());
    while (nodes.size > 0) {
      const above = new Set<Node>();
      for (const { policy, parents } of nodes) {
        for (const parent of parents) {
          if (parent.policy !== ANY_POLICY) above.add(parent);
          else if (all || wanted.has(policy)) found.add(policy);
        }
      }
      nodes = above;
    }
    return [...found];
  }
}
