/**
 * `node scripts/token-table.mjs`: writes the table of docs/tokens.md from what the stacks are
 * stated to offer and the last run of `npm run test:tokens`, and refuses when the two contradict
 * each other.
 */
import fs from "node:fs";
import { runMain, say, SetupError } from "./lib/run.mjs";
import {
  contradictions,
  PAGE,
  readResults,
  readStated,
  renderTable,
  renderVersions,
  splitPage,
} from "./lib/token-table.mjs";

await runMain(() => {
  const results = readResults();
  if (results === null) throw new SetupError("There are no results: npm run test:tokens");
  const stated = readStated();
  const wrong = contradictions(stated, results);
  if (wrong.length > 0) throw new SetupError(wrong.join("\n"));
  const { before, after } = splitPage(fs.readFileSync(PAGE, "utf8"));
  const inside = [renderTable(stated), renderVersions(results)].join("\n\n");
  fs.writeFileSync(PAGE, `${before}\n\n${inside}\n\n${after}`);
  say("docs/tokens.md has the new table");
  return 0;
});
