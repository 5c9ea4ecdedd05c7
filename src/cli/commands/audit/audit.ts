/**
 * `p11seal audit`: what is wrong with who can open sealed files. Headers only; no key is used, and
 * no token looked at, unless `--as` names one. Read `auditCommand` top-down.
 */
import { existsSync } from "node:fs";
import { randomInt } from "node:crypto";
import { toHex } from "../../../bytes.js";
import { P11SealError, UsageError } from "../../../errors.js";
import type { MessageInfo } from "../../../envelope/message-info.js";
import { inspectMessage } from "../../../envelope/messages.js";
import { directoryPath, readDirectory } from "../../../records/directory/directory-file.js";
import type { DirectoryEntry, DirectoryKind } from "../../../records/directory/directory.js";
import { RuleBook } from "../../../records/rules/rule-book.js";
import { pathOfHome } from "../../../store/home.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { KnownNames } from "../../find/known-names.js";
import {
  countFiles,
  messageFiles,
  shardOf,
  type TreeEntry,
  type TreeOptions,
} from "../../find/message-tree.js";
import { withTokens } from "../../find/tokens.js";
import { fileProgress, type FileProgress } from "../../io/file-progress.js";
import { homeOf } from "../../io/home.js";
import { write } from "../../io/io.js";
import { EXIT } from "../../io/report.js";
import { defined } from "../../../defined.js";
import { sideBySide } from "../side-by-side.js";
import { JsonAudit, TextAudit, type AuditWriter } from "./audit-report.js";
import { strictError, summaryLines, Tally } from "./audit-tally.js";
import { FINDING_KINDS, type Audited, type Finding, type FindingKind } from "./findings.js";
import { headerBytes } from "./header-bytes.js";
import { holderFrom, Holders } from "./holders.js";
import { JunitAudit } from "./junit.js";
import {
  contentFindings,
  recipientFindings,
  rewrapFindings,
  senderFindings,
  type KnownSenders,
} from "./message-findings.js";
import { Prover } from "./proof.js";
import { ruledFindings, ruledHolders, rulesAt } from "./ruled-findings.js";
import { SarifAudit } from "./sarif.js";

export async function auditCommand(args: Arguments, given: Context): Promise<number> {
  const progress = fileProgress(given, args.reporting);
  try {
    return await auditAll(args, { ...given, io: progress.io }, progress);
  } finally {
    progress.stop();
  }
}

async function auditAll(
  args: Arguments,
  context: Context,
  progress: FileProgress,
): Promise<number> {
  const { io, report } = context;
  const settings = settingsOf(args);
  const known = await whoIsKnown(context);
  return withTokens(args, context, async (tokens) => {
    const words = args.texts("as");
    const prover = words.length === 0 ? undefined : await Prover.of(words, tokens, context);
    const chosen = await sampleOf(args, settings, context);
    const auditor = new Auditor(known, prover, chosen);
    const tally = new Tally(prover !== undefined);
    const writer = writerOf(args);

    const print = async (text: string): Promise<void> => {
      if (text === "") return;
      if (io.stdout.isTTY === true) progress.hide();
      await write(io.stdout, text);
    };

    await print(writer.start());
    if (args.text("manifest") !== "-") {
      progress.count(() => countFiles(messageFiles(args.operands, settings.tree, io)));
    }
    const entries = messageFiles(args.operands, settings.tree, io);
    for await (const audited of sideBySide(entries, SIDE_BY_SIDE, (entry) =>
      auditor.audit(entry),
    )) {
      if (audited === undefined) {
        tally.skip();
        continue;
      }
      const counting = audited.findings.filter(({ kind }) => !settings.ignored.has(kind));
      const counted = { ...audited, findings: counting };
      tally.add(counted);
      if (isShown(counted)) await print(writer.file(counted));
      progress.add();
    }
    progress.stop();
    const summary = tally.summary();
    await print(writer.end(summary));
    const isRefused = args.flag("strict") && summary.affected > 0;
    for (const line of summaryLines(summary, isRefused)) report.note(line);
    if (isRefused) throw strictError(summary);
    return summary.unreadable > 0 ? EXIT.failed : EXIT.done;
  });
}

