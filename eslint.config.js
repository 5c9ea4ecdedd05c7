/**
 * What the compiler cannot see: mistakes that need types to find. `.dependency-cruiser.js` says who
 * imports whom.
 */
import js from "@eslint/js";
import tsdoc from "eslint-plugin-tsdoc";
import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

export default defineConfig(
  globalIgnores(["dist/", ".cache/", "coverage/"]),
  js.configs.recommended,
  {
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      eqeqeq: "error",
      "no-console": "error",
      // Code is Prettier's; comments are ours.
      "max-len": [
        "error",
        {
          ...{ code: 100_000, comments: 100, ignoreUrls: true },
          ignorePattern: "^\\s*/?\\*\\*? @(?:param|type|typedef)",
        },
      ],
    },
  },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    plugins: { tsdoc },
    rules: {
      "tsdoc/syntax": "error",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/switch-exhaustiveness-check": "error",
      // The compiler option noPropertyAccessFromIndexSignature wants the brackets.
      "@typescript-eslint/dot-notation": "off",
      // It wants the `!` that no-non-null-assertion refuses.
      "@typescript-eslint/non-nullable-type-assertion-style": "off",
    },
  },
  {
    files: ["test/**/*.ts"],
    rules: { "no-restricted-globals": ["error", "jest"] },
  },
  {
    files: ["test/**/*.ts"],
    ignores: ["test/support/missing.ts"],
    rules: {
      "no-restricted-properties": [
        "error",
        ...["it", "test", "describe"].map((object) => ({
          ...{ object, property: "skip", message: "Use itIf, describeIf or skipped (missing.ts)." },
        })),
      ],
    },
  },
  {
    // Plain JSON would bring C1 controls and overrides of direction to a terminal.
    files: ["src/cli/**/*.ts"],
    rules: {
      "no-restricted-properties": [
        "error",
        { object: "JSON", property: "stringify", message: "Use printableJson." },
      ],
    },
  },
  {
    // The bundles copy what a module exports when it is first loaded (scripts/lib/one-file.mjs).
    files: ["src/**/*.ts"],
    rules: {
      "no-restricted-syntax": [
        "error",
        {
          selector: "ExportNamedDeclaration > VariableDeclaration[kind='let']",
          message: "Export a function that returns it: in a bundle the new value would be missed.",
        },
      ],
    },
  },
  {
    files: ["scripts/**", "examples/**", "test/**/*.mjs", "*.js"],
    // Undefined names are found by the compiler (checkJs), which knows Node's.
    rules: { "no-console": "off", "no-undef": "off" },
  },

  {
    files: [
      "src/{keys,wrap,envelope,capi}/**/*.ts",
      "src/body/*.ts",
      "src/{bytes,defined,errors,printable,secret,stream}.ts",
    ],
    rules: { "no-restricted-globals": ["error", "process"] },
  },
);
