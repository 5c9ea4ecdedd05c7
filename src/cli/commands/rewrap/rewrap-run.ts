/**
 * One run of `rewrap`: what its files have in common, and what becomes of each. In a run over many
 * files, a message that does not belong where it lies is left alone (`find/explained.ts`).
 */
import { equal } from "../../../bytes.js";
import type { MessageInfo, PassedOn } from "../../../envelope/message-info.js";
import type { Allowances } from "../../../envelope/receiver.js";
import type { Custodian } from "../../../envelope/rewrapping.js";
import { matchesRecipient } from "../../../envelope/messages.js";
import { FormatError, NoMatchError, TokenError } from "../../../errors.js";
import type { Identity, SigningPublicKey } from "../../../keys/key.js";
import { requireCapability } from "../../../keys/purpose.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { AGENT, openingAgent, type OpeningAgent } from "../../find/agent.js";
import { AcceptedCustodians } from "../../find/accepted-custodians.js";
import { certificatesAt } from "../../find/certificate-files.js";
import { isSealedTo, type PossibleRecipient } from "../../find/explained.js";
import { prepareIdentities, type Identities } from "../../find/identities.js";
import type { ExchangeIdentity } from "../../find/identity-source.js";
import { signerAt } from "../../find/identity-at.js";
import type { TreeEntry } from "../../find/message-tree.js";
import type { Tokens } from "../../find/tokens.js";
import { uriArgument } from "../../find/uri-argument.js";
import { finishOverwriting, noteOverwriting } from "../../io/unfinished.js";
import { isPkcs11Uri } from "../../../token/uri.js";
import { rejectionSecret } from "../open/allowed.js";
import type { Journal } from "../../../store/journal.js";
import type { HeldLock } from "../../../store/lock.js";
import { fileError } from "../../../store/system-error.js";
import { Turnstile } from "../../../turnstile.js";
import { EachFileAlone } from "./each-file-alone.js";
import { FoundNames } from "./found-names.js";
import { KeyTurns, Left, type Used } from "./key-turns.js";
import { outcomeData, type Outcome, type SoughtFile } from "./rewrap-outcome.js";
import {
  bytesInMemory,
  examine,
  rewrapFile,
  withMessageFile,
  type Examined,
  type MessageFile,
  type RewrapHow,
} from "./rewrap-file.js";
import { planFor, possible, type PlannedChange, type Target } from "./rewrap-plan.js";
import type { RuledRewrapping } from "./ruled-rewrapping.js";
import { wantedChange, type WantedChange } from "./wanted-change.js";

/** What a run works with. */
export interface RunWith {
  readonly tokens: Tokens;
  readonly context: Context;
  readonly journal?: Journal;
  /** Of the folders that it goes through. */
  readonly lock?: HeldLock;
  readonly ruled: RuledRewrapping;
}

interface Settings {
  readonly change: WantedChange;
  readonly ruled: RuledRewrapping;
  readonly identities: Identities;
  /** Asked before keys are looked for. */
  readonly agent: OpeningAgent | undefined;
  /** Keys were named with `-i`, so that looking for them says something without a PIN. */
  readonly namesIdentities: boolean;
  readonly custodian: Custodian | undefined;
  readonly accepted: AcceptedCustodians;
  /** Certificates of any keys, DER. */
  readonly certificates: readonly Uint8Array[];
  readonly allows: Allowances;
  /** Many files, which nobody looked at one by one. */
  readonly isBulk: boolean;
  readonly includesForeign: boolean;
  readonly isDryRun: boolean;
  readonly inPlace: boolean;
  readonly breakLinks: boolean;
  readonly isKeyBlob: (path: string) => boolean;
}

export class RewrapRun {
  readonly #settings: Settings;
  readonly #context: Context;
  readonly #journal: Journal | undefined;
  readonly #lock: HeldLock | undefined;
  readonly #turns: KeyTurns;
  readonly #eachFile = new EachFileAlone();
  readonly #foundNames = new FoundNames();
  readonly #largeOnes = new Turnstile();