/** Reading a file from a distant disk takes long, and little of this computer. */
const SIDE_BY_SIDE = { most: 16 };

// ── What was asked for ──

interface AuditSettings {
  readonly tree: TreeOptions;
  readonly ignored: ReadonlySet<FindingKind>;
  /** How many messages `--as` tries; undefined: all. */
  readonly sample: number | undefined;
}

/** @throws UsageError */
function settingsOf(args: Arguments): AuditSettings {
  const manifest = args.text("manifest");
  if (args.operands.includes("-")) {
    throw new UsageError("ERR_USAGE", "stdin lies in no folder that an audit could judge it by", {
      hint: "name a file; p11seal inspect describes a message from stdin",
    });
  }
  if (args.operands.length === 0 && manifest === undefined) {
    throw new UsageError("ERR_USAGE", "no file was given", {
      hint: "name files, a folder with --tree, or a list with --manifest",
    });
  }
  if (args.flag("json") && args.required("format") !== "text") {
    throw new UsageError("ERR_USAGE", `--json and --format ${args.required("format")}`, {
      hint: "choose one of them",
    });
  }
  const shard = shardOf(args.text("shard"));
  return {
    tree: { tree: args.flag("tree"), ...defined({ manifest, shard }) },
    ignored: new Set(args.texts("ignore").map(kindNamed)),
    sample: sampleSize(args),
  };
}

function kindNamed(word: string): FindingKind {
  const kind = FINDING_KINDS.find((one) => one === word);
  if (kind !== undefined) return kind;
  throw new UsageError("ERR_USAGE", `--ignore: no kind of finding is called "${word}"`, {
    hint: `kinds: ${FINDING_KINDS.join(", ")}`,
  });
}

function sampleSize(args: Arguments): number | undefined {
  const text = args.text("sample");
  if (text === undefined) return undefined;
  if (args.texts("as").length === 0) {
    throw new UsageError("ERR_USAGE", "--sample needs --as", {
      hint: "without a key to try, all headers are read",
    });
  }
  if (args.text("manifest") === "-") {
    throw new UsageError("ERR_USAGE", "--sample with a list from stdin", {
      hint: "a sample goes through the files twice: put the list into a file",
    });
  }
  if (/^[1-9][0-9]{0,8}$/.test(text)) return Number(text);
  throw new UsageError("ERR_USAGE", `--sample takes a number of messages, not "${text}"`);
}

function writerOf(args: Arguments): AuditWriter {
  if (args.flag("json")) return new JsonAudit();
  switch (args.required("format")) {
    case "sarif":
      return new SarifAudit();
    case "junit":
      return new JunitAudit();
    default:
      return new TextAudit();
  }
}

/** In a folder, other files are nobody's business. */
function isShown({ isMessage, findings }: Audited): boolean {
  return isMessage || findings.length > 0;
}

// ── Who is known ──

interface Known extends KnownSenders {
  readonly holders: Holders;
  readonly book: RuleBook;
  readonly nowMs: number;
}

async function whoIsKnown(context: Context): Promise<Known> {
  const nowMs = Date.now();
  const recipients = await new KnownNames(context).recipients();
  const holders = recipients.flatMap((one) => holderFrom(one, nowMs) ?? []);
  return {
    holders: new Holders(holders),
    book: new RuleBook({ home: homeOf(context.io), nowMs }),
    senders: await signersIn("senders", context),
    custodians: await signersIn("custodians", context),
    nowMs,
  };
}

async function signersIn(
  kind: Exclude<DirectoryKind, "recipients">,
  { io }: Context,
): Promise<ReadonlyMap<string, DirectoryEntry>> {
  if (!existsSync(directoryPath(pathOfHome(io.env), kind))) return new Map();
  const entries = await readDirectory(homeOf(io), kind);
  return new Map(entries.map((entry) => [toHex(entry.publicKey.fingerprint), entry]));
}

