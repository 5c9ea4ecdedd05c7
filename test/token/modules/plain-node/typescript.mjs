/**
 * `node --import this-file script.ts` runs the sources directly in plain Node, outside jest. There
 * an assignment to process.env reaches the C library, and a crash ends only the child. The packages
 * named by TEST_WITHOUT_PACKAGES, with blanks between, can't be found.
 */
import { existsSync, readFileSync } from "node:fs";
import { register } from "node:module";
import { fileURLToPath } from "node:url";

if (!import.meta.url.includes("?hooks")) register(`${import.meta.url}?hooks`);

/** @type {import("node:module").ResolveHook} */
export async function resolve(specifier, context, next) {
  const without = process.env["TEST_WITHOUT_PACKAGES"]?.split(" ") ?? [];
  if (without.includes(specifier)) throw new Error(`no ${specifier}`);
  if (specifier.startsWith(".") && specifier.endsWith(".js") && context.parentURL) {
    const url = new URL(specifier.replace(/\.js$/, ".ts"), context.parentURL);
    if (existsSync(fileURLToPath(url))) return { url: url.href, shortCircuit: true };
  }
  return next(specifier, context);
}

/** @type {import("node:module").LoadHook} */
export async function load(url, context, next) {
  if (!url.endsWith(".ts")) return next(url, context);
  const { transform } = await import("@swc/core");
  const { code } = await transform(readFileSync(fileURLToPath(url), "utf8"), {
    jsc: { parser: { syntax: "typescript" }, target: "es2023" },
    module: { type: "es6" },
  });
  return { format: "module", source: code, shortCircuit: true };
}
