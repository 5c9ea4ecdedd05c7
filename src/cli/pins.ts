/**
 * PINs, in the order of docs/cli.md, "PIN sources": the command line's `--pin-source`, the `pin-source`
 * of the URI that named the token, `P11SEAL_PIN_SOURCE`, a person at the terminal. One source is chosen;
 * where it fails, the next is not tried. A wrong PIN is not asked for again.
 */
import { TokenError } from "../errors.js";
import { checkPin, pinFromSource, pinFromUri } from "../token/pin.js";
import type { PinProvider, PinRequest } from "../token/types.js";
import { matchesToken, type Pkcs11Uri } from "../token/uri.js";
import { printable } from "./report.js";
import type { Context } from "./usage.js";

export interface PinSources {
  /** `--pin-source`. */
  readonly user: string | undefined;
  /** `--so-pin-source`. */
  readonly so?: string | undefined;
  /** URIs given in this run, whose `pin-source` speaks for the tokens they match. */
  readonly uris: readonly Pkcs11Uri[];
}

/** A provider for one run. Its sources are parsed now, so that a bad one is a fault of usage. */
export function pinProvider(sources: PinSources, context: Context): PinProvider {
  const { env } = context.io;
  const parsed = (spec: string | undefined): PinProvider | undefined =>
    spec === undefined ? undefined : pinFromSource(spec, env);
  const given = { user: parsed(sources.user), so: parsed(sources.so) };
  const ambient = {
    user: parsed(env["P11SEAL_PIN_SOURCE"]),
    so: parsed(env["P11SEAL_SO_PIN_SOURCE"]),
  };
  const prompt: PinProvider = (request) => promptForPin(request, context);

  return async (request) => {
    const provide =
      given[request.kind] ??
      (request.kind === "user" ? fromUris(sources.uris, request, env) : undefined) ??
      ambient[request.kind] ??
      prompt;
    const pin = await provide(request);
    context.report.conceal(pin);
    return pin;
  };
}

function fromUris(
  uris: readonly Pkcs11Uri[],
  { token }: PinRequest,
  env: Record<string, string | undefined>,
): PinProvider | undefined {
  const uri = uris.find((one) => one.pinSource !== undefined && matchesToken(one, token));
  return uri === undefined ? undefined : pinFromUri(uri, { env });
}

async function promptForPin(request: PinRequest, { io, report }: Context): Promise<string> {
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
    const question = printable(`${name} for token "${token.label}"${serial}:`);
    const pin = checkPin(await terminal.ask(question, { silent: true }));
    if (fresh && pin !== (await terminal.ask(`${name} again:`, { silent: true }))) {
      throw new TokenError("ERR_PIN_MISMATCH", "the two PINs differ", { hint: "nothing was done" });
    }
    return pin;
  } finally {
    terminal.close();
  }
}
