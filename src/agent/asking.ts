/**
 * How an agent asks a person: for a PIN, or for consent. One question at a time, since there may be
 * one screen only; and none for a while after one was refused, so that no program can ask until
 * somebody gives in.
 */
import { readFileSync } from "node:fs";
import type { SenderInfo } from "../envelope/message-info.js";
import { Cancelled, PolicyError, TokenError } from "../errors.js";
import { printable } from "../printable.js";
import { askConsent, type Place } from "../terminal/person.js";
import { isTerminalNamed } from "../terminal/named-terminal.js";
import { pinQuestions, pinWarning } from "../token/session/pin-question.js";
import type { KeyInfo, PadRequest, PinRequest, TokenInfo } from "../token/values.js";
import { Turnstile } from "../turnstile.js";
import type { Purpose } from "./use.js";
import type { PinFound } from "./login.js";
import type { ReaderNotice } from "./protocol.js";
import { programOf } from "./use-log.js";

export interface AskingOptions {
  /** A pinentry to ask through; undefined: none was named, and there is no display. */
  readonly pinentry: string | undefined;
  /** The agent itself has a terminal. */
  readonly hasTerminal: boolean;
  /** For a pinentry: without PINs. */
  readonly env: Record<string, string | undefined>;
  /** Whose signature a message has, in words, as in `signed by "alice"`. */
  readonly signedBy: (sender: SenderInfo) => Promise<string>;
  /** Tells whoever watches the agent of a PIN that is to be typed on a reader, and what for. */
  readonly atReader: (request: PadRequest, about: string) => void;
  /** A monotonic clock, milliseconds. */
  readonly nowMs: () => number;
  /** How long a person may take; by default 2 minutes. */
  readonly answerMs?: number | undefined;
}

/** Whoever a question is for. */
type Asker = Pick<Purpose, "client" | "terminal" | "remote" | "act" | "message">;

export class Asking {
  readonly #options: AskingOptions;
  readonly #answerMs: number;
  readonly #turnstile = new Turnstile();
  /** Questions that wait for their turn: of programs here, and of all other hosts together. */
  readonly #waiting = { here: 0, elsewhere: 0 };
  /** By the name of what was refused: until when nobody is asked, and for how long that was. */
  readonly #pauses = new Map<string, { readonly untilMs: number; readonly ms: number }>();

  constructor(options: AskingOptions) {
    this.#options = options;
    this.#answerMs = options.answerMs ?? ANSWER_MS;
  }

  /** Where it asks, in words. */
  get where(): string {
    const { pinentry, hasTerminal } = this.#options;
    if (pinentry !== undefined) return "pinentry";
    const clients = "the terminal of whoever opens a message";
    return hasTerminal ? `${clients}, or the agent's own` : clients;
  }

  /** Somebody can be asked who is not at the terminal of a client. */
  get reachesSomebody(): boolean {
    return this.#options.pinentry !== undefined || this.#options.hasTerminal;
  }

