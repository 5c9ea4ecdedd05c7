/** The pages name files, commands and packages. These exist, and none is missing. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "@jest/globals";

const root = fileURLToPath(new URL("../..", import.meta.url));
const text = (path: string) => readFileSync(join(root, path), "utf8");
const pages = [
  "ARCHITECTURE.md",
  "CHANGELOG.md",
  "CONTRIBUTING.md",
  "README.md",
  "SECURITY.md",
  "docs/age.md",
  "docs/agent.md",
  "docs/cli.md",
  "docs/cms.md",
  "docs/cryptoapi.md",
  "docs/custody.md",
  "docs/format.md",
  "docs/format-kit/README.md",
  "docs/library.md",
  "docs/performance.md",
  "docs/testing.md",
  "docs/testing/exec.md",
  "docs/testing/jest.md",
  "docs/testing/node-test.md",
  "docs/testing/vitest.md",
  "docs/threat-model.md",
];
const manifest = JSON.parse(text("package.json")) as Record<
  "scripts" | "dependencies" | "optionalDependencies" | "devDependencies",
  Record<string, string>
>;

describe.each(pages)("%s", (page) => {
  it("links to pages and headings that exist", () => {
    const links = [...text(page).matchAll(/\]\((?!https?:)([^)#]*)(#[^)]*)?\)/g)];
    const broken = links.filter(([, target = "", anchor]) => {
      const path = target === "" ? page : join(dirname(page), target);
      if (!existsSync(join(root, path))) return true;
      return anchor !== undefined && !headings(path).includes(anchor.slice(1));
    });
    expect(broken.map(([link]) => link)).toEqual([]);
  });

  it("names tests that exist", () => {
    const named = [...text(page).matchAll(/\btest\/[a-z][\w./-]*\w/g)].map(([path]) => path);
    expect(named.filter((path) => !holdsTests(join(root, path)))).toEqual([]);
  });
});

describe("CONTRIBUTING.md", () => {
  const contributing = text("CONTRIBUTING.md");

  it("has a reason for every dependency, and no reason without one", () => {
    const reasons = contributing.slice(contributing.indexOf("## Dependencies"));
    const named = [...reasons.matchAll(/^\| `([^`]+)`/gm)].map(([, name]) => name);
    const { dependencies, optionalDependencies, devDependencies } = manifest;
    const all = { ...dependencies, ...optionalDependencies, ...devDependencies };
    expect(named.sort()).toEqual(Object.keys(all).sort());
  });

  it("names commands that package.json has", () => {
    const named = [...contributing.matchAll(/`npm run ([\w:]+)/g)].map(([, name]) => name);
    expect(named.length).toBeGreaterThan(0);
    expect(Object.keys(manifest.scripts)).toEqual(expect.arrayContaining(named));
  });
});

describe("docs/threat-model.md", () => {
  it("lists every rule of the audit with its severity, and no other", () => {
    const listed = [
      ...text("docs/threat-model.md").matchAll(/^\| `([a-z-]+)` +\| (danger|warning) /gm),
    ];
    const source = text("src/token/objects/key-audit.ts");
    const judged = [...source.matchAll(/\b(danger|warning)\(\s*key,\s*"([a-z-]+)"/g)];
    expect(judged.length).toBeGreaterThan(0);
    expect(listed.map(([, rule, severity]) => [rule, severity]).sort()).toEqual(
      judged.map(([, severity, rule]) => [rule, severity]).sort(),
    );
  });
});

/** Headings of a page as the anchors that renderers make of them. */
function headings(path: string): string[] {
  return [...text(path).matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w -]/g, "")
      .replaceAll(" ", "-"),
  );
}

/** A test, something tests use, or a folder with a test in it. */
function holdsTests(path: string): boolean {
  if (!existsSync(path)) return false;
  if (!statSync(path).isDirectory()) return true;
  return readdirSync(path, { recursive: true, encoding: "utf8" }).length > 0;
}
