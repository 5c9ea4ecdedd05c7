/** What a message is opened with, and what messages that are opened side by side share. */
import type { Allowances } from "../../../envelope/receiver.js";
import type { Identity, SigningPublicKey } from "../../../keys/key.js";
import type { OpeningAgent } from "../../find/agent.js";
import type { AcceptedCustodians } from "../../find/accepted-custodians.js";
import type { Identities } from "../../find/identities.js";
import type { OutputRules } from "../../find/output-rules.js";
import type { Tokens } from "../../find/tokens.js";
import type { Gate } from "./gate.js";
import type { Guesses } from "./guesses.js";
import type { Turn } from "./turns.js";

/** What all messages of a command are opened with. */
export interface OpenSettings {
  /** Where the header is, if it is not in the message's file. */
  readonly keyBlob: string | undefined;
  /** The value of `--threads`. */
  readonly threads: number | undefined;
  readonly identities: Identities;
  /** Asked before keys are looked for. */
  readonly agent: OpeningAgent | undefined;
  /** Certificates, DER, by which messages may name the identities' keys. */
  readonly certificates: readonly Uint8Array[];
  /** What to put up with in messages of other programs. */
  readonly allows: Allowances;
  /** What is demanded of a message; undefined: nothing. */
  readonly gate: Gate | undefined;
  /** Whose re-wrapping is accepted. */
  readonly custodians: AcceptedCustodians;
  readonly rules: OutputRules;
  /** Where a message from stdin is, for its rules. */
  readonly asPath: string | undefined;
  readonly receipt: ReceiptSettings | undefined;
  /** Replace existing files. */
  readonly force: boolean;
  /** The plaintext must be on the disk when the run ends; under a policy it always is. */
  readonly durable: boolean;
  /** `-o -`: write to a terminal whatever the bytes are. */
  readonly anyBytes: boolean;
  /** Under a policy, to a pipe: write each segment as soon as its tag has been checked. */
  readonly stream: boolean;
  readonly tokens: Tokens;
  readonly shared: SharedState;
}

/** What messages that are opened side by side know of one another. */
export interface SharedState {
  /** Names of the identities that have opened a message: their PINs have been asked for. */
  readonly used: Set<string>;
  /**
   * How many messages wait to have the token to themselves. While any do, the others hold back.
   */
  toBeAlone: number;
  readonly guesses: Guesses;
  /** The agent has opened a message: if it had to ask for a PIN, it has done so. */
  hasAgentOpened: boolean;
}

/** One try to open a message. */
export interface Attempt {
  readonly turn: Turn;
  /** No other message uses the token meanwhile. */
  readonly alone: boolean;
}

export interface ReceiptSettings {
  readonly path: string;
  /** Looks for the key, also on tokens; called once the message is known to be whole. */
  readonly identity: () => Promise<Identity<SigningPublicKey>>;
}
