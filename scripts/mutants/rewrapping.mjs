/** Guards of re-wrapping: what is verified before a key is wrapped, for whom, and where. */

const PLAN = "src/cli/commands/rewrap/rewrap-plan.ts";
const RULED = "src/cli/commands/rewrap/ruled-rewrapping.ts";
const EXPLAINED = "src/cli/find/explained.ts";
const EXPLAINED_TEST = "test/cli/find/explained.test.ts";
const REWRAP_TEST = "test/cli/commands/rewrap/rewrap.test.ts";
const RULED_TEST = "test/cli/commands/rewrap/ruled-rewrapping.test.ts";

/** @type {readonly import("./list.mjs").Mutant[]} */
export const REWRAPPING = [
  {
    what: "a file is told to be as it should be before its name is on the disk",
    file: "src/cli/commands/rewrap/rewrap-run.ts",
    find: "      await this.#foundNames.flushed(path);\n",
    replace: "      if (path === '') await this.#foundNames.flushed(path);\n",
    test: "test/cli/commands/rewrap/rewrap-durable.test.ts",
  },
  {
    what: "an age file is re-wrapped though its MAC does not hold",
    file: "src/envelope/age/age-file-key.ts",
    find: "if (equal(headerMac(fileKey, header.transcript), header.mac)) {",
    replace: "if (equal(headerMac(fileKey, header.transcript), header.mac) || header.bytes > 0) {",
    test: "test/envelope/age/age-rewrap.test.ts",
  },
  {
    what: "a CMS message is re-wrapped though its tag does not hold",
    file: "src/envelope/rewrap-message.ts",
    find: "    await rewrapped.verifyBody?.();\n",
    replace: "    if (rewrapped.oldHeaderBytes === 0) await rewrapped.verifyBody?.();\n",
    test: "test/envelope/cms/cms-rewrap.test.ts",
  },
  {
    what: "a CMS file is re-wrapped though its tag does not hold",
    file: "src/cli/commands/rewrap/rewrap-file.ts",
    find: "  await made.verifyBody?.();\n  return replaced(file, { expected, header: made.header }",
    replace:
      "  if (made.oldHeaderBytes === 0) await made.verifyBody?.();\n  return replaced(file, { expected, header: made.header }",
    test: REWRAP_TEST,
  },
  {
    what: "files go on using keys side by side after a fault",
    file: "src/cli/commands/rewrap/key-turns.ts",
    find: "    this.#isAllWell = false;\n    this.#turnstile.admit(1);\n",
    replace: "    this.#isAllWell = true;\n",
    test: "test/cli/commands/rewrap/key-turns.test.ts",
  },
  {
    what: "files use keys side by side before one has shown that it works",
    file: "src/turnstile.ts",
    find: "constructor(most = 1)",
    replace: "constructor(most = 2)",
    test: "test/cli/commands/rewrap/key-turns.test.ts",
  },
  {
    what: "a CMS message as text is re-wrapped though its tag does not hold",
    file: "src/cli/commands/rewrap/rewrap-file.ts",
    find: "  await made.verifyBody?.();\n  const old",
    replace: "  if (made.oldHeaderBytes === 0) await made.verifyBody?.();\n  const old",
    test: REWRAP_TEST,
  },
  {
    what: "in a tree, foreign messages are re-wrapped",
    file: PLAN,
    find: "if (reason !== undefined) return",
    replace: "if (reason !== undefined && info.recipients.length === 0) return",
    test: REWRAP_TEST,
  },
  {
    what: "a recipient whom nobody expects is no reason to leave a message alone",
    file: EXPLAINED,
    find: "if (strangers > 0) return",
    replace: "if (strangers > recipients.length) return",
    test: EXPLAINED_TEST,
  },
  {
    what: "a message for the escrow alone belongs everywhere",
    file: EXPLAINED,
    find: "if (expected.here.some((key) => isSealedTo(info, key))) return undefined;",
    replace:
      "if ([...expected.here, ...expected.everywhere].some((key) => isSealedTo(info, key))) return undefined;",
    test: EXPLAINED_TEST,
  },
  {
    what: "a recipient that the format does not name is explained by any key of its kind",
    file: EXPLAINED,
    find: "  if (recipient.tag === undefined) return false;\n",
    replace: "",
    test: EXPLAINED_TEST,
  },
  {
    what: "the recipients of a CMS message explain it",
    file: EXPLAINED,
    find: 'if (info.format === "cms") return',
    replace: 'if (info.format === "cms" && recipients.length === 0) return',
    test: EXPLAINED_TEST,
  },
  {
    what: "the escrow explains a message where it is named again",
    file: RULED,
    find: "here: named.filter((key) => !isOfAll(key)),",
    replace: "here: named.filter((key) => !isOfAll(key) || named.length > 0),",
    test: RULED_TEST,
  },
  {
    what: "whom `only` allows explains a message alone",
    file: RULED,
    find: "...from, ...to.flatMap(possibleOf)];",
    replace: "...from, ...[...to, ...only].flatMap(possibleOf)];",
    test: RULED_TEST,
  },
  {
    what: "the escrow can be removed",
    file: RULED,
    find: "  if (gone === undefined) return;\n",
    replace: "  if (gone?.name !== '') return;\n",
    test: RULED_TEST,
  },
  {
    what: "somebody is added whom the rules don't allow",
    file: "src/cli/find/ruled-recipients.ts",
    find: "  refuse(breaches, governance);\n",
    replace: "  if (breaches.length > 9) refuse(breaches, governance);\n",
    test: RULED_TEST,
  },
  {
    what: "an unknown recipient whom the rules exclude stays",
    file: RULED,
    find: "  if (left.length === 0) return;\n",
    replace: "  if (left.length <= recipients.length) return;\n",
    test: RULED_TEST,
  },
  {
    what: "one file is re-wrapped before the rules of the next are believed",
    file: RULED,
    find: "      if (this.#rules.isUnderSome(entry.path)) {",
    replace: '      if (folder === "" && this.#rules.isUnderSome(entry.path)) {',
    test: RULED_TEST,
  },
  {
    what: "a record does not say which rules were obeyed",
    file: "src/cli/commands/rewrap/rewrap-run.ts",
    find: "rulesHash: rules?.hash,",
    replace: "rulesHash: rules === undefined ? undefined : undefined,",
    test: RULED_TEST,
  },
];
