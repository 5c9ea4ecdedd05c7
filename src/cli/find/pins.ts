/**
 * Where PINs come from, in the order of docs/cli.md, "PIN sources": `--pin-source`, the
 * `pin-source` of the URI that named the token, `P11SEAL_PIN_SOURCE`, a person at the terminal. One
 * source is chosen. If it fails, the next is not tried. A wrong PIN is sent once; only a person who
 * typed it is asked for another, by the process that sends it.
 */
import { defined } from "../../defined.js";
import { TokenError } from "../../errors.js";
import { checkPin, pinFromSource, pinPathOfUri } from "../../token/session/pin.js";
import { padPrompt, pinQuestions, pinWarning } from "../../token/session/pin-question.js";
import { pinSource } from "../../token/session/pin-variables.js";
import type {
  PadRequest,
  PinReference,
  PinReferrer,
  PinRequest,
  TokenInfo,
} from "../../token/values.js";
import type { Pkcs11Uri } from "../../token/uri.js";
import { matchesToken } from "../../token/uri-match.js";
import type { Context } from "../command.js";

export interface PinSources {
  /** `--pin-source`. */
  readonly user: string | undefined;
  /** `--so-pin-source`. */
  readonly so?: string | undefined;
  /** `--new-pin-source`; of commands that set a new PIN beside an old one. */
  readonly fresh?: { readonly source: string | undefined };
  /** URIs given in this run. Their `pin-source` counts for the tokens they match. */
  readonly uris: readonly Pkcs11Uri[];
}

/**
 * Says, for one run, where each PIN comes from. The token's process itself reads files, runs
 * commands and pinentry, and asks at the terminal; variables and descriptors only exist in this
 * process, which reads them.
 *
 * @throws UsageError `ERR_PIN_SOURCE`: at once, whether or not a PIN will be needed
 */
export function pinReferrer(sources: PinSources, context: Context): PinReferrer {
  const { env } = context.io;
  const parsed = (spec: string | undefined): PinReferrer | undefined => {
    if (spec === undefined) return undefined;
    const provide = pinFromSource(spec, env);
    const { kind, rest } = pinSource(spec) ?? {};
    if (kind === "file" || kind === "cmd") return () => Promise.resolve({ source: spec });
    if (kind === "pinentry" && rest !== undefined) {
      return (request) => Promise.resolve(throughPinentry(rest, request));
    }
    return async (request) => {
      const pin = await provide(request);
      context.report.conceal(pin);
      return pin;
    };
  };
  const chosen = { user: parsed(sources.user), so: parsed(sources.so) };
  const fresh = sources.fresh && parsed(sources.fresh.source ?? env["P11SEAL_NEW_PIN_SOURCE"]);
  const fromEnvironment = {
    user: parsed(env["P11SEAL_PIN_SOURCE"]),
    so: parsed(env["P11SEAL_SO_PIN_SOURCE"]),
  };
  const asking: PinReferrer = (request) => {
    const isNew = request.fresh && sources.fresh !== undefined;
    return atTerminal(request, isNew ? "new" : request.kind, context);
  };
  return async (request) => {
    // A source of the old PIN would give the old PIN.
    if (request.fresh && sources.fresh !== undefined) return (fresh ?? asking)(request);
    const refer =
      chosen[request.kind] ??
      (request.kind === "user" ? fromUris(sources.uris, request) : undefined) ??
      fromEnvironment[request.kind] ??
      asking;
    return refer(request);
  };
}

/** Tells a person, for one run, to type a PIN on a reader. No source of PINs is read. */
export function padTeller(
  { user, so }: PinSources,
  { report }: Context,
): (request: PadRequest) => void {
  let isFirst = true;
  return (request) => {
    const warning = pinWarning(request);
    if (warning !== undefined) report.note(warning);
    const isUnused = (request.kind === "so" ? so : user) !== undefined;
    if (isUnused && isFirst) report.note("the reader asks for the PIN; the PIN source is not read");
    isFirst = false;
    report.request(padPrompt(request));
  };
}

/** Whether a PIN for that token may be had. No source is read, and nobody asked. */
export async function canGetPin(
  { user, uris }: PinSources,
  token: TokenInfo,
  { io }: Context,
): Promise<boolean> {
  if (token.pinPad) return true;
  const isNamed = uris.some((uri) => uri.pinSource !== undefined && matchesToken(uri, token));
  if (user !== undefined || isNamed || io.env["P11SEAL_PIN_SOURCE"] !== undefined) return true;
  const terminal = await io.terminal();
  terminal?.close();
  return terminal !== undefined;
}

function fromUris(uris: readonly Pkcs11Uri[], { token }: PinRequest): PinReferrer | undefined {
  const uri = uris.find((one) => one.pinSource !== undefined && matchesToken(one, token));
  if (uri?.pinSource === undefined) return undefined;
  const source = `file:${pinPathOfUri(uri.pinSource)}`;
  return () => Promise.resolve({ source });
}

function throughPinentry(program: string, request: PinRequest): PinReference {
  const [questions, about] = [pinQuestions(request), pinWarning(request)];
  return { questions, place: { pinentry: program }, ...defined({ about }) };
}

/** The PINs that a person is asked for, and what else they come from. */
const SOURCES = {
  user: { pin: "PIN", option: "--pin-source", variable: "P11SEAL_PIN_SOURCE" },
  so: {
    ...{ pin: "security officer PIN" },
    ...{ option: "--so-pin-source", variable: "P11SEAL_SO_PIN_SOURCE" },
  },
  new: { pin: "new PIN", option: "--new-pin-source", variable: "P11SEAL_NEW_PIN_SOURCE" },
} as const;

async function atTerminal(
  request: PinRequest,
  which: keyof typeof SOURCES,
  { io, report }: Context,
): Promise<string | PinReference> {
  const { token } = request;
  const terminal = await io.terminal();
  if (terminal === undefined) {
    const { pin, option, variable } = SOURCES[which];
    const fact = `no ${pin} for token "${token.label}": there is no terminal to ask at`;
    throw new TokenError("ERR_PIN_MISSING", fact, {
      hint: `use ${option} or ${variable}: env:VAR, file:PATH, fd:N, cmd:COMMAND or pinentry`,
    });
  }
  try {
    const warning = pinWarning(request);
    if (warning !== undefined) report.note(warning);
    const questions = pinQuestions(request);
    if (io.sharesTerminal === true) return { questions };
    const { askAlike } = await import("../../terminal/terminal.js");
    const ask = (question: string): Promise<string> => terminal.ask(question, { silent: true });
    const pin = checkPin(await askAlike(ask, questions));
    report.conceal(pin);
    return pin;
  } finally {
    terminal.close();
  }
}
