/**
 * PINs on behalf of one client: asked for, fetched from where the client says they are, and blotted
 * out of errors that nobody foresaw. Nothing here is shared with another client, not even the
 * blotting: a client could have guesses blotted, and so learn another one's PIN.
 */
import { defined } from "../../defined.js";
import { TokenError } from "../../errors.js";
import { checkPin, pinFromSource } from "../session/pin.js";
import { withoutPins } from "../session/pin-variables.js";
import type {
  AskedPerson,
  AtPad,
  PadRequest,
  PinAsker,
  PinProvider,
  PinRequest,
} from "../values.js";
import { type FromServer, type PackedError, type PinAnswer, unpackError } from "./wire.js";

export interface ClientPinsOptions {
  readonly say: (message: FromServer) => void;
  /** For commands that print a PIN. */
  readonly env: Record<string, string | undefined>;
  /** Descriptor that such a command gets as its stderr. */
  readonly commandStderr: number;
}

interface Question {
  readonly resolve: (answer: PinAnswer) => void;
  readonly reject: (error: unknown) => void;
}

export class ClientPins {
  readonly #options: ClientPinsOptions;
  readonly #questions = new Map<number, Question>();
  /** A source gives the same PIN throughout a run, since a pipe can be read only once. */
  readonly #sources = new Map<string, PinProvider>();
  /** Take back what is asked of a person because of the answer with that id, now or again. */
  readonly #withdrawals = new Map<number, AbortController>();
  /** Every PIN of this client. */
  readonly #secrets = new Set<string>();
  #asked = 0;
  #isGone = false;

  constructor(options: ClientPinsOptions) {
    this.#options = options;
  }

  /** Asks the client. A person who is asked here may be asked again for a user PIN. */
  readonly ask: PinAsker = async (request) => {
    const { id, pin, error } = await this.#question("ask", request);
    if (error !== undefined) throw unpackError(error);
    if (typeof pin === "string") return this.#concealed(checkPin(pin));
    if (pin === undefined) throw new TypeError("an answer without a PIN");
    if (!("questions" in pin)) {
      return this.#fetched(false, () => this.#fromSource(pin.source, request));
    }
    const asked = (why?: string): Promise<string> =>
      this.#fetched(true, () => this.#fromPerson(id, pin, why));
    const first = await asked();
    return request.kind === "user" && !request.fresh ? { typed: first, again: asked } : first;
  };

  /** Has the client tell the person. It may refuse, as after a PIN that the token refused. */
  readonly atPad: AtPad = async (request, work) => {
    const { error } = await this.#question("pad", request);
    if (error !== undefined) throw unpackError(error);
    const { say } = this.#options;
    say({ kind: "person", waiting: true, atTerminal: false });
    try {
      return await work();
    } finally {
      say({ kind: "person", waiting: false, atTerminal: false });
    }
  };

  /** Hands the client's answer to whoever asked. */
  answered(answer: PinAnswer): void {
    this.#withdrawals.set(answer.id, new AbortController());
    this.#questions.get(answer.id)?.resolve(answer);
    this.#questions.delete(answer.id);
  }

  /** The client takes back the questions to a person that its answer `id` was. */
  withdrawn(id: number): void {
    this.#withdrawals.get(id)?.abort();
  }

  /** The client is gone: fails the questions that are open, and those still to come. */
  clientLost(): void {
    this.#isGone = true;
    for (const { reject } of this.#questions.values()) reject(gone());
    this.#questions.clear();
    for (const withdrawal of this.#withdrawals.values()) withdrawal.abort();
  }

  /** The error without this client's PINs. One with a code has a message of ours, without any. */
  blotted(error: PackedError): PackedError {
    if (error.code !== undefined) return error;
    const blot = (text: string): string =>
      [...this.#secrets].reduce((rest, secret) => rest.replaceAll(secret, "[secret]"), text);
    const { name, message, stack } = error;
    return {
      name,
      message: blot(message),
      ...defined({ stack: stack === undefined ? undefined : blot(stack) }),
    };
  }

  #question(kind: "ask", request: PinRequest): Promise<PinAnswer>;
  #question(kind: "pad", request: PadRequest): Promise<PinAnswer>;
  #question(kind: "ask" | "pad", request: PinRequest & PadRequest): Promise<PinAnswer> {
    if (this.#isGone) return Promise.reject(gone());
    this.#asked += 1;
    const id = this.#asked;
    return new Promise((resolve, reject) => {
      this.#questions.set(id, { resolve, reject });
      this.#options.say({ kind, id, request });
    });
  }

  async #fetched(atTerminal: boolean, fetch: () => Promise<string>): Promise<string> {
    if (this.#isGone) throw gone();
    const { say } = this.#options;
    say({ kind: "person", waiting: true, atTerminal });
    try {
      return this.#concealed(await fetch());
    } finally {
      say({ kind: "person", waiting: false, atTerminal });
    }
  }

  #fromSource(source: string, request: PinRequest): Promise<string> {
    const { env, commandStderr } = this.#options;
    const provide = this.#sources.get(source) ?? pinFromSource(source, env, commandStderr);
    this.#sources.set(source, provide);
    return provide(request);
  }

  async #fromPerson(id: number, asked: AskedPerson, why?: string): Promise<string> {
    const { env, commandStderr: stderr } = this.#options;
    const { place = "controlling-terminal", questions, about, answerMs } = asked;
    const { askPin } = await import("../../terminal/person.js");
    const signal = this.#withdrawals.get(id)?.signal;
    const options = { about, why, answerMs, signal, env: withoutPins(env), stderr };
    return checkPin(await askPin(place, questions, options));
  }

  #concealed(pin: string): string {
    this.#secrets.add(pin);
    return pin;
  }
}

function gone(): TokenError {
  return new TokenError("ERR_PIN_MISSING", "the client that was to be asked for a PIN is gone");
}
