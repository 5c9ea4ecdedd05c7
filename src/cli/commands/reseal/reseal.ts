/**
 * `p11seal reseal`: a new file key and new bulk for messages that stay where they are, for when
 * somebody must lose access. (`rewrap` writes a new header alone, and whoever could open the old
 * one may have kept the file key.)
 *
 * Resealing is no opening: nobody gets to see the plaintext. So the policy about senders holds, but
 * the ledger is left alone, and a message's age does not matter.
 */
import { defined } from "../../../defined.js";
import { PolicyError, UsageError } from "../../../errors.js";
import type { ExchangePublicKey } from "../../../keys/key.js";
import { openPolicy, readConfig } from "../../../records/config.js";
import { quoted } from "../../../store/system-error.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { AcceptedCustodians } from "../../find/accepted-custodians.js";
import { openingAgent } from "../../find/agent.js";
import { prepareIdentities } from "../../find/identities.js";
import { KnownNames } from "../../find/known-names.js";
import { OutputRules } from "../../find/output-rules.js";
import { PublicKeys } from "../../find/public-keys.js";
import { addedRecipients, retiredRecipient } from "../../find/recipients.js";
import { signingOptions } from "../../find/sender.js";
import { withTokens, type Tokens } from "../../find/tokens.js";
import { trustFiles } from "../../find/trust-options.js";
import { fileProgress, type FileProgress } from "../../io/file-progress.js";
import { homeOf } from "../../io/home.js";
import { requireOneStdin } from "../../io/inputs.js";
import { inTurn } from "../file-tasks.js";
import { Gate } from "../open/gate.js";
import { Guesses } from "../open/guesses.js";
import type { MessageSigner } from "../seal/message-signer.js";
import { underRules, type RuledMessage } from "../seal/ruled-sealing.js";
import { NextRecipients, type Wishes } from "./next-recipients.js";
import { openOld, type OldSettings } from "./opening-old.js";
import { resealFile, type ResealFormat, type ResealHow } from "./reseal-file.js";

interface Settings extends OldSettings {
  readonly wishes: Wishes;
  readonly signer: MessageSigner | undefined;
  readonly breakLinks: boolean;
  readonly tokens: Tokens;
  readonly progress: FileProgress;
}

export async function resealCommand(args: Arguments, given: Context): Promise<number> {
  const progress = fileProgress(given, args.reporting);
  try {
    return await resealAll(args, { ...given, io: progress.io }, progress);
  } finally {
    progress.stop();
  }
}

async function resealAll(
  args: Arguments,
  context: Context,
  progress: FileProgress,
): Promise<number> {
  const files = args.operands;
  requireFiles(files);
  const signing = signingOptions(args);
  if (signing !== undefined && args.flag("leave-unsigned")) {
    throw new UsageError("ERR_USAGE", "--sign-with and --leave-unsigned exclude each other");
  }
  requireOneStdin([
    ...args.texts("recipients-file"),
    ...args.texts("identity"),
    ...(signing === undefined ? [] : [signing.key]),
    ...trustFiles(args),
  ]);
  const gate = await gateFor(args, context);
  const custodians = await AcceptedCustodians.of(args, context);
  return withTokens(args, context, async (tokens) => {
    const signer =
      signing &&
      (await (
        await import("../seal/message-signer.js")
      ).signerOf(args, signing, undefined, tokens, context));
    const wishes = await wishesOf(args, tokens, context);
    const identities = await prepareIdentities(args.texts("identity"), tokens, context);
    const agent = await openingAgent(args, identities.onTokens, context);
    tokens.atEnd(() => agent?.close());
    const settings: Settings = {
      ...{ wishes, identities, agent },
      ...{ gate, custodians, signer, tokens, progress, guesses: new Guesses() },
      leaveUnsigned: args.flag("leave-unsigned"),
      breakLinks: args.flag("break-links"),
      rules: new OutputRules(context),
    };
    let done = 0;
    const tasks = files.map((source) => ({ source, target: source }));
    const reseal = async (path: string): Promise<void> => {
      await resealPatiently(path, settings, context);
      done += 1;
      progress.add();
    };
    // The bar of a file alone says more.
    if (files.length > 1) progress.count(() => Promise.resolve(files.length));
    const status = await inTurn(tasks, ({ source }) => reseal(source), "sealed anew", context);
    progress.stop();
    if (done > 0) context.report.note(COPIES);
    return status;
  });
}

const COPIES =
  "copies of the old files, as in backups, still open for whoever could open them, and so does " +
  "what somebody kept of them";

/** @throws UsageError */
function requireFiles(files: readonly string[]): void {
  if (files.length === 0) {
    throw new UsageError("ERR_USAGE", "no file was given", { hint: "name files" });
  }
  if (!files.includes("-")) return;
  throw new UsageError("ERR_USAGE", "stdin can't be sealed anew where it lies", {
    hint: "name a file",
  });
}