  private constructor(settings: Settings, { tokens, context, journal, lock }: RunWith) {
    this.#settings = settings;
    this.#context = context;
    this.#journal = journal;
    this.#lock = lock;
    this.#turns = new KeyTurns(settings.identities, tokens, context);
  }

  /**
   * No PIN is asked for, unless the custodian's key shows only after login. An agent that signs
   * records with that key is asked before its token.
   *
   * @throws UsageError; as `wantedChange`, `prepareIdentities`, `signerAt`, `AcceptedCustodians.of`
   */
  static async of(args: Arguments, having: RunWith): Promise<RewrapRun> {
    const { tokens, context, ruled } = having;
    const given = await certificatesAt(args.texts("cert"), context.io);
    const custodianKey = args.text("custodian-key");
    const keyBlob = args.text("key-blob");
    const identities = await prepareIdentities(args.texts("identity"), tokens, context);
    const isDryRun = args.flag("dry-run");
    const agent = isDryRun ? undefined : await openingAgent(args, identities.onTokens, context);
    tokens.atEnd(() => agent?.close());
    const settings: Settings = {
      ...{ identities, isDryRun, agent },
      change: await wantedChange(args, given, tokens, context),
      ruled,
      namesIdentities: args.texts("identity").length > 0,
      custodian:
        custodianKey === undefined
          ? undefined
          : await custodianAt(custodianKey, agent, tokens, context),
      accepted: await AcceptedCustodians.of(args, context),
      certificates: given.map(({ der }) => der),
      allows: {
        unauthenticated: args.flag("allow-unauthenticated"),
        legacy: args.flag("allow-legacy"),
      },
      isBulk: args.flag("tree") || args.text("manifest") !== undefined,
      includesForeign: args.flag("include-foreign"),
      inPlace: args.flag("in-place"),
      breakLinks: args.flag("break-links"),
      isKeyBlob: (path) => path === keyBlob,
    };
    return new RewrapRun(settings, having);
  }

  /** What becomes of a file; undefined: nothing is to be said of it. Never rejects. */
  async outcomeOf(entry: TreeEntry): Promise<Outcome | undefined> {
    if (entry.kind === "skipped") {
      this.#context.report.trace(`${entry.path}: passed over, it is a ${entry.what}`);
      return undefined;
    }
    const file = { path: entry.path, named: entry.kind === "fault" || entry.named };
    if (this.#turns.isOver) return { result: "left", file };
    try {
      if (entry.kind === "fault") throw entry.error;
      return await this.#recorded(
        await this.#eachFile.through(file.path, () => this.#worked(file)),
      );
    } catch (error) {
      if (error instanceof Left) return { result: "left", file };
      return this.#recorded({ result: "failed", file, error });
    }
  }

  /** With a line in the journal. Without its evidence, the run goes no further. */
  async #recorded(outcome: Outcome): Promise<Outcome> {
    if (this.#journal === undefined || outcome.result === "no message") return outcome;
    try {
      await this.#journal.add({ time: new Date().toISOString(), ...outcomeData(outcome) });
      return outcome;
    } catch (error) {
      this.#turns.end();
      return { result: "failed", file: outcome.file, error };
    }
  }

