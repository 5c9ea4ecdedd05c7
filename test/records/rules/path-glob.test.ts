import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { PathGlob } from "../../../src/records/rules/path-glob.js";
import { withinSeconds } from "../../support/processor-time.js";

const matches = (pattern: string, path: string): boolean =>
  new PathGlob(pattern).matches(path.split("/"));

describe("a rule's path", () => {
  it.each([
    ["**", "a", true],
    ["**", "a/b/c", true],
    ["**", ".hidden/.x", true],
    ["*", "a", true],
    ["*", ".a", true],
    ["*", "a/b", false],
    ["*.p11s", "report.p11s", true],
    ["*.p11s", "finance/report.p11s", false],
    ["**/*.p11s", "report.p11s", true],
    ["**/*.p11s", "finance/2026/report.p11s", true],
    ["**/*.p11s", "finance/report.p11sx", false],
    ["finance/**", "finance/a", true],
    ["finance/**", "finance/a/b", true],
    ["finance/**", "finance", false],
    ["finance/**", "finances/a", false],
    ["finance/**", "x/finance/a", false],
    ["a/**/z", "a/z", true],
    ["a/**/z", "a/b/c/z", true],
    ["a/**/b/**/c", "a/x/b/b/y/c", true],
    ["a/**/b/**/c", "a/x/y/c", false],
    ["a?c", "abc", true],
    ["a?c", "a\u{1f600}c", true],
    ["a?c", "ac", false],
    ["a*b*c", "a--b--c", true],
    ["a*b*c", "abcb", false],
    ["a.c", "abc", false],
    ["A", "a", false],
    ["pr*.p11s", "pr\nivate.p11s", true],
    ["**/x", "new\nline/x", true],
    ["?", "\n", true],
    ["Pr\u00fcfung/**", "Pru\u0308fung/a", true],
    ["$^+().|", "$^+().|", true],
  ])("%j and %j: %s", (pattern, path, expected) => {
    expect(matches(pattern, path)).toBe(expected);
  });

  it.each([
    ["", "is empty"],
    ["/srv/finance/**", "is absolute"],
    ["C:/finance/**", "is absolute"],
    ["finance\\*.p11s", "has a backslash"],
    ["!secret/**", "starts with !"],
    ["{a,b}/**", "has {"],
    ["[ab]", "has ["],
    ["a]", "has ]"],
    ["finance/", "ends in /"],
    ["a//b", "has an empty name"],
    ["../other/**", "has . or .. in it"],
    ["a/../b", "has . or .. in it"],
    ["./a", "has . or .. in it"],
    ["a**", "has ** within a name"],
    ["***", "has ** within a name"],
  ])("%j is refused: it %s", (pattern, fact) => {
    expect(() => new PathGlob(pattern)).toThrow(
      expect.objectContaining({
        code: "ERR_RULES_FILE",
        message: `the path ${JSON.stringify(pattern)} ${fact}`,
      }),
    );
  });

  it("matches what trying every way to share the characters out matches", () => {
    const name = fc.string({
      unit: fc.constantFrom("a", "b", "*", "?"),
      minLength: 1,
      maxLength: 5,
    });
    const pattern = fc
      .array(fc.oneof(fc.constant("**"), name), { minLength: 1, maxLength: 5 })
      .filter((names) => names.every((one) => one === "**" || !one.includes("**")));
    const file = fc.array(
      fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 5 }),
      { minLength: 1, maxLength: 5 },
    );
    fc.assert(
      fc.property(pattern, file, (names, path) => {
        const ended = names.at(-1) === "**" ? [...names, "*"] : names;
        expect(new PathGlob(names.join("/")).matches(path)).toBe(slowly(ended, path));
      }),
      { numRuns: 2000 },
    );
  });

  it("takes no longer for a pattern that is made to", () => {
    const stars = "*a".repeat(200);
    const [pattern, path] = [
      `${"**/x/".repeat(50)}${stars}b`,
      `${"x/".repeat(200)}${"a".repeat(2000)}`,
    ];
    expect(withinSeconds(2, () => matches(pattern, path))).toBe(false);
  });
});

/** By definition: `**` is any number of names, `*` of characters. */
function slowly(pattern: readonly string[], path: readonly string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return path.length === 0;
  if (first === "**") return path.some((_, at) => slowly(rest, path.slice(at))) || slowly(rest, []);
  const [name, ...below] = path;
  return name !== undefined && nameFits(first, name) && slowly(rest, below);
}

function nameFits(pattern: string, name: string): boolean {
  if (pattern === "") return name === "";
  const rest = pattern.slice(1);
  if (pattern.startsWith("*")) {
    return Array.from({ length: name.length + 1 }, (_, at) => name.slice(at)).some((left) =>
      nameFits(rest, left),
    );
  }
  if (name === "") return false;
  const [one = ""] = pattern;
  return (one === "?" || name.startsWith(one)) && nameFits(rest, name.slice(1));
}
