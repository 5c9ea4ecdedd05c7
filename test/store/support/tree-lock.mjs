/**
 * `tree-lock.mjs FOLDER [PART OF]`: takes the lock of a tree, by the built module, prints a line
 * and holds it until it is killed.
 */
const module = new URL("../../../dist/store/tree-lock.js", import.meta.url);
const { withTreeLocks } = await import(module.href);

const [folder, part, of] = process.argv.slice(2);
const shard = part === undefined ? {} : { shard: { part: Number(part), of: Number(of) } };
await withTreeLocks([folder], shard, async () => {
  console.log("held");
  await new Promise((resolve) => setTimeout(resolve, 60_000));
});
