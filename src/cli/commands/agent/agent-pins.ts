/**
 * Where an agent's PINs come from. It runs for hours, so a source that can be read only once, or
 * that would leave the PIN in the agent's own environment, is refused.
 */
import { accessSync, constants, existsSync, type Stats, statSync } from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";
import { Asking } from "../../../agent/asking.js";
import type { LoginsOptions } from "../../../agent/logins.js";
import type { Purpose } from "../../../agent/use.js";
import type { PinFound } from "../../../agent/login.js";
import type { SenderInfo } from "../../../envelope/message-info.js";
import { TokenError, UsageError } from "../../../errors.js";
import { quoted, reason } from "../../../store/system-error.js";
import { pinPathOfUri, requirePinFile } from "../../../token/session/pin.js";
import { pinSource, withoutPins } from "../../../token/session/pin-variables.js";
import type { KeyInfo, PinRequest } from "../../../token/values.js";
import type { Pkcs11Uri } from "../../../token/uri.js";
import { matchesToken } from "../../../token/uri-match.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { custodianText } from "../../find/passed-on-text.js";
import { padTeller, pinReferrer } from "../../find/pins.js";
import { nameOrFingerprint } from "../../find/sender.js";

export interface AgentPins extends Pick<LoginsOptions, "findPin" | "atPad"> {
  /** Asks a person before a key is used, where `--confirm` says so. */
  readonly confirm: NonNullable<LoginsOptions["confirm"]>;
  /** Where PINs come from, in words. */
  readonly asks: string;
  /** False: there is no source, and nobody can be asked but at a client's terminal or a reader. */
  readonly hasWay: boolean;
  /** False: each use needs consent, and nobody can be asked but at a client's terminal. */
  readonly canConsent: boolean;
}

/**
 * In this order: the source that the command line, a URI or the environment names; a pinentry,
 * where it was named or there is a display; the terminal of whoever opens a message; the agent's
 * own.
 *
 * @param uris - the keys that are served: their `pin-source` counts
 * @throws UsageError `ERR_PIN_SOURCE`; TokenError `ERR_PIN_SOURCE_FAILED`
 */
export async function agentPins(
  args: Arguments,
  uris: readonly Pkcs11Uri[],
  context: Context,
): Promise<AgentPins> {
  const { env } = context.io;
  const user = args.text("pin-source");
  const general = user ?? env[VARIABLE];
  const named = user === undefined ? VARIABLE : "--pin-source";
  const kept = general === undefined ? undefined : lastingSource(general, named);
  const isPerson = kept === undefined || kept.kind === "pinentry";
  const sourced = user === undefined ? uris.filter((uri) => uri.pinSource !== undefined) : [];
  for (const { pinSource = "" } of sourced) requireReadable(pinPathOfUri(pinSource));
  const refer = pinReferrer({ user, uris }, context);
  const tell = padTeller({ user, uris }, context);
  const asking = new Asking({
    pinentry: kept?.kind === "pinentry" ? kept.rest : usualPinentry(env),
    hasTerminal: await hasTerminal(context),
    env: withoutPins(env),
    signedBy: (sender) => signedBy(sender, context),
    atReader: (pad, about) => {
      context.report.note(about);
      tell(pad);
    },
    nowMs: () => performance.now(),
  });
  const findPin = async (request: PinRequest, purpose: Purpose): Promise<PinFound> => {
    const isInUri = sourced.some((uri) => matchesToken(uri, request.token));
    if (isPerson && !isInUri) return asking.pin(request, purpose);
    return { pin: await refer(request), fromPerson: false };
  };
  const when = args.required("confirm");
  const confirm = async (key: KeyInfo, purpose: Purpose): Promise<void> => {
    const isWanted = when === "always" || (when === "remote" && purpose.remote !== undefined);
    if (isWanted) await asking.consent(key, purpose);
  };
  const atPad: AgentPins["atPad"] = (request, purpose) => asking.pad(request, purpose);
  const places = isPerson ? asking.where : SOURCES[kept.kind];
  return {
    ...{ findPin, atPad, confirm },
    asks: sourced.length === 0 ? places : `the file that a URI names, or ${places}`,
    hasWay: !isPerson || sourced.length > 0 || asking.reachesSomebody,
    canConsent: when !== "always" || asking.reachesSomebody,
  };
}

/** For people: who sealed a message, and who passed it on. Its signatures hold. */
async function signedBy(sender: SenderInfo, context: Context): Promise<string> {
  const signed = `signed by ${await nameOrFingerprint(sender, context)}`;
  if (sender.passedOn === undefined) return signed;
  return `${signed}, passed on by ${await custodianText(sender.passedOn, context)}`;
}

const VARIABLE = "P11SEAL_PIN_SOURCE";

const SOURCES = { file: "a file", cmd: "a command" } as const;

interface LastingSource {
  readonly kind: "file" | "cmd" | "pinentry";
  readonly rest: string;
}

/** @param named - the option or variable that names it */
function lastingSource(text: string, named: string): LastingSource {
  const { kind, rest } = pinSource(text) ?? {};
  const isLasting = kind === "file" || kind === "cmd" || kind === "pinentry";
  if (isLasting && rest !== undefined) {
    if (kind === "file") requireReadable(rest);
    return { kind, rest };
  }
  throw new UsageError(
    "ERR_PIN_SOURCE",
    `${named}: an agent's PIN comes from file:PATH, cmd:COMMAND or pinentry[:PROGRAM]`,
    { hint: "it forgets the PIN and fetches it again; an environment would show it all the time" },
  );
}

/** Before an agent runs that nobody watches. @throws as `requirePinFile` */
function requireReadable(path: string): void {
  let stats: Stats;
  try {
    accessSync(path, constants.R_OK);
    stats = statSync(path);
  } catch (error) {
    const fact = `PIN file ${quoted(path)} cannot be read: ${reason(error)}`;
    throw new TokenError("ERR_PIN_SOURCE_FAILED", fact, {
      hint: "the agent reads it each time that it needs the PIN",
    });
  }
  requirePinFile(path, stats);
}

/** The system's pinentry, where it is installed and has a display to show its window on. */
function usualPinentry(env: Readonly<Record<string, string | undefined>>): string | undefined {
  if (!env["DISPLAY"] && !env["WAYLAND_DISPLAY"]) return undefined;
  const folders = (env["PATH"] ?? "").split(delimiter).filter(isAbsolute);
  return folders.map((folder) => join(folder, "pinentry")).find((path) => existsSync(path));
}

async function hasTerminal({ io }: Context): Promise<boolean> {
  const terminal = await io.terminal();
  terminal?.close();
  return terminal !== undefined;
}
