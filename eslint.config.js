/** What the compiler cannot see: mistakes that need types to find, and who imports whom. */
import js from "@eslint/js";
import tsdoc from "eslint-plugin-tsdoc";
import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

const MESSAGE = "see ARCHITECTURE.md, who imports whom";

/** Packages that only src/token may load: they need a compiled addon, and they crash on bad input. */
const NATIVE = "^(?:pkcs11js|graphene-pk11)(?:/|$)";

/** The database, native as well: only src/store. */
const DATABASE = "^libsql(?:/|$)";

/** Modules that reach outside: files, other programs, the process. The core has none of these. */
const OUTSIDE = "^(?:node:)?(?:fs|fs/promises|child_process|process)$";

/**
 * A relative import that passes through one of the folders, or of `FOLDER/FILE` itself.
 * @param {string} folders alternatives, as in "cli|token"
 */
const within = (folders) => `^(?:\\.{1,2}/)+(?:.*/)?(?:${folders})/`;

/**
 * A border: files that must not import what matches. ESLint takes the last matching block's options
 * for a rule, whole, so every block lists all that is forbidden to its files.
 * @param {string[]} files
 * @param {string[]} folders regular expressions on the import's text
 * @returns {import("eslint/config").Config}
 */
const border = (files, ...folders) => {
  const isStore = files.every((file) => file.startsWith("src/store/"));
  const forbidden = isStore ? folders : [...folders, DATABASE];
  return {
    files,
    rules: {
      "no-restricted-imports": [
        "error",
        { patterns: forbidden.map((regex) => ({ regex, message: MESSAGE })) },
      ],
      "no-restricted-syntax": [
        "error",
        // The rule above does not see import(…).
        ...forbidden.map((regex) => ({
          selector: `ImportExpression[source.value=/${regex.replaceAll("/", "\\/")}/]`,
          message: MESSAGE,
        })),
      ],
    },
  };
};

export default defineConfig(
  globalIgnores(["dist/", ".cache/", "coverage/"]),
  js.configs.recommended,
  {
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: { eqeqeq: "error", "no-console": "error" },
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
    files: ["scripts/**", "test/**/*.mjs", "*.js"],
    // Undefined names are found by the compiler (checkJs), which knows Node's.
    rules: { "no-console": "off", "no-undef": "off" },
  },

  // Borders, from the whole of src/ to single folders; the last that matches counts.
  border(["src/**/*.ts"], NATIVE, within("cli")),
  border(["src/*.ts"], NATIVE, within("cli")),
  border(
    ["src/{bytes,errors,secret,stream}.ts"],
    NATIVE,
    OUTSIDE,
    within("body|cli|directory|envelope|exchange|keys|token"),
  ),
  border(
    ["src/keys/**/*.ts"],
    NATIVE,
    OUTSIDE,
    within("body|cli|directory|envelope|exchange|token"),
  ),
  border(["src/exchange/**/*.ts"], NATIVE, OUTSIDE, within("body|cli|directory|envelope|token")),
  border(
    ["src/body/**/*.ts"],
    NATIVE,
    OUTSIDE,
    within("cli|directory|envelope|exchange|keys|token"),
  ),
  border(["src/envelope/**/*.ts"], NATIVE, OUTSIDE, within("cli|directory|token")),
  border(["src/directory/**/*.ts"], NATIVE, within("body|cli|envelope|token")),
  border(
    ["src/capi/**/*.ts"],
    NATIVE,
    OUTSIDE,
    within("body|cli|directory|envelope|files|sender|store|token"),
  ),
  border(["src/sender/**/*.ts"], NATIVE, within("body|capi|cli|envelope|exchange|files|token")),
  border(
    ["src/store/**/*.ts"],
    NATIVE,
    within("body|capi|cli|directory|envelope|exchange|files|keys|sender|token"),
  ),
  border(
    ["src/terminal/**/*.ts"],
    NATIVE,
    within("body|capi|cli|directory|envelope|exchange|files|keys|sender|store|token"),
  ),
  border(["src/files/**/*.ts"], NATIVE, within("cli|directory|token")),
  // The token's RSA may end on the host, so that the paddings of exchange/ are open to it.
  border(
    ["src/token/**/*.ts"],
    within("body|cli|directory|envelope"),
    "^(?:\\.{1,2}/)+exchange/(?!rsa-(?:oaep|pkcs1)\\.js$)",
  ),
  border(["src/cli/**/*.ts"], NATIVE),
  {
    files: ["src/{keys,exchange,body,envelope}/**/*.ts", "src/{bytes,errors,secret,stream}.ts"],
    rules: { "no-restricted-globals": ["error", "process"] },
  },
);
