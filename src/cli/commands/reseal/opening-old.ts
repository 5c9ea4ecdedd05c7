/**
 * Opens a message that is to be sealed anew: the policy about senders first, then whom the new one
 * is for, then a key, of an agent's or of the user's own.
 */
import { defined } from "../../../defined.js";
import {
  AuthenticationError,
  NoMatchError,
  PolicyError,
  UnsupportedError,
} from "../../../errors.js";
import type { MessageInfo, PassedOn, SenderInfo } from "../../../envelope/message-info.js";
import { openMessage, type Opened } from "../../../envelope/messages.js";
import type { OpenOptions } from "../../../envelope/open-options.js";
import { around } from "../../../keys/around.js";
import type { Identity, KnownPublicKey } from "../../../keys/key.js";
import type { DirectoryEntry } from "../../../records/directory/directory.js";
import { requireFresh, requireIntact } from "../../../records/policy.js";
import type { Context } from "../../command.js";
import type { AcceptedCustodians } from "../../find/accepted-custodians.js";
import { AGENT, type OpeningAgent } from "../../find/agent.js";
import type { Identities } from "../../find/identities.js";
import type { ExchangeIdentity } from "../../find/identity-source.js";
import type { OutputRules } from "../../find/output-rules.js";
import type { Gate } from "../open/gate.js";
import type { Guesses } from "../open/guesses.js";
import { ruledOpening } from "../open/ruled-opening.js";
import type { OwnKeys } from "./next-recipients.js";

export interface OldSettings {
  readonly identities: Identities;
  /** Asked before the user's own keys are used. */
  readonly agent: OpeningAgent | undefined;
  /** Undefined: no policy about senders. */
  readonly gate: Gate | undefined;
  readonly custodians: AcceptedCustodians;
  /** Who signs the new message; undefined: nobody. */
  readonly signer: unknown;
  readonly leaveUnsigned: boolean;
  readonly rules: OutputRules;
  readonly guesses: Guesses;
}

/**
 * Settles whom the new message is for, as far as that can be told without a PIN: called before one
 * is asked for, and again if the agent turns out to have no key.
 */
export type Settle = (info: MessageInfo, own: OwnKeys) => Promise<void>;

/** @throws whatever `settle` throws; as `openMessage` */
export async function openOld(
  chunks: AsyncIterable<Uint8Array>,
  path: string,
  settings: OldSettings,
  context: Context,
  settle: Settle,
): Promise<Opened> {
  const { identities, agent, gate, custodians, signer, leaveUnsigned, rules, guesses } = settings;
  let used: Pick<Identity, "name"> | undefined;
  let custodian: DirectoryEntry | undefined;
  const uses = (key: Pick<Identity, "name">): void => {
    guesses.requireFew(key);
    used = key;
  };
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
      ...defined({ bodyKey: agent && askingAgent(agent, identities, uses, settle, context) }),
      identities: async (info) => {
        const found = await identities.find(info);
        await settle(info, { keys: () => publicKeys(found), mayLackOpener: false });
        return found.map((identity) =>
          around(identity, {
            before() {
              uses(identity);
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

/** Asks the agent for the body's key, once it is settled whom the new message is for. */
function askingAgent(
  agent: OpeningAgent,
  identities: Identities,
  uses: (key: Pick<Identity, "name">) => void,
  settle: Settle,
  { report }: Context,
): NonNullable<OpenOptions["bodyKey"]> {
  return async (header) => {
    const { info } = header;
    const keys = async (): Promise<KnownPublicKey[]> => publicKeys(await identities.shown(info));
    await settle(info, { keys, mayLackOpener: true });
    uses(AGENT);
    const found = await agent.open(header);
    if (found === undefined) report.trace("the agent has no key for the message");
    return found;
  };
}

function publicKeys(keys: readonly ExchangeIdentity[]): KnownPublicKey[] {
  return keys.map(({ publicKey }) => publicKey);
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