  async #worked(file: SoughtFile): Promise<Outcome> {
    if (this.#settings.isDryRun) noteOverwriting(file.path, this.#context);
    else await finishOverwriting(file.path, this.#context);
    return withMessageFile(file.path, (open) => this.#changed(file, open));
  }

  async #changed(file: SoughtFile, open: MessageFile): Promise<Outcome> {
    const examined = await examine(open, (info) => this.#targetOf(file.path, info));
    if (examined === undefined) {
      if (!file.named) return { result: "no message", file };
      throw notAMessage();
    }
    const { info } = examined;
    let { plan, target } = examined;
    if (plan.kind === "foreign") {
      // Most messages need no key of ours to be explained.
      const turns = this.#turns;
      target = explainedBy(
        target,
        await turns.patiently(() => turns.take(() => this.#found(info))),
      );
      plan = planFor(info, target);
    }
    if (plan.kind === "unchanged" && !this.#settings.isDryRun) await this.#flushed(file.path);
    if (plan.kind !== "change") return { result: plan.kind, file, plan };
    return this.#rewrapped(file, open, { ...examined, target, plan });
  }

  async #flushed(path: string): Promise<void> {
    try {
      await this.#foundNames.flushed(path);
    } catch (error) {
      throw fileError("ERR_WRITE", path, error, "it is as it should be, but may not stay so");
    }
  }

  async #rewrapped(
    file: SoughtFile,
    open: MessageFile,
    examined: Examined & { readonly plan: PlannedChange },
  ): Promise<Outcome> {
    const { custodian, isDryRun } = this.#settings;
    const { plan, target } = examined;
    const { format, messageId, signed } = examined.info;
    const isRecorded = format === "p11seal" && custodian !== undefined;
    const outcome = { file, info: { format, messageId, signed }, plan, isRecorded };
    const used: Used = {};
    try {
      const { how } = await this.#turns.patiently(() =>
        this.#largeOnesAlone(open, examined, () =>
          rewrapFile(open, examined, this.#how(file, target, used)),
        ),
      );
      if (how === "unchanged") {
        const { absent, otherHash } = plan;
        return { result: "unchanged", file, plan: { kind: "unchanged", absent, otherHash } };
      }
      return { result: "rewrapped", ...outcome, how };
    } catch (error) {
      if (isDryRun && error instanceof Rehearsed) return { result: "change", ...outcome };
      this.#turns.failed(error, used);
      throw error;
    }
  }

  /** What takes much memory does so for one file at a time. */
  #largeOnesAlone<T>(open: MessageFile, examined: Examined, work: () => Promise<T>): Promise<T> {
    if (bytesInMemory(open, examined) <= LARGE_BYTES) return work();
    return this.#largeOnes.through(work);
  }

  #how(file: SoughtFile, target: Target, used: Used): RewrapHow {
    const { inPlace, breakLinks, isKeyBlob } = this.#settings;
    const lock = this.#lock;
    const inTurn: RewrapHow["inTurn"] = (use) => this.#turns.take(use, used);
    return {
      ...{ target, inPlace, breakLinks, inTurn, isKeyBlob: isKeyBlob(file.path) },
      confirm: lock && (() => lock.confirm()),
      options: this.#options(target, used),
    };
  }

  #options({ add, remove, rules }: Target, used: Used): RewrapHow["options"] {
    const { custodian, certificates, allows, change, identities, isDryRun } = this.#settings;
    const { agent } = this.#settings;
    return {
      ...{ add, custodian, allows, oaep: change.oaep },
      remove: remove.map(({ publicKey }) => publicKey),
      removeCertificates: remove.flatMap((key) => key.certificates),
      nowMs: Date.now(),
      rulesHash: rules?.hash,
      certificates: () => Promise.resolve(certificates),
      rejectionSecret: () => rejectionSecret(this.#context),
      passedOn: (record) => this.#take(record),
      rewrapped:
        agent &&
        ((header, wanted) => {
          this.#turns.uses(AGENT, used);
          return agent.rewrap(header, wanted);
        }),
      identities: async (info) => {
        if (isDryRun) await this.#rehearse(info);
        const found = (await identities.find(info)).map((one) => this.#turns.watched(one, used));
        // The key that is to go can tell which of the wrapped keys is its own.
        const isGoing = ({ publicKey }: ExchangeIdentity): boolean =>
          remove.some((key) => equal(key.publicKey.spki, publicKey.spki));
        return [...found.filter(isGoing), ...found.filter((one) => !isGoing(one))];
      },
    };
  }

  /** An earlier record: by ourselves, or by a custodian whose word counts here. */
  async #take(record: PassedOn): Promise<void> {
    const { custodian, accepted } = this.#settings;
    if (custodian !== undefined && equal(custodian.publicKey.spki, record.publicKey.spki)) return;
    await accepted.take(record);
  }

