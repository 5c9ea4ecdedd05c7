/**
 * `p11seal reseal`: a new file key and new bulk for messages that stay where they are, for when
 * somebody must lose access. (`rewrap` writes a new header alone, and whoever could open the old
 * one may have kept the file key.)
 *
 * Resealing is no opening: nobody gets to see the plaintext. So the policy about senders holds, but
 * the ledger is left alone, and a message's age does not matter.
 */
import { defined } from "../../../defined.js";
import {
  AuthenticationError,
  NoMatchError,
  PolicyError,
  UnsupportedError,
  UsageError,
} from "../../../errors.js";
import type { PassedOn, SenderInfo } from "../../../envelope/message-info.js";
import { openMessage } from "../../../envelope/messages.js";
import { around } from "../../../keys/around.js";
import type { ExchangePublicKey } from "../../../keys/key.js";
import { openPolicy, readConfig } from "../../../records/config.js";
import type { DirectoryEntry } from "../../../records/directory/directory.js";
import { requireFresh, requireIntact } from "../../../records/policy.js";
import { homeFolder } from "../../../store/home.js";
import { quoted } from "../../../store/system-error.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { AcceptedCustodians } from "../../find/accepted-custodians.js";
import {
  prepareIdentities,
  type ExchangeIdentity,
  type Identities,
} from "../../find/identities.js";
import { KnownNames } from "../../find/known-names.js";
import { OutputRules } from "../../find/output-rules.js";
import { PublicKeys } from "../../find/public-keys.js";
import { addedRecipients, retiredRecipient } from "../../find/recipients.js";
import { signingOptions } from "../../find/sender.js";
import { withTokens, type Tokens } from "../../find/tokens.js";
import { trustFiles } from "../../find/trust-options.js";
import { fileProgress, type FileProgress } from "../../io/file-progress.js";
import { requireOneStdin } from "../../io/inputs.js";
import { inTurn } from "../file-tasks.js";
import { Gate } from "../open/gate.js";
import { Guesses } from "../open/guesses.js";
import { ruledOpening } from "../open/ruled-opening.js";
import type { MessageSigner } from "../seal/message-signer.js";
import { underRules, type RuledMessage } from "../seal/ruled-sealing.js";
import { NextRecipients, type Wishes } from "./next-recipients.js";
import { resealFile, type ResealFormat, type ResealHow } from "./reseal-file.js";

interface Settings {
  readonly wishes: Wishes;
  readonly identities: Identities;
  /** Undefined: no policy about senders. */
  readonly gate: Gate | undefined;
  readonly custodians: AcceptedCustodians;
  readonly signer: MessageSigner | undefined;
  readonly leaveUnsigned: boolean;
  readonly breakLinks: boolean;
  readonly rules: OutputRules;
  readonly guesses: Guesses;
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
    const settings: Settings = {
      wishes: await wishesOf(args, tokens, context),
      identities: await prepareIdentities(args.texts("identity"), tokens, context),
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
  const home = homeFolder(context.io.env);
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
    const opened = await openedAs(chunks, path, settings, context, async (info, found) => {
      next = new NextRecipients(
        info,
        found.map(({ publicKey }) => publicKey),
        wishes,
      );
      next.requirePossible();
      // Where the opener need not tell, no PIN is asked for in vain.
      if (!next.dependsOnOpener) ruled = await underAll(next.all(), path, format, settings);
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

/** @param settle - called with the header's message and the keys that may open it, before a PIN */
async function openedAs(
  chunks: AsyncIterable<Uint8Array>,
  path: string,
  { identities, gate, custodians, signer, leaveUnsigned, rules, guesses }: Settings,
  context: Context,
  settle: (
    info: Parameters<Identities["find"]>[0],
    found: readonly ExchangeIdentity[],
  ) => Promise<void>,
) {
  let used: ExchangeIdentity | undefined;
  let custodian: DirectoryEntry | undefined;
  const ruled = await ruledOpening([path], undefined, rules);
  try {
    return await openMessage(chunks, {
      passedOn: async (record: PassedOn) => {
        custodian = await custodians.take(record);
      },
      authenticate: async (sender) => {
        ruled.requireSender(sender, context);
        await gate?.believe(sender);
        if (sender === undefined) return;
        requireIntact(sender, custodian);
        requireUnexpired(sender);
        if (signer === undefined && !leaveUnsigned) throw needsSigner();
      },
      passphrase: () => {
        throw withPassphrase();
      },
      identities: async (info) => {
        const found = await identities.find(info);
        await settle(info, found);
        return found.map((identity) =>
          around(identity, {
            before() {
              guesses.requireFew(identity);
              used = identity;
            },
          }),
        );
      },
    });
  } catch (error) {
    if (error instanceof AuthenticationError && used !== undefined) guesses.failed(used);
    if (error instanceof NoMatchError && error.code === "ERR_NO_MATCH") {
      throw await identities.whyNone(error);
    }
    throw error;
  }
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

/** How old a message is does not matter where it is kept. @throws PolicyError `ERR_EXPIRED` */
function requireUnexpired({ createdMs, expiresMs }: SenderInfo): void {
  if (createdMs === undefined) return;
  const limits = { createdMs, ...defined({ expiresMs }) };
  requireFresh(limits, { nowMs: Date.now(), windowMs: Infinity });
}

function withPassphrase(): UnsupportedError {
  return new UnsupportedError("ERR_RESEAL", "the file is sealed with a passphrase", {
    hint: "it names nobody to keep; open it, and seal it to keys",
  });
}

function needsSigner(): PolicyError {
  return new PolicyError("ERR_SIGNER", "the message is signed, and its signature can't be kept", {
    hint: "sign the new one yourself with --sign-with, or give up the signature: --leave-unsigned",
  });
}

function isSame(one: ExchangePublicKey, other: ExchangePublicKey): boolean {
  return Buffer.compare(one.fingerprint, other.fingerprint) === 0;
}
