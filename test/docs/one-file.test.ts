/** The chunks of a program in one file: scripts/lib/one-file.mjs, of which the bundles are made. */
import { compileFunction } from "node:vm";
import { describe, expect, it } from "@jest/globals";
import { oneFile } from "../../scripts/lib/one-file.mjs";

/** What the file exports, and what was asked of `require`. */
function load(chunks: Readonly<Record<string, string>>): {
  exports: Record<string, unknown>;
  required: string[];
} {
  const text = oneFile(
    new Map(Object.entries(chunks)),
    "main.js",
    (id) => `require("./import.js")("${id}")`,
  );
  const module = { exports: {} };
  const required: string[] = [];
  const require = (name: string): unknown => {
    required.push(name);
    if (name === "./import.js") return (what: string) => Promise.resolve({ imported: what });
    return { default: `of ${name}`, join: (...words: string[]) => words.join("+") };
  };
  const run = compileFunction(`"use strict";${text}`, ["module", "require"]) as (
    ...given: unknown[]
  ) => void;
  run(module, require);
  return { exports: module.exports, required };
}

describe("chunks in one file", () => {
  it("give each other what they import, under whatever names", () => {
    const { exports } = load({
      "main.js": 'import{a as x,b}from"./one.js";import"./two.js";var r=x+b;export{r as sum,x};',
      "one.js": 'import{c}from"./two.js";let a=c*2;const b=c+1;export{a,b};',
      "two.js": "function c(){}let d=20;export{d as c};",
    });
    expect(exports).toEqual({ sum: 61, x: 40 });
  });

  it("run once each, those first that others import", () => {
    const say = (name: string): string => `(globalThis.said??=[]).push("${name}");`;
    const { exports } = load({
      "main.js": `import"./b.js";import"./a.js";${say("main")}var s=globalThis.said;export{s};`,
      "a.js": `import"./c.js";${say("a")}`,
      "b.js": `import"./c.js";${say("b")}`,
      "c.js": say("c"),
    });
    expect(exports["s"]).toEqual(["c", "b", "a", "main"]);
  });

  it("run only once they are imported, where that is later", async () => {
    const { exports } = load({
      "main.js":
        'var runs=[];function note(x){runs.push(x)}var more=()=>import("./c/late.js");export{runs,note,more};',
      "c/late.js": 'import{note as n}from"../main.js";n("late");var value=7;export{value as v};',
    });
    expect(exports["runs"]).toEqual([]);
    const more = exports["more"] as () => Promise<unknown>;
    expect(await more()).toEqual({ v: 7 });
    expect(await more()).toEqual({ v: 7 });
    expect(exports["runs"]).toEqual(["late"]);
  });

  it("load other modules once for all, and import() them by way of another file", async () => {
    const { exports, required } = load({
      "main.js":
        'import{join as j}from"node:path";import*as all from"node:path";import"./one.js";' +
        'var r=j("a","b"),s=all.join("c","d"),later=()=>import("yargs");export{r,s,later};',
      "one.js": 'import{join}from"node:path";join("x");',
    });
    expect(exports).toMatchObject({ r: "a+b", s: "c+d" });
    expect(required).toEqual(["node:path"]);
    expect(await (exports["later"] as () => Promise<unknown>)()).toEqual({ imported: "yargs" });
    expect(required).toEqual(["node:path", "./import.js"]);
  });

  it("keep what only looks like an import", () => {
    const { exports } = load({
      "main.js": "var text='import{a}from\"./no.js\"';export{text};",
    });
    expect(exports["text"]).toBe('import{a}from"./no.js"');
  });

  it("are refused with a default export: of a module of CommonJS, it is all that there is", () => {
    const chunks = {
      "main.js": 'var later=()=>import("./d.js");export{later};',
      "d.js": "var made=()=>5;export default made();",
    };
    expect(() => load(chunks)).toThrow("d.js has a default export");
  });

  it("are refused where they import what only a run would know", () => {
    expect(() => load({ "main.js": "var later=x=>import(x);export{later};" })).toThrow("by name");
  });

  it("are refused where one imports itself by way of others: it would copy what is not there", () => {
    const chunks = {
      "main.js": 'import"./a.js";',
      "a.js": 'import{b}from"./b.js";export{a};var a=1;',
      "b.js": 'import{a}from"./a.js";export{b};var b=2;',
    };
    expect(() => load(chunks)).toThrow("imports itself");
  });

  it("are refused with a name that the file around them uses", () => {
    expect(() => load({ "main.js": "var __chunk=1;export{__chunk as a};" })).toThrow("a name");
  });
});