  /** @throws `Rehearsed`; NoMatchError: for none of the keys that `-i` names */
  async #rehearse(info: MessageInfo): Promise<never> {
    const { namesIdentities, identities } = this.#settings;
    if (namesIdentities) {
      const found = await identities.find(info);
      const isOurs = found.some(({ publicKey }) => matchesRecipient(info, publicKey));
      if (!isOurs && identities.unseen().length === 0) throw noneMatches();
    }
    throw new Rehearsed("as far as it goes without a PIN");
  }

  /** What a file's recipients are to become. */
  async #targetOf(path: string, info: MessageInfo): Promise<Target> {
    const { change, isBulk, includesForeign, ruled } = this.#settings;
    const { add, remove, from } = change;
    const isOther = from.length > 0 && !from.some((key) => isSealedTo(info, key));
    const here = [...add.map(possible), ...remove, ...from];
    const wanted = { add, remove, from, expected: { here, everywhere: [] } };
    const oaep = info.format === "age" ? undefined : change.oaep;
    // Rules have nothing to say of what is passed over.
    const target = isOther ? wanted : ((await ruled.targetOf(path, info, change)) ?? wanted);
    if (isBulk && !includesForeign) return { ...target, oaep };
    return { ...target, oaep, expected: undefined };
  }

  /** Keys of ours that are named in a message. */
  async #found(info: MessageInfo): Promise<readonly ExchangeIdentity[]> {
    try {
      return await this.#settings.identities.find(info);
    } catch (error) {
      // Without the token, whom a message is for can't be explained by its keys.
      if (error instanceof TokenError && this.#settings.isDryRun) return [];
      throw error;
    }
  }
}

const LARGE_BYTES = 256 * 1024;

/** Not an error: a dry run got as far as it can without a PIN. */
class Rehearsed extends Error {}

/** Unlocked each time that it signs: the token may have been pulled since. */
async function custodianAt(
  text: string,
  agent: OpeningAgent | undefined,
  tokens: Tokens,
  context: Context,
): Promise<Custodian> {
  const agents = isPkcs11Uri(text) ? await agent?.custodian(uriArgument(text)) : undefined;
  if (agents === undefined) {
    const identity = await signerAt(text, tokens, context);
    return custodianBy(identity.publicKey, () => Promise.resolve(identity));
  }
  // What the agent has no key to open is signed here.
  return custodianBy(agents, async () => {
    const identity = await signerAt(text, tokens, context);
    if (!equal(identity.publicKey.spki, agents.spki)) throw anotherKey(text);
    return identity;
  });
}

function custodianBy(
  publicKey: SigningPublicKey,
  find: () => Promise<Identity<SigningPublicKey>>,
): Custodian {
  const sign = async (message: Uint8Array): Promise<Uint8Array> =>
    requireCapability(await (await find()).unlock(), "sign")(message);
  return { publicKey, key: { publicKey, sign } };
}

function anotherKey(text: string): TokenError {
  return new TokenError(
    "ERR_KEY_NOT_UNIQUE",
    `the agent and its tokens show different keys for ${text}`,
    { hint: "add token= and serial= to the URI, or use the token itself: --no-agent" },
  );
}

/** With keys of our own among those that may be there. */
function explainedBy(target: Target, own: readonly ExchangeIdentity[]): Target {
  const { expected } = target;
  if (expected === undefined) return target;
  const everywhere = [...expected.everywhere, ...own.map(certified)];
  return { ...target, expected: { ...expected, everywhere } };
}

function certified({ publicKey, certificates = [] }: ExchangeIdentity): PossibleRecipient {
  return { publicKey, certificates };
}

function notAMessage(): FormatError {
  return new FormatError("ERR_NOT_A_MESSAGE", "not a message of a known format");
}

function noneMatches(): NoMatchError {
  return new NoMatchError("ERR_NO_MATCH", "no identity matches a recipient of this message", {
    hint: "see whom it is for with: p11seal inspect",
  });
}
