/**
 * Where PINs come from, in the order of docs/cli.md, "PIN sources": `--pin-source`, the
 * `pin-source` of the URI that named the token, `P11SEAL_PIN_SOURCE`, a person at the terminal. One
 * source is chosen. If it fails, the next is not tried. A wrong PIN is sent once; only a person who
 * typed it is asked for another, by the process that sends it.
 */
import { TokenError } from "../../errors.js";
import { checkPin, pinFromSource, pinPathOfUri } from "../../token/session/pin.js";
import type { PinReference, PinReferrer, PinRequest, TokenInfo } from "../../token/values.js";
import type { Pkcs11Uri } from "../../token/uri.js";
import { matchesToken } from "../../token/uri-match.js";
import type { Context } from "../command.js";

export interface PinSources {
  /** `--pin-source`. */
  readonly user: string | undefined;
  /** `--so-pin-source`. */
  readonly so?: string | undefined;
  /** URIs given in this run. Their `pin-source` counts for the tokens they match. */
  readonly uris: readonly Pkcs11Uri[];
}

/**
 * Says, for one run, where each PIN comes from. The token's process itself reads files, runs
 * commands and asks at the terminal; variables and descriptors only exist in this process, which
 * reads them.
 *
 * @throws UsageError `ERR_PIN_SOURCE`: at once, whether or not a PIN will be needed
 */
export function pinReferrer(sources: PinSources, context: Context): PinReferrer {
  const { env } = context.io;
  const parsed = (spec: string | undefined): PinReferrer | undefined => {
    if (spec === undefined) return undefined;
    const provide = pinFromSource(spec, env);
    if (/^(?:file|cmd):/.test(spec)) return () => Promise.resolve({ source: spec });
    return async (request) => {
      const pin = await provide(request);
      context.report.conceal(pin);
      return pin;
    };
  };
  const chosen = { user: parsed(sources.user), so: parsed(sources.so) };
  const fromEnvironment = {
    user: parsed(env["P11SEAL_PIN_SOURCE"]),
    so: parsed(env["P11SEAL_SO_PIN_SOURCE"]),
  };
  return async (request) => {
    const refer =
      chosen[request.kind] ??
      (request.kind === "user" ? fromUris(sources.uris, request) : undefined) ??
      fromEnvironment[request.kind] ??
      ((asked: PinRequest) => atTerminal(asked, context));
    return refer(request);
  };
}

/** Whether a PIN for that token may be had. No source is read, and nobody asked. */
export async function canGetPin(
  { user, uris }: PinSources,
  token: TokenInfo,
  { io }: Context,
): Promise<boolean> {
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

async function atTerminal(
  request: PinRequest,
  { io, report }: Context,
): Promise<string | PinReference> {
  const { token, fresh } = request;
  const terminal = await io.terminal();
  if (terminal === undefined) {
    throw new TokenError(
      "ERR_PIN_MISSING",
      `no PIN for token "${token.label}": there is no terminal to ask at`,
      { hint: "use --pin-source or P11SEAL_PIN_SOURCE: env:VAR, file:PATH, fd:N or cmd:COMMAND" },
    );
  }
  try {
    if (token.pin === "low") report.note("a wrong PIN was tried on this token before");
    if (token.pin === "final-try") report.note("this is the last try before the PIN is locked");
    const name = `${fresh ? "new " : ""}${request.kind === "so" ? "security officer PIN" : "PIN"}`;
    const serial = token.serial === "" ? "" : ` (serial ${token.serial})`;
    const first = `${name} for token "${token.label}"${serial}:`;
    const questions = fresh ? [first, `${name} again:`] : [first];
    if (io.sharesTerminal === true) return { questions };
    const { askAlike } = await import("../../terminal/terminal.js");
    const pin = checkPin(await askAlike(terminal, questions));
    report.conceal(pin);
    return pin;
  } finally {
    terminal.close();
  }
}
