/**
 * A jest reporter for machines and for the reader in a hurry: every skipped test by name, then, as
 * the last line of all, `N passed, N failed, N skipped`. A file that could not be run counts as one
 * failed test, and so does a run without tests.
 */
import { writeSync } from "node:fs";

export default class PlainCount {
  /** @param {import("@jest/reporters").Config.GlobalConfig} globalConfig */
  constructor(globalConfig) {
    /** With `-t` jest reports as skipped whatever was not asked for; those names say nothing. */
    this.namesMatter = !globalConfig.testNamePattern;
  }

  /**
   * @param {unknown} _contexts
   * @param {import("@jest/reporters").AggregatedResult} results
   */
  onRunComplete(_contexts, results) {
    const skipped = results.testResults.flatMap((file) =>
      file.testResults.filter(({ status }) => status === "pending" || status === "todo"),
    );
    const failed =
      results.numFailedTests +
      results.numRuntimeErrorTestSuites +
      (results.numTotalTests === 0 && results.numRuntimeErrorTestSuites === 0 ? 1 : 0);
    const lines = [
      ...(this.namesMatter ? skipped.map((test) => `skipped: ${test.fullName}`) : []),
      `${results.numPassedTests} passed, ${failed} failed, ${skipped.length} skipped`,
    ];
    // jest prints its own summary after every reporter's turn; only the process's end is later.
    process.once("exit", () => writeSync(1, lines.join("\n") + "\n"));
  }
}
