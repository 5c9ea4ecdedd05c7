/** `npm run build`: compiles src/ to dist/. */
import { build } from "./lib/build.mjs";
import { runMain } from "./lib/run.mjs";

await runMain(async () => {
  await build();
  return 0;
});
