/** Compiled code of a source that is replaced while a run reads it. */
import * as nodeFs from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { expect, it, jest } from "@jest/globals";
import { temporaryFolder } from "../cli/support/folder.js";

const root = temporaryFolder();
const program = join(root, "program.js");

/** Two programs that the file system's sizes and the hashes in front don't tell apart. */
const programs = [41, 42].map(
  (answer) =>
    `/*${"a".repeat(64)}*/(f => typeof module === "object" ? f(exports) : f)((exports) => {
exports.answer = () => ${answer};
})`,
);
const [OLD = "", NEW = ""] = programs;

/** Long enough ago for the file's times to be relied on. */
function put(text: string): void {
  nodeFs.writeFileSync(program, text);
  nodeFs.utimesSync(program, 1e9, 1e9);
}

let afterReading: (() => void) | undefined;

jest.unstable_mockModule("node:fs", () => ({
  ...nodeFs,
  readFileSync: (...given: Parameters<typeof nodeFs.readFileSync>) => {
    const read = nodeFs.readFileSync(...given);
    if (given[0] === program) afterReading?.();
    return read;
  },
}));
const { loadProgram } = await import("../../src/store/code-cache.js");

function run(): number {
  const env = { XDG_CACHE_HOME: join(root, "caches") };
  const loaded = loadProgram(createRequire(program), program, "test", env, {});
  const { answer } = loaded.program as { answer: () => number };
  const given = answer();
  loaded.keep();
  return given;
}

it("code is not kept under the name of the source that took the place of its own", () => {
  jest.spyOn(Date, "now").mockReturnValue(Date.now() + 60_000);
  put(OLD);
  afterReading = () => {
    put(NEW);
  };
  expect(run()).toBe(41);
  afterReading = undefined;
  expect(run()).toBe(42);
});