// ── Each file ──

class Auditor {
  readonly #known: Known;
  readonly #prover: Prover | undefined;
  readonly #chosen: ReadonlySet<string> | undefined;

  /** @param chosen - the messages that the prover tries; undefined: all */
  constructor(known: Known, prover: Prover | undefined, chosen: ReadonlySet<string> | undefined) {
    this.#known = known;
    this.#prover = prover;
    this.#chosen = chosen;
  }

  /** Undefined for what is passed over. */
  async audit(entry: TreeEntry): Promise<Audited | undefined> {
    const { path } = entry;
    if (entry.kind === "skipped") return undefined;
    if (entry.kind === "fault") return unreadable(path, entry.error);
    const seen = await lookAt(entry);
    if ("findings" in seen) return seen;
    const findings = await this.#findingsIn(path, seen.info);
    if (this.#prover === undefined) return { path, isMessage: true, findings };
    if (this.#chosen?.has(path) === false) {
      return { path, isMessage: true, findings, proof: "left out" };
    }
    const proven = await this.#prover.prove(path, seen.info);
    const all = [...findings, ...proven.findings];
    return { path, isMessage: true, findings: all, proof: proven.proof };
  }

  async #findingsIn(path: string, info: MessageInfo): Promise<Finding[]> {
    const { holders, book, nowMs } = this.#known;
    const rules = await rulesAt(path, book);
    const isGoverned = "always" in rules;
    const explained = holders.explain(info, () => (isGoverned ? ruledHolders(rules) : []));
    return [
      ...(isGoverned ? await ruledFindings(rules, info, explained, book, nowMs) : [rules]),
      ...recipientFindings(info, explained),
      ...contentFindings(info),
      ...senderFindings(info, this.#known, { nowMs, isDemanded: !isGoverned }),
      ...rewrapFindings(info, this.#known, nowMs),
    ];
  }
}

/** A message's header; or what is to be said of the file where it has none. */
async function lookAt({
  path,
  named,
}: Extract<TreeEntry, { kind: "file" }>): Promise<{ readonly info: MessageInfo } | Audited> {
  try {
    return { info: await inspectMessage(headerBytes(path)) };
  } catch (error) {
    if (!(error instanceof P11SealError)) throw error;
    if (error.code === "ERR_READ") return unreadable(path, error);
    const isMessage = !isNoMessage(error);
    // What lies in a folder may be anything; what the user named was taken for a message.
    if (!named && !isMessage) return { path, isMessage, findings: [] };
    return { path, isMessage, findings: [{ kind: "broken", message: error.message }] };
  }
}

function isNoMessage({ code }: P11SealError): boolean {
  return code === "ERR_NOT_A_MESSAGE" || code === "ERR_CMS_TYPE";
}

function unreadable(path: string, error: P11SealError): Audited {
  return { path, isMessage: false, findings: [{ kind: "unreadable", message: error.message }] };
}

// ── A sample ──

/**
 * The messages that `--sample` has the key try: each alike likely, so that nobody can tell
 * beforehand which. All headers are read once for that. Undefined: all are tried.
 */
async function sampleOf(
  args: Arguments,
  { sample, tree }: AuditSettings,
  { io }: Context,
): Promise<ReadonlySet<string> | undefined> {
  if (sample === undefined) return undefined;
  const chosen: string[] = [];
  let seen = 0;
  const entries = messageFiles(args.operands, tree, io);
  const messages = sideBySide(entries, SIDE_BY_SIDE, async (entry) =>
    entry.kind === "file" && "info" in (await lookAt(entry)) ? entry.path : undefined,
  );
  for await (const path of messages) {
    if (path === undefined) continue;
    seen++;
    // Algorithm R (Vitter 1985): the n-th stays with the probability that it should have had.
    const place = chosen.length < sample ? chosen.length : randomInt(seen);
    if (place < sample) chosen[place] = path;
  }
  return new Set(chosen);
}
