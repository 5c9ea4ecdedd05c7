/**
 * Replaces the header of a file, by the built module, in a process that a test may kill:
 *   replace-header.mjs FILE OLD NEW [--in-place] [--as=UID]
 * OLD and NEW are files with the headers. What came out is printed: how, or the error's code.
 */
import { readFileSync } from "node:fs";

const module = new URL("../../../dist/store/replace-header.js", import.meta.url);
const { replaceHeader } = await import(module.href);

const [file, old = "", next = "", ...options] = process.argv.slice(2);
const expected = readFileSync(old);
const header = readFileSync(next);
const as = options.find((option) => option.startsWith("--as="))?.slice("--as=".length);
if (as !== undefined) {
  process.setgroups?.([]);
  process.setgid?.(Number(as));
  process.setuid?.(Number(as));
}
const inPlace = options.includes("--in-place");
try {
  console.log(await replaceHeader(file, { expected, header, inPlace }));
} catch (error) {
  console.log(Reflect.get(Object(error), "code"));
  process.exitCode = 1;
}