  /** A way to a PIN: its questions, once it is their turn. Throws as `consent`. */
  async pin(request: PinRequest, asker: Asker): Promise<PinFound> {
    const place = this.#placeFor(asker, "for the PIN");
    const warning = pinWarning(request);
    const lines = [...(await this.#about(asker)), ...(warning === undefined ? [] : [warning])];
    const about = lines.join("\n");
    const settle = await this.#begin(nameOf(request.token), asker);
    const questions = pinQuestions(request);
    const { gone: signal } = asker.client;
    const pin = { questions, place, about, answerMs: this.#answerMs, signal };
    return {
      ...{ pin, fromPerson: true },
      settled: (error) => {
        settle(!isUnanswered(error));
      },
    };
  }

  /**
   * Has a person told to type a PIN on a reader: through the client, and whoever watches the agent.
   * The reader asks when this returns; the result is to be called with what came of it.
   *
   * @throws PolicyError `ERR_AGENT_CANCELLED`: refused just before
   */
  async pad(request: PadRequest, asker: Asker): Promise<(error: unknown) => void> {
    const { label, serial, pin } = request.token;
    const what = request.what === "use" ? "use" : "login";
    const about = (await this.#about(asker)).join("; ");
    const settle = await this.#begin(nameOf(request.token), asker, { label, serial, pin, what });
    this.#options.atReader(request, about);
    return (error) => {
      settle(!isUnanswered(error));
    };
  }

  /**
   * Asks whether to use the key. Returns if so.
   *
   * @throws PolicyError `ERR_AGENT_CANCELLED`: refused now, or just before; TokenError
   *   `ERR_PIN_MISSING`: nobody can be asked; `ERR_PIN_SOURCE_FAILED`
   */
  async consent({ token, label, uri }: KeyInfo, asker: Asker): Promise<void> {
    const place = this.#placeFor(asker, "whether the key may be used");
    const about = (await this.#about(asker)).join("\n");
    const settle = await this.#begin(uri, asker);
    const { env } = this.#options;
    const { gone: signal } = asker.client;
    const options = { about, answerMs: this.#answerMs, signal, env };
    // A line feed in a name would make a line of its own, as if the agent said it.
    const names = `key "${shown(label, 100)}" of token "${shown(token.label, 100)}"`;
    const question = `${SIGNS.has(asker.act) ? "Sign with" : "Use"} ${names}?`;
    let answer = false;
    try {
      answer = await askConsent(place, question, options);
    } catch (error) {
      if (!isUnanswered(error)) throw error;
    } finally {
      settle(answer);
    }
    if (!answer) throw refused(`the use of key "${label}" was refused`);
  }

  /** Who wants to do what to which message, and who signed it or whom it is for: a line each. */
  async #about(asker: Asker): Promise<string[]> {
    const { sender, addressees } = asker.message;
    const whom = addressees === undefined ? [] : [shown(addressees, 150)];
    if (asker.act === "sign") return [described(asker), ...whom];
    const origin = sender === undefined ? "nobody signed it" : await this.#options.signedBy(sender);
    return [described(asker), shown(origin, 200), ...whom];
  }

  #placeFor({ terminal, remote }: Asker, what: string): Place {
    const { pinentry, hasTerminal, env } = this.#options;
    const named = terminal !== undefined && isTerminalNamed(terminal) ? terminal : undefined;
    if (pinentry !== undefined) {
      return {
        pinentry,
        terminal: named,
        terminalType: named === undefined ? undefined : env["TERM"],
      };
    }
    if (named !== undefined) return { terminal: named };
    if (hasTerminal) return "controlling-terminal";
    const whose = remote === undefined ? "the command" : "p11seal agent forward";
    throw new TokenError("ERR_PIN_MISSING", `the agent has nobody to ask ${what}`, {
      hint: `run ${whose} at a terminal, or start the agent with --pin-source pinentry`,
    });
  }

  /** Waits for the turn of a question. The caller says whether it was answered. */
  async #begin(
    name: string,
    { client, remote }: Asker,
    reader?: ReaderNotice,
  ): Promise<(answered: boolean) => void> {
    this.#requireNoPause(name);
    const origin = remote === undefined ? "here" : "elsewhere";
    if (this.#waiting[origin] >= MAX_WAITING[origin]) throw refused(TOO_MANY[origin]);
    this.#waiting[origin] += 1;
    const turn = await this.#turnstile
      .enter(client.gone)
      .catch(() => {
        throw refused("whoever asked has gone");
      })
      .finally(() => {
        this.#waiting[origin] -= 1;
      });
    try {
      // What was refused meanwhile was the same question.
      this.#requireNoPause(name);
    } catch (error) {
      turn.end();
      throw error;
    }
    client.awaitsPerson(true, reader);
    return (answered) => {
      client.awaitsPerson(false);
      if (answered) this.#pauses.delete(name);
      else this.#pause(name);
      turn.end();
    };
  }

  #requireNoPause(name: string): void {
    const pause = this.#pauses.get(name);
    if (pause === undefined || this.#options.nowMs() >= pause.untilMs) return;
    const seconds = Math.ceil((pause.untilMs - this.#options.nowMs()) / 1000);
    throw refused(`a question got no answer just before; nobody is asked again for ${seconds} s`);
  }

  /** Each refusal in a row makes the pause longer. */
  #pause(name: string): void {
    const before = this.#pauses.get(name)?.ms ?? 0;
    const ms = Math.min(Math.max(before * 2, FIRST_PAUSE_MS), LONGEST_PAUSE_MS);
    this.#pauses.set(name, { untilMs: this.#options.nowMs() + ms, ms });
  }
}

/** What a key does not only undo, but says. */
const SIGNS: ReadonlySet<Purpose["act"]> = new Set(["sign", "pass on"]);

const ANSWER_MS = 120_000;

const FIRST_PAUSE_MS = 5_000;

const LONGEST_PAUSE_MS = 60_000;

/** Places are kept apart: whatever other hosts ask for, a question of a program here finds one. */
const MAX_WAITING = { here: 16, elsewhere: 4 } as const;

const TOO_MANY = {
  here: "too many questions are waiting",
  elsewhere: "too many questions of other hosts are waiting",
} as const;

/** True where a person was asked, and gave no answer. */
function isUnanswered(error: unknown): boolean {
  if (error instanceof Cancelled) return true;
  return error instanceof TokenError && UNANSWERED.has(error.code);
}

const UNANSWERED: ReadonlySet<string> = new Set([
  "ERR_PIN_MISSING",
  "ERR_PIN_CANCELED",
  "ERR_PIN_PAD_TIMEOUT",
]);

function refused(fact: string): PolicyError {
  return new PolicyError("ERR_AGENT_CANCELLED", fact, {
    hint: "wait a moment, or do it without the agent: --no-agent",
  });
}

function nameOf({ label, serial }: Pick<TokenInfo, "label" | "serial">): string {
  return JSON.stringify([label, serial]);
}

/**
 * Who wants to do what to which message. The words are a program's own: they show, and prove
 * nothing.
 */
function described({ client: { peer }, remote, act, message: { messageId } }: Asker): string {
  const what = messageId === undefined ? "a message" : `message ${messageId.slice(0, 16)}`;
  const program = peer === undefined ? "a program" : `${commandOf(peer.pid)} (process ${peer.pid})`;
  const who =
    remote === undefined ? program : `host "${shown(remote, 100)}", by way of ${program},`;
  return `p11seal agent: ${who} wants to ${act} ${what}`;
}

/**
 * Somebody else's words, made safe to show and cut to so many bytes. A pinentry is told of 1000 in
 * all (`assuan.ts`): words that took them up would push out what is asked, and a warning.
 */
function shown(words: string, most: number): string {
  let kept = "";
  let bytes = 0;
  for (const character of printable(words)) {
    bytes += character === "%" ? 3 : Buffer.byteLength(character);
    if (bytes > most) return `${kept}…`;
    kept += character;
  }
  return kept;
}

/** The command line, as long as a line of a question may be. */
function commandOf(pid: number): string {
  let words = "";
  try {
    words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").join(" ").trim();
  } catch {
    // The process has ended, or is hidden.
  }
  return shown(words === "" ? (programOf(pid) ?? "a program") : words, 200);
}
