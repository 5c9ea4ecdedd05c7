/**
 * A question to a person, wherever that person is reached: at the controlling terminal, at a
 * terminal of the same user's that is named, or through a pinentry.
 */
import { Cancelled, TokenError } from "../errors.js";
import type { PinentryOptions } from "./pinentry.js";
import { terminalNamed } from "./named-terminal.js";
import { askAlike, controllingTerminal, hasControllingTerminal } from "./terminal.js";

/** Where a person is asked. */
export type Place =
  | "controlling-terminal"
  /** A terminal of this user's, as in `/dev/pts/3`. */
  | { readonly terminal: string }
  /** A program, and the terminal that it uses without a display; by default the controlling one. */
  | {
      readonly pinentry: string;
      readonly terminal?: string | undefined;
      readonly terminalType?: string | undefined;
    };

export interface AskOptions {
  /** Lines that come before the question: what it is about, and who wants it. */
  readonly about?: string | undefined;
  /** Why it is asked again: a fact, lower case. */
  readonly why?: string | undefined;
  /** How long the person may take; by default as long as it takes, with pinentry 5 minutes. */
  readonly answerMs?: number | undefined;
  /** Withdraws the question. */
  readonly signal?: AbortSignal | undefined;
  /** For a pinentry: without PINs. */
  readonly env: Record<string, string | undefined>;
  /** Where a pinentry's messages go. */
  readonly stderr?: PinentryOptions["stderr"];
}

/**
 * Asks each question without echo; all answers must be the same PIN, which is returned.
 *
 * @throws Cancelled; TokenError `ERR_PIN_MISMATCH`, `ERR_PIN_MISSING`, `ERR_PIN_SOURCE_FAILED`,
 *   `ERR_PIN_FORMAT`
 */
export function askPin(
  place: Place,
  questions: readonly string[],
  options: AskOptions,
): Promise<string> {
  return reached(place, options, (person) => {
    return askAlike((question) => person.pin(question), questions);
  });
}

/**
 * Asks for consent. False if the person refused or did not answer.
 *
 * @throws TokenError `ERR_PIN_MISSING`: nobody can be asked there; `ERR_PIN_SOURCE_FAILED`
 */
export function askConsent(place: Place, question: string, options: AskOptions): Promise<boolean> {
  return reached(place, options, (person) => person.consent(question));
}

/** A person who has been reached. */
interface Person {
  pin(question: string): Promise<string>;
  consent(question: string): Promise<boolean>;
  close(): void;
}

async function reached<T>(
  place: Place,
  options: AskOptions,
  conversation: (person: Person) => Promise<T>,
): Promise<T> {
  const { signal, answerMs } = options;
  const person =
    typeof place === "object" && "pinentry" in place
      ? await throughPinentry(place, options)
      : atTerminal(place, options);
  if (signal?.aborted === true) {
    person.close();
    throw withdrawn();
  }
  let over: ((why: TokenError) => void) | undefined;
  const ended = new Promise<never>((_resolve, reject) => {
    over = reject;
  });
  const stop = (): void => over?.(withdrawn());
  const late = (): void => over?.(new TokenError("ERR_PIN_MISSING", "nobody answered in time"));
  const clock = answerMs === undefined ? undefined : setTimeout(late, answerMs + LATER_MS);
  signal?.addEventListener("abort", stop);
  try {
    return await Promise.race([conversation(person), ended]);
  } finally {
    signal?.removeEventListener("abort", stop);
    clearTimeout(clock);
    person.close();
  }
}

/** A pinentry ends its question itself, and says so; it needs a moment longer. */
const LATER_MS = 1_000;

async function throughPinentry(
  place: Extract<Place, { readonly pinentry: string }>,
  { about, why, answerMs, env, stderr = "ignore" }: AskOptions,
): Promise<Person> {
  const { Pinentry } = await import("./pinentry.js");
  const { pinentry: program, terminalType = env["TERM"] } = place;
  const terminal = place.terminal ?? (hasControllingTerminal() ? "/dev/tty" : undefined);
  const restoreModes = terminal === undefined ? undefined : await kept(terminal);
  const asked = { program, env, stderr, answerMs, terminal, terminalType };
  const pinentry = await Pinentry.start(asked);
  const described = (question: string): string =>
    about === undefined ? question : `${about}\n\n${question}`;
  return {
    pin: (question) => pinentry.pin({ description: described(question), error: why }),
    consent: (question) => pinentry.confirm({ description: described(question) }),
    close() {
      pinentry.close();
      restoreModes?.();
    },
  };
}

async function kept(terminal: string): Promise<() => void> {
  const { keepModes } = await import("./modes.js");
  return keepModes(terminal);
}

function atTerminal(
  place: Exclude<Place, { readonly pinentry: string }>,
  { about, why }: AskOptions,
): Person {
  const terminal =
    place === "controlling-terminal" ? controllingTerminal() : terminalNamed(place.terminal);
  if (terminal === undefined) throw new TokenError("ERR_PIN_MISSING", "the terminal is gone");
  // Told once, also where a new PIN is asked for twice.
  let untold = about;
  const ask = (question: string, silent: boolean): Promise<string> => {
    const options = { silent, about: untold };
    untold = undefined;
    return terminal.ask(why === undefined ? question : `${why}; ${question}`, options);
  };
  return {
    pin: (question) => ask(question, true),
    async consent(question) {
      try {
        // A whole word, since letters may have been typed ahead for something else.
        return (await ask(`${question} Type yes:`, false)) === "yes";
      } catch (error) {
        if (error instanceof Cancelled) return false;
        throw error;
      }
    },
    close() {
      terminal.close();
    },
  };
}

function withdrawn(): TokenError {
  return new TokenError(
    "ERR_PIN_MISSING",
    "the question was withdrawn: nobody waits for the answer",
  );
}
