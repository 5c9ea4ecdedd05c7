import { availableParallelism } from "node:os";

/** @type {import("jest").Config} */
export default {
  testEnvironment: "node",
  testMatch: ["<rootDir>/test/**/*.test.ts"],
  extensionsToTreatAsEsm: [".ts"],
  moduleNameMapper: {
    // Node can't start what is in src/.
    "^\\./program\\.js$": "<rootDir>/test/support/child-program.ts",
    "^(\\.{1,2}/.*)\\.js$": "$1",
  },
  modulePathIgnorePatterns: ["<rootDir>/dist/", "<rootDir>/.cache/"],
  transform: {
    "^.+\\.ts$": [
      "@swc/jest",
      { jsc: { parser: { syntax: "typescript" }, target: "es2023" }, module: { type: "es6" } },
    ],
  },
  globalSetup: "<rootDir>/test/support/global-setup.mjs",
  setupFiles: [
    "<rootDir>/test/support/file-folders.ts",
    "<rootDir>/test/support/forgotten-contexts.ts",
  ],
  setupFilesAfterEnv: ["<rootDir>/test/support/each-file.ts"],
  // Never one: a module that crashes takes its worker along, not the whole run. Three, where there
  // are fewer processors: many tests wait for processes of their own.
  maxWorkers: Math.max(3, availableParallelism() - 1),
  testTimeout: 60_000,
  reporters: ["default", "<rootDir>/scripts/plain-count.mjs"],
};