async function gateFor(args: Arguments, context: Context): Promise<Gate | undefined> {
  const home = homeOf(context.io);
  const policy = openPolicy(await readConfig(home), {
    from: args.texts("from"),
    windowMs: undefined,
  });
  const trust = (): never => {
    throw new TypeError("only CMS messages have certificates");
  };
  return policy && new Gate(home, policy, { inOrder: false, allowSha1: false, trust });
}

/** @throws UsageError; as `addedRecipients` */
async function wishesOf(args: Arguments, tokens: Tokens, context: Context): Promise<Wishes> {
  const add = await addedRecipients(args, tokens, context);
  const keys = new PublicKeys(tokens, context);
  const remove: ExchangePublicKey[] = [];
  for (const word of args.texts("remove")) {
    const { publicKey } = await retiredRecipient(word, keys, "--remove");
    if (add.some((one) => isSame(one.publicKey, publicKey))) {
      throw new UsageError("ERR_USAGE", `${quoted(word)} is to be added and removed`, {
        hint: "the new message has a new key for each recipient anyway",
      });
    }
    remove.push(publicKey);
  }
  return {
    ...{ add, remove, known: await new KnownNames(context).recipients() },
    dropUnknown: args.flag("drop-unknown"),
    nowMs: Date.now(),
  };
}

// ── One file ──

/** Once more from the beginning, if the token was pulled meanwhile and is back. */
async function resealPatiently(path: string, settings: Settings, context: Context): Promise<void> {
  for (;;) {
    try {
      await resealOne(path, settings, context);
      return;
    } catch (error) {
      if (!(await settings.tokens.isBack(error))) throw error;
      context.report.note(`${path}: the token is back, once more`);
    }
  }
}

async function resealOne(path: string, settings: Settings, context: Context): Promise<void> {
  const { wishes, signer, breakLinks, progress } = settings;
  let count = { recipients: 0, removed: 0 };
  const begin: ResealHow["begin"] = async (chunks, format) => {
    let next: NextRecipients | undefined;
    let ruled: RuledMessage | undefined;
    const opened = await openOld(chunks, path, settings, context, async (info, own) => {
      next = await NextRecipients.of(info, own, wishes);
      next.requirePossible();
      // Where the opener need not tell, no PIN is asked for in vain.
      const isSettled = !next.dependsOnOpener;
      ruled = isSettled ? await underAll(next.all(), path, format, settings) : undefined;
    });
    const { identity, sender } = opened;
    if (next === undefined || identity === undefined) throw new TypeError("opened without a key");
    const { recipients, removed } = next.settled(identity.publicKey);
    ruled ??= await underAll(recipients, path, format, settings);
    count = { recipients: ruled.recipients.length, removed };
    const signature = await signer?.sign(context, ruled.rulesHash);
    const ends = [signature?.sender?.expiresMs, sender?.expiresMs].filter((ms) => ms !== undefined);
    // What its first sender limited does not get a longer life.
    const expiresMs = ends.length === 0 ? undefined : Math.min(...ends);
    const newSender = signature?.sender && { ...signature.sender, ...defined({ expiresMs }) };
    return {
      opened,
      sealing: { recipients: ruled.recipients, ...defined({ sender: newSender }) },
    };
  };
  await resealFile(path, { breakLinks, begin, among: progress }, context);
  const { recipients, removed } = count;
  context.report.note(
    `${path}: sealed anew for ${recipients} recipient${recipients === 1 ? "" : "s"}, ${removed} removed`,
  );
}

/** The recipients that the rules for the file's place let be, with those that they add. */
async function underAll(
  recipients: RuledMessage["recipients"],
  path: string,
  format: ResealFormat,
  { rules, signer, wishes }: Settings,
): Promise<RuledMessage> {
  const governance = await rules.of(path);
  if (governance === undefined) {
    await rules.requireNotRequired(path);
    return { recipients };
  }
  const wanted = { recipients, oaep: undefined, signer: signer?.publicKey, format };
  const message = await underRules(wanted, [governance], rules);
  const isBack = message.recipients.some(({ publicKey }) =>
    wishes.remove.some((removed) => isSame(removed, publicKey)),
  );
  if (!isBack) {
    for (const note of message.notes ?? []) rules.note(note);
    return message;
  }
  throw new PolicyError("ERR_RULES", `the rules for ${quoted(path)} demand whom you remove`, {
    hint: "see p11seal rules explain; the rules have to change first",
  });
}

function isSame(one: ExchangePublicKey, other: ExchangePublicKey): boolean {
  return Buffer.compare(one.fingerprint, other.fingerprint) === 0;
}
