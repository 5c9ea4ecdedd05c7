/** Guards of files that change where they lie: new headers, locks, journals, and what is left. */

const IN_PLACE = "src/store/header-in-place.ts";
const TAKE_PLACE = "src/store/take-place.ts";
const LOCK = "src/store/lock.ts";
const TREE_LOCK = "src/store/tree-lock.ts";
const JOURNAL = "src/store/journal.ts";
const LEFTOVERS = "src/store/leftovers.ts";
const HEADER_TEST = "test/store/replace-header.test.ts";
const DURABLE_TEST = "test/store/durable.test.ts";
const LOCK_TEST = "test/store/lock.test.ts";
const TREE_LOCK_TEST = "test/store/tree-lock.test.ts";
const JOURNAL_TEST = "test/store/journal.test.ts";
const DELIVERING_TEST = "test/cli/commands/open/delivering.test.ts";
const LEFTOVERS_TEST = "test/store/leftovers.test.ts";

/** @type {readonly import("./list.mjs").Mutant[]} */
export const STORING = [
  // ── A new file ──
  {
    what: "a new header takes the old one's place before it is on the disk",
    file: TAKE_PLACE,
    find: "      await flush(made);\n",
    replace: "",
    test: DURABLE_TEST,
  },
  {
    what: "the name of a file with a new header is not flushed",
    file: TAKE_PLACE,
    find: "  await syncFolder(dirname(path)).catch(",
    replace: "  await Promise.resolve().catch(",
    test: DURABLE_TEST,
  },
  {
    what: "a header is replaced though the lock was lost",
    file: TAKE_PLACE,
    find: "    await confirm?.();\n",
    replace: "",
    test: HEADER_TEST,
  },
  {
    what: "a file with a new header is whose it was made by",
    file: TAKE_PLACE,
    find: "if (own.uid !== stats.uid || own.gid !== stats.gid) {",
    replace: "if (own.uid !== stats.uid && own.gid === stats.gid) {",
    test: HEADER_TEST,
  },
  {
    what: "a file with a new header has another mode",
    file: TAKE_PLACE,
    find: "  if (own.mode !== stats.mode) fchmodSync",
    replace: "  if (own.mode === stats.mode) fchmodSync",
    test: HEADER_TEST,
  },
  {
    what: "a temporary file stays after a failure",
    file: TAKE_PLACE,
    find: "    await unlink(temporary).catch(() => undefined);\n",
    replace: "    if (temporary === '') await unlink(temporary);\n",
    test: HEADER_TEST,
  },
  {
    what: "a signal leaves a temporary file",
    file: TAKE_PLACE,
    find: "  const forget = onInterrupt?.(() => {\n    unlinkSync(temporary);\n",
    replace:
      "  const forget = onInterrupt?.(() => {\n    if (temporary === '') unlinkSync(temporary);\n",
    test: HEADER_TEST,
  },
  {
    what: "a header is replaced whatever the file begins with",
    file: "src/store/old-file.ts",
    find: "    if (!this.#hasHeader()) throw changed(path);\n",
    replace: "",
    test: HEADER_TEST,
  },
  {
    what: "a header is replaced though another file has the name by now",
    file: "src/store/old-file.ts",
    find: "      named?.ino === this.stats.ino &&\n",
    replace: "      named?.ino !== undefined &&\n",
    test: HEADER_TEST,
  },
  {
    what: "a header is replaced though the body changed meanwhile",
    file: "src/store/old-file.ts",
    find: "      now.mtimeNs === this.stats.mtimeNs &&\n",
    replace: "",
    test: HEADER_TEST,
  },
  {
    what: "a folder's flush that is under way counts for names that came later",
    file: "src/store/flush.ts",
    find: "  known.next ??= known.running.then(() => begin(path));\n  return known.next;\n",
    replace: "  return known.running;\n",
    test: "test/store/flush.test.ts",
  },
  // ── In place ──
  {
    what: "a header of another size is written over the body",
    file: IN_PLACE,
    find: "  if (header.length !== expected.length) throw otherSize(path, change);\n",
    replace: "  if (header.length === 0) throw otherSize(path, change);\n",
    test: HEADER_TEST,
  },
  {
    what: "a header is overwritten before both headers are on the disk",
    file: IN_PLACE,
    find: "      await made.sync();\n",
    replace: "",
    test: DURABLE_TEST,
  },
  {
    what: "a header is overwritten before its side file has a name on the disk",
    file: IN_PLACE,
    find: "    await syncFolder(dirname(side));\n",
    replace: "",
    test: DURABLE_TEST,
  },
  {
    what: "a side file goes before the new header is on the disk",
    file: IN_PLACE,
    find: "    await flush(fd);\n    isTorn = false;",
    replace: "    isTorn = false;",
    test: DURABLE_TEST,
  },
  {
    what: "a header that could not be overwritten stays torn",
    file: IN_PLACE,
    find: "    if (isTorn) isTorn = !(await putBack(fd, expected));\n",
    replace: "    isTorn = false;\n",
    test: "test/store/torn-header.test.ts",
  },
  {
    what: "what finishes a torn header goes though it is torn",
    file: IN_PLACE,
    find: "    if (!isTorn) await unlink(side)",
    replace: "    await unlink(side)",
    test: "test/store/torn-header.test.ts",
  },
  {
    what: "a side file is finished while its run goes on",
    file: IN_PLACE,
    find: "    if (!found.mayRun) return finish(path, side, found);\n",
    replace: "    if (found.old.length >= 0) return finish(path, side, found);\n",
    test: HEADER_TEST,
  },
  {
    what: "a killed run's side file goes before the header is on the disk",
    file: IN_PLACE,
    find: "return await handle.sync().then(",
    replace: "return await Promise.resolve().then(",
    test: DURABLE_TEST,
  },
  {
    what: "a side file that was altered counts",
    file: IN_PLACE,
    find: "headers.length !== 2 * length || sha256 !== hash(headers)",
    replace: "headers.length !== 2 * length",
    test: HEADER_TEST,
  },
  {
    what: "another user's side file counts",
    file: IN_PLACE,
    find: "  return side.uid === 0n || side.uid === BigInt(user) || side.uid === message.uid;\n",
    replace: "  return side.uid >= 0n || side.uid === BigInt(user) || side.uid === message.uid;\n",
    test: HEADER_TEST,
  },
  {
    what: "a side file may be a link",
    file: IN_PLACE,
    find: "await open(side, constants.O_RDONLY | NO_FOLLOW)",
    replace: "await open(side, constants.O_RDONLY)",
    test: HEADER_TEST,
  },
  {
    what: "rules count as seen before that is on the disk, after a run that was killed",
    file: "src/records/rules/rules-seen.ts",
    find: "if (!wasGivenBack(lockPath)) await syncIfPossible(home);",
    replace: "if (wasGivenBack(lockPath)) await syncIfPossible(home);",
    test: "test/records/rules/rules-seen-durable.test.ts",
  },
  // ── Folders ──
  {
    what: "a new folder's name is not flushed",
    file: "src/store/make-folder.ts",
    find: "  await syncIfPossible(above);\n",
    replace: "  if (above === path) await syncIfPossible(above);\n",
    test: "test/store/make-folder.test.ts",
  },
  {
    what: "a folder that a killed run made is taken for one whose name was flushed",
    file: "src/store/make-folder.ts",
    find: "      return folder.readSync() !== null;\n",
    replace: "      return folder.path !== '';\n",
    test: "test/store/make-folder.test.ts",
  },
  // ── Deliveries ──
  {
    what: "the ledger says delivered before a plaintext's name is on the disk",
    file: "src/cli/commands/open/delivering.ts",
    find: "  await output.prepare();\n  const acceptance = await accept(delivery, admission);\n  placeAll(outputsOf(delivery));\n  await flushNames(outputsOf(delivery));\n",
    replace:
      "  await output.prepare();\n  const acceptance = await accept(delivery, admission);\n  placeAll(outputsOf(delivery));\n",
    test: DELIVERING_TEST,
  },
  {
    what: "the ledger says delivered before a killed run's plaintext has its name on the disk",
    file: "src/records/ledger/delivery.ts",
    find: "      flushName(delivery.final);\n",
    replace: "",
    test: DELIVERING_TEST,
  },
  // ── Locks ──
  {
    what: "a lock is taken from a process that lives",
    file: LOCK,
    find: "    if (running !== undefined) return !running;\n",
    replace: "    if (running !== undefined) return running;\n",
    test: LOCK_TEST,
  },
  {
    what: "a lock is taken at once from a process out of sight",
    file: LOCK,
    find: "    return isExpired && nowMs - this.#seen.sinceMs >= WATCH_MS;\n",
    replace: "    return isExpired || nowMs - this.#seen.sinceMs >= 0;\n",
    test: LOCK_TEST,
  },
  {
    what: "a lock is taken from a process out of sight without watching it",
    file: LOCK,
    find: "    return isExpired && nowMs - this.#seen.sinceMs >= WATCH_MS;\n",
    replace: "    return isExpired && nowMs >= 0;\n",
    test: LOCK_TEST,
  },
  {
    what: "a lock's holder gives no sign of life",
    file: LOCK,
    find: "    void utimes(held, now, now).catch(() => undefined);\n",
    replace: "    if (now.getTime() === 0) void utimes(held, now, now).catch(() => undefined);\n",
    test: LOCK_TEST,
  },
  {
    what: "who lost a lock is not told",
    file: LOCK,
    find: "  try {\n    statSync(held);\n",
    replace: "  try {\n    if (held === '') statSync(held);\n",
    test: LOCK_TEST,
  },
  {
    what: "a lock may be a link",
    file: LOCK,
    find: "    if (!lstatSync(path).isSymbolicLink()) return readdirSync(path);\n",
    replace: "    if (lstatSync(path).mode >= 0) return readdirSync(path);\n",
    test: TREE_LOCK_TEST,
  },
  {
    what: "the lock of a tree stays in it",
    file: LOCK,
    find: "    if (options.isGuest) await giveUp",
    replace: "    if (options.isGuest === false) await giveUp",
    test: TREE_LOCK_TEST,
  },
  {
    what: "a run on a tree does not see one on a part of it",
    file: TREE_LOCK,
    find: "const isInTheWay = (name: string): boolean => {",
    replace: "const isInTheWay = (name: string): boolean => {\n    if (name !== '') return false;",
    test: TREE_LOCK_TEST,
  },
  {
    what: "a run on a larger tree changes files where another works",
    file: "src/cli/find/message-tree.ts",
    find: "  if (lock !== undefined) throw locked(lock);\n",
    replace: "  if (lock === '') throw locked(lock);\n",
    test: TREE_LOCK_TEST,
  },
  // ── Journals ──
  {
    what: "a line of the journal is not flushed",
    file: JOURNAL,
    find: "        await this.#handle.datasync();\n",
    replace: "",
    test: DURABLE_TEST,
  },
  {
    what: "a journal's line follows one that was cut",
    file: JOURNAL,
    find: '    this.#isCut = last.toString() !== "\\n";\n',
    replace: '    this.#isCut = last.toString() === "";\n',
    test: JOURNAL_TEST,
  },
  {
    what: "a journal's line follows one that a full disk cut",
    file: JOURNAL,
    find: "        outcome.error = error;\n        this.#isCut = true;\n",
    replace: "        outcome.error = error;\n",
    test: JOURNAL_TEST,
  },
  {
    what: "a failure to write the journal is passed over",
    file: JOURNAL,
    find: "        outcome.error = error;\n",
    replace: "        outcome.error = undefined;\n",
    test: JOURNAL_TEST,
  },
  {
    what: "a journal's lines go to the end of something else",
    file: JOURNAL,
    find: "    if (!BEGINS.test(first.toString())) {",
    replace: "    if (first.length > 4 && !BEGINS.test(first.toString())) {",
    test: JOURNAL_TEST,
  },
  {
    what: "a journal may be a link",
    file: JOURNAL,
    find: "constants.O_CREAT | NO_FOLLOW;",
    replace: "constants.O_CREAT;",
    test: JOURNAL_TEST,
  },
  // ── What is left ──
  {
    what: "a folder by a temporary file's name is taken for one",
    file: LEFTOVERS,
    find: "    if (stats?.isFile() !== true || ",
    replace: "    if (stats === undefined || ",
    test: LEFTOVERS_TEST,
  },
  {
    what: "a name that is not UTF-8 is taken for another file's",
    file: LEFTOVERS,
    find: '|| name.includes("\\u{fffd}")) return [];',
    replace: ") return [];",
    test: LEFTOVERS_TEST,
  },
  {
    what: "what a ledger may name is removed",
    file: LEFTOVERS,
    find: 'owner === undefined ? "kept" :',
    replace: 'owner === undefined ? "ended" :',
    test: LEFTOVERS_TEST,
  },
  // ── Many files ──
  {
    what: "no more files are worked on than have results to tell",
    file: "src/cli/commands/side-by-side.ts",
    find: "begun.length < room.most + room.ahead",
    replace: "begun.length < room.most",
    test: "test/cli/commands/side-by-side.test.ts",
  },
  {
    what: "results that wait for one before them have no limit",
    file: "src/cli/commands/side-by-side.ts",
    find: "working < room.most && begun.length < room.most + room.ahead",
    replace: "working < room.most",
    test: "test/cli/commands/side-by-side.test.ts",
  },
  {
    what: "one file is worked on twice at a time",
    file: "src/cli/commands/rewrap/each-file-alone.ts",
    find: "    const before = this.#last.get(id) ?? Promise.resolve();\n",
    replace: "    const before = Promise.resolve();\n",
    test: "test/cli/commands/rewrap/rewrap.test.ts",
  },
  {
    what: "the first file is not worked on alone",
    file: "src/cli/commands/side-by-side.ts",
    find: "  if (firstAlone) room = { most: 1, ahead: 0 };\n",
    replace: "  if (firstAlone) room = { most, ahead };\n",
    test: "test/cli/commands/side-by-side.test.ts",
  },
];
