/**
 * `p11seal rewrap`: other recipients for messages that stay where they are. Only headers are
 * written; the bulk is neither opened nor encrypted again. What is to happen to a file shows in its
 * header, so a run can be repeated at any time.
 *
 * Several files are worked on at a time, of which two use keys (`key-turns.ts`); meanwhile the disk
 * flushes the others. Each file waits for two flushes, which together take longer than some tokens
 * need for it: with too few files under way, the token would wait for the disk.
 */
import { statSync } from "node:fs";
import { defined } from "../../../defined.js";
import { UsageError } from "../../../errors.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { countFiles, messageFiles, shardOf } from "../../find/message-tree.js";
import { OutputRules } from "../../find/output-rules.js";
import { withTokens, type Tokens } from "../../find/tokens.js";
import { trustFiles } from "../../find/trust-options.js";
import { Journal } from "../../../store/journal.js";
import type { HeldLock } from "../../../store/lock.js";
import { withTreeLocks } from "../../../store/tree-lock.js";
import { fileProgress, type FileProgress } from "../../io/file-progress.js";
import { requireOneStdin } from "../../io/inputs.js";
import { sideBySide } from "../side-by-side.js";
import { Outcomes } from "./rewrap-outcome.js";
import { RewrapRun } from "./rewrap-run.js";
import { RuledRewrapping } from "./ruled-rewrapping.js";

const SIDE_BY_SIDE = { most: 16, ahead: 240, firstAlone: true };

export async function rewrapCommand(args: Arguments, given: Context): Promise<number> {
  const progress = fileProgress(given, args.reporting);
  try {
    return await rewrapAll(args, { ...given, io: progress.io }, progress);
  } finally {
    progress.stop();
  }
}

async function rewrapAll(
  args: Arguments,
  context: Context,
  progress: FileProgress,
): Promise<number> {
  const keyBlob = args.text("key-blob");
  const manifest = args.text("manifest");
  const paths = [...args.operands, ...(keyBlob === undefined ? [] : [keyBlob])];
  const tree = args.flag("tree");
  const shard = shardOf(args.text("shard"));
  requireFiles(paths, manifest);
  requireOneStdin([
    ...(manifest === undefined ? [] : [manifest]),
    ...args.texts("recipients-file"),
    ...args.texts("identity"),
    ...args.texts("cert"),
    ...trustFiles(args),
  ]);
  const isDryRun = args.flag("dry-run");
  const ruled = new RuledRewrapping(new OutputRules(context, !isDryRun), args.flag("rules"));
  const options = { tree, ...defined({ manifest, shard }) };
  // What comes from stdin comes once: there, each file's rules are read when it is its turn.
  const again = { tree, ...defined({ manifest: manifest === "-" ? undefined : manifest, shard }) };
  await ruled.requireSound(messageFiles(paths, again, context.io));
  const outcomes = new Outcomes(context, { isDryRun, json: args.flag("json"), progress });
  const path = isDryRun ? undefined : args.text("journal");
  const journal = path === undefined ? undefined : await Journal.open(path);
  const changeFiles = async (tokens: Tokens, lock?: HeldLock): Promise<void> => {
    const files = messageFiles(paths, { ...options, refusesLocked: !isDryRun }, context.io);
    const run = await RewrapRun.of(args, { tokens, context, ruled, ...defined({ journal, lock }) });
    if (manifest !== "-")
      progress.count(() => countFiles(messageFiles(paths, options, context.io)));
    const all = sideBySide(files, SIDE_BY_SIDE, (entry) => run.outcomeOf(entry));
    for await (const outcome of all) if (outcome !== undefined) outcomes.tell(outcome);
  };
  const folders = tree && !isDryRun ? paths.filter(isFolder) : [];
  const change = (lock?: HeldLock): Promise<void> =>
    withTokens(
      args,
      context,
      (tokens) => changeFiles(tokens, lock),
      isDryRun ? { takesPin: false } : {},
    );
  try {
    if (folders.length === 0) await change();
    else await withTreeLocks(folders, defined({ shard }), change);
  } finally {
    await journal?.close();
  }
  progress.stop();
  return outcomes.end();
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** @throws UsageError */
function requireFiles(paths: readonly string[], manifest: string | undefined): void {
  if (paths.includes("-")) {
    throw new UsageError("ERR_USAGE", "stdin can't be re-wrapped where it lies", {
      hint: "name a file",
    });
  }
  if (paths.length > 0 || manifest !== undefined) return;
  throw new UsageError("ERR_USAGE", "no file was given", {
    hint: "name files, or a folder with --tree, or a list of files with --manifest",
  });
}
