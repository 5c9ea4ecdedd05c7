/** `npm run build`: compiles src/ to dist/. */
import { build, ensureDependencies } from "./lib/dependencies.mjs";
import { runMain } from "./lib/run.mjs";

await runMain(async () => {
  ensureDependencies();
  await build();
  return 0;
});
