/** `npm run build`: compiles src/ to dist/. */
import { build } from "./lib/build.mjs";
import { ensureDependencies } from "./lib/dependencies.mjs";
import { runMain } from "./lib/run.mjs";

await runMain(async () => {
  ensureDependencies();
  await build();
  return 0;
});
