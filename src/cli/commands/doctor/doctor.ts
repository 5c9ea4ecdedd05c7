/**
 * `p11seal doctor`: whether this token will open this file, and how; if not, why, and what to do.
 * Without a file, which modules, tokens and keys there are. No PIN is asked for or sent.
 */
import { defined } from "../../../defined.js";
import type { MessageInfo, PassedOn } from "../../../envelope/message-info.js";
import { inspectMessage } from "../../../envelope/messages.js";
import { NoMatchError, P11SealError, TokenError, UsageError } from "../../../errors.js";
import type {
  Diagnosis,
  KeyDiagnosis,
  ModuleDiagnosis,
  TokenDiagnosis,
} from "../../../token/diagnosis.js";
import type { PinState, TokenInfo } from "../../../token/values.js";
import { type Plan, planLines, SHARED_NAMES, stepsToTry } from "../../../token/use/plan.js";
import { isPkcs11Uri } from "../../../token/uri.js";
import { titleOf } from "../../../keys/around.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Leftover } from "../../../store/leftovers.js";
import { requireAcceptable } from "../../find/accepted-custodians.js";
import { passedOnData, passedOnText } from "../../find/passed-on-text.js";
import { certificatesAt } from "../../find/certificate-files.js";
import { prepareIdentities } from "../../find/identities.js";
import { ageDoubtIn, ageWay } from "../../find/token-key.js";
import { openInput, requireOneStdin } from "../../io/inputs.js";
import { write } from "../../io/io.js";
import { finishOverwritingAt } from "../../io/unfinished.js";
import {
  causeData,
  inDoubt,
  isCertain,
  isPlanCertain,
  mayHaveOther,
  type Prospect,
  prospectData,
  prospectLines,
  prospectsOf,
  requireLogin,
} from "../../find/prospects.js";
import { fewOf, printable } from "../../../printable.js";
import { EXIT, exitStatus } from "../../io/report.js";
import { json } from "../../io/table.js";
import { leftBehind, leftBehindLines } from "./left-behind.js";
import { signerText } from "../../find/sender.js";
import { type Tokens, withTokens } from "../../find/tokens.js";
import { troubleError } from "../../find/troubles.js";
import type { Context } from "../../command.js";

export async function doctorCommand(args: Arguments, context: Context): Promise<number> {
  const [file] = args.operands;
  if (file === "-" && context.io.stdin.isTTY === true) {
    throw new UsageError("ERR_USAGE", "no file was given, and stdin is the terminal");
  }
  const certificates = args.texts("cert");
  const forFiles = ["cert", "custodian"].find((name) => args.texts(name).length > 0);
  if (file === undefined && forFiles !== undefined) {
    throw new UsageError("ERR_USAGE", `--${forFiles} is for a file, and none was given`);
  }
  requireOneStdin([...(file === undefined ? [] : [file]), ...certificates]);
  return withTokens(args, context, (tokens) =>
    file === undefined ? ofMachine(args, tokens, context) : ofFile(file, args, tokens, context),
  );
}

// ── Of a file ──

interface Verdict {
  /** The key that will be used, or would be if there were no fault. */
  readonly chosen?: Prospect;
  readonly prospects: readonly Prospect[];
  readonly cause?: P11SealError;
  /** The token that opening would log in to, to look for the key: nothing else is known of it. */
  readonly unseen?: TokenInfo;
  /** No key opens the file, but a passphrase does. */
  readonly passphrase?: true;
  /** Present if a custodian passed the message on, whose word counts here. */
  readonly passedOn?: PassedOn;
}

async function ofFile(
  file: string,
  args: Arguments,
  tokens: Tokens,
  context: Context,
): Promise<number> {
  if (file !== "-") await finishOverwritingAt(file, context);
  const input = await openInput(file, context.io);
  let info: MessageInfo;
  try {
    info = await inspectMessage(input.chunks);
  } finally {
    await input.close();
  }
  const verdict = await verdictOn(info, args, tokens, context);
  const { cause } = verdict;
  const exit = cause === undefined ? EXIT.done : exitStatus(cause);
  const { passedOn } = verdict;
  const text = args.flag("json")
    ? json({
        ...{ file, opens: opens(verdict), exit, ...asData(verdict) },
        ...(passedOn && { passedOn: await passedOnData(passedOn, context) }),
      })
    : describeVerdict(file, verdict, await originLines(info, verdict, context));
  await write(context.io.stdout, text);
  return exit;
}

async function verdictOn(
  info: MessageInfo,
  args: Arguments,
  tokens: Tokens,
  context: Context,
): Promise<Verdict> {
  let prospects: readonly Prospect[] = [];
  let passedOn: PassedOn | undefined;
  if (info.recipients.some(({ passphrase }) => passphrase)) return { prospects, passphrase: true };
  try {
    // As opening does: the sender and the custodian come before the keys.
    passedOn = await requireAcceptable(info, args, context);
    const identities = await prepareIdentities(args.texts("identity"), tokens, context);
    const keys = await identities.find(info);
    const certificates = await certificatesAt(args.texts("cert"), context.io);
    prospects = await prospectsOf(info, keys, certificates, tokens);
    // As opening does: past keys whose token can't do it, but no further than any other fault.
    const chosen = prospects.find(({ cause }) => !UNFIT.has(cause?.code ?? "")) ?? prospects[0];
    const [unseen] = identities.unseen();
    if (chosen === undefined && unseen !== undefined) {
      await requireLogin(unseen, await tokens.access());
      return { prospects, unseen, ...defined({ passedOn }) };
    }
    if (chosen === undefined) {
      throw await identities.whyNone(noMatch(keys.length, mayHaveOther(info, keys)));
    }
    return { chosen, prospects, ...defined({ cause: chosen.cause, passedOn }) };
  } catch (cause) {
    if (!(cause instanceof P11SealError) || cause instanceof UsageError) throw cause;
    return { prospects, cause, ...defined({ passedOn }) };
  }
}

const UNFIT: ReadonlySet<string> = new Set(["ERR_OAEP_HASH", "ERR_MECHANISM", "ERR_NO_MATCH"]);

function noMatch(count: number, mayLackCertificate: boolean): NoMatchError {
  const keys = count === 1 ? "another key than the one" : `none of the ${count} keys`;
  const message = count === 0 ? "no key is at hand" : `the message was sealed to ${keys} at hand`;
  const insert = "insert the token that has the key";
  const hint = mayLackCertificate ? `${insert}; or give its certificate with --cert FILE` : insert;
  return new NoMatchError("ERR_NO_MATCH", message, { hint });
}

/** Null where only a login would tell, or the passphrase. */
function opens({ chosen, cause, unseen, passphrase }: Verdict): boolean | null {
  if (cause !== undefined) return false;
  if (passphrase) return null;
  return unseen !== undefined || (chosen !== undefined && !isCertain(chosen)) ? null : true;
}

function asData({ chosen, prospects, cause, unseen }: Verdict): object {
  return {
    key: chosen?.name ?? null,
    token: chosen?.token ?? unseen ?? null,
    way: chosen?.ways[0] ?? null,
    cause: cause === undefined ? null : causeData(cause),
    keys: prospects.map(prospectData),
  };
}

/** What is said of who sent a signed message. */
async function originLines(
  { signed, sender }: MessageInfo,
  { passedOn }: Verdict,
  context: Context,
): Promise<readonly string[]> {
  if (!signed) return [];
  const judged = "sender: judged when it is opened; see p11seal inspect";
  if (passedOn === undefined || sender === undefined) return [judged];
  const sealedBy = await signerText(sender, context);
  return [judged, `passed on: ${await passedOnText(passedOn, sealedBy, context)}`];
}

function describeVerdict(file: string, verdict: Verdict, origin: readonly string[]): string {
  const { chosen, cause, unseen } = verdict;
  const token = chosen?.token ?? unseen;
  const name = file === "-" ? "stdin" : file;
  const certainty = opens(verdict);
  const lines = [
    `${name}: ${certainty === null ? "may open" : certainty ? "will open" : "will not open"}`,
    ...(chosen === undefined ? [] : [`key: ${titleOf(chosen)}`]),
    ...(token === undefined ? [] : [`token: ${tokenText(token)}`]),
    ...(unseen === undefined ? [] : ["way: open would log in to this token to look for the key"]),
    ...(verdict.passphrase ? ["way: open asks for the passphrase at the terminal"] : []),
    ...(chosen === undefined ? [] : prospectLines(chosen)),
    ...(cause === undefined ? [] : [`cause: ${cause.message}`]),
    ...(cause?.hint === undefined ? [] : [`remedy: ${cause.hint}`]),
    ...origin,
  ];
  return indented(lines);
}

// ── Of this machine ──

async function ofMachine(args: Arguments, tokens: Tokens, context: Context): Promise<number> {
  const texts = args.texts("identity");
  const [text, ...more] = texts;
  if (more.length > 0 || (text !== undefined && !isPkcs11Uri(text))) {
    throw new UsageError("ERR_USAGE", "without a file, -i is one pkcs11: URI");
  }
  const uri = text === undefined ? {} : tokens.uri(text);
  const access = await tokens.access();
  const diagnosis = await access.diagnose(uri);
  const cause = faultOf(diagnosis, text);
  const exit = cause === undefined ? EXIT.done : exitStatus(cause);
  const left = leftBehind(context);
  const data = { works: cause === undefined, exit, cause: cause ? causeData(cause) : null };
  await write(
    context.io.stdout,
    args.flag("json")
      ? json({ ...data, ...diagnosis, leftBehind: left })
      : describeMachine(diagnosis, left, cause),
  );
  return exit;
}

/** Why no token can be used, or not the one that was asked for. */
function faultOf({ modules }: Diagnosis, asked: string | undefined): TokenError | undefined {
  const tokens = modules.flatMap((module) => module.tokens);
  const isHopeless = modules.every(({ error }) => error !== undefined);
  const broken = modules.find(({ error, named }) => error !== undefined && (named || isHopeless));
  if (broken?.error !== undefined) {
    return fault({ ...broken.error, ...broken.configuration, code: broken.error.code });
  }
  const [only] = tokens;
  if (only === undefined) {
    const [unread] = modules.flatMap((module) => module.unread);
    if (unread !== undefined) return troubleError({ at: "slot", ...unread });
    const configuration = modules.find((module) => module.configuration)?.configuration;
    const message = asked === undefined ? "no token is present" : `no token matches ${asked}`;
    const hint =
      configuration === undefined ? "insert it" : `${configuration.message}: ${configuration.hint}`;
    return fault({ code: "ERR_TOKEN_NOT_FOUND", message, hint });
  }
  const usable = tokens.find(({ obstacle, error }) => (obstacle ?? error) === undefined);
  if (usable === undefined) {
    const why = only.obstacle ?? only.error;
    return why && fault(why);
  }
  const isKey = asked !== undefined && /[:;](?:object|id)=/.test(asked);
  if (isKey && tokens.every(({ keys }) => keys.length === 0)) {
    const message = `no key matches ${asked}, as far as keys show without a PIN`;
    const hint = "open, seal and keys list log in to look for it, if they are given this URI";
    return fault({ code: "ERR_KEY_NOT_FOUND", message, hint });
  }
  return undefined;
}

function fault({
  code,
  message,
  hint,
}: {
  code: string;
  message: string;
  hint?: string;
}): TokenError {
  return new TokenError(code, message, defined({ hint }));
}

function describeMachine(
  { binding, modules }: Diagnosis,
  left: readonly Leftover[],
  cause: P11SealError | undefined,
): string {
  const verdict =
    cause === undefined
      ? "works: a token can be used"
      : `does not work: ${cause.message}${cause.hint === undefined ? "" : ` (${cause.hint})`}`;
  const through = binding === undefined ? [] : [`modules are called through ${binding}`];
  const parts = [...modules.map(moduleLines), leftBehindLines(left), through, [verdict]];
  return parts
    .filter((lines) => lines.length > 0)
    .map(indented)
    .join("\n");
}

function moduleLines(module: ModuleDiagnosis): string[] {
  const { path, source, library, error, configuration, overlooked, unread, tokens } = module;
  const about =
    library === undefined
      ? "does not load"
      : `${library.manufacturer} ${library.description} ${library.version}, Cryptoki ${library.cryptoki}`;
  return [
    `module ${path}: ${about} (from ${source})`,
    ...(error === undefined ? [] : [`cause: ${error.message}`]),
    ...(configuration === undefined ? [] : [`around it: ${configuration.message}`]),
    ...remedy(configuration?.hint ?? error?.hint),
    ...(overlooked === undefined ? [] : [overlooked.message, ...remedy(overlooked.hint)]),
    ...unread.flatMap((slot) => [
      slot.name,
      `  cause: ${slot.error.message}`,
      ...remedy(slot.error.hint, "  "),
    ]),
    ...(error === undefined && tokens.length + unread.length === 0 ? ["no token"] : []),
    ...tokens.flatMap(tokenLines),
    ...quirkLines(tokens),
  ];
}

function tokenLines({ token, obstacle, keys, error }: TokenDiagnosis): string[] {
  return [
    `token ${tokenText(token)}`,
    ...(obstacle === undefined
      ? []
      : [`  cause: ${obstacle.message}`, ...remedy(obstacle.hint, "  ")]),
    ...(error === undefined ? [] : [`  cause: ${error.message}`, ...remedy(error.hint, "  ")]),
    ...(keys.length === 0 && error === undefined ? ["  shows no key without a PIN"] : []),
    ...keys.flatMap((key) => keyLines(key).map((line) => `  ${line}`)),
  ];
}

/** A quirk is most often the library's: it is told once, with its tokens if others lack it. */
function quirkLines(tokens: readonly TokenDiagnosis[]): string[] {
  const facts = new Set(tokens.flatMap(({ quirks }) => quirks.map(({ fact }) => fact)));
  return [...facts].map((fact) => {
    const having = tokens.filter(({ quirks }) => quirks.some((one) => one.fact === fact));
    const labels = having.map(({ token }) => `"${token.label}"`);
    return `quirk${having.length < tokens.length ? ` of ${fewOf(labels, 3)}` : ""}: ${fact}`;
  });
}

function keyLines({ label, kind, uri, plan, agePlan, findings }: KeyDiagnosis): string[] {
  const [first] = stepsToTry(plan);
  const verb = plan.operation === "sign" ? "sign" : "open";
  const will = isPlanCertain(plan) ? `${verb}s` : `may ${verb}`;
  const how = first === undefined ? `${verb}s nothing` : `${will} with ${first.way}`;
  return [
    `key ${label === "" ? "(no label)" : `"${label}"`}, ${kind}, ${uri}: ${how}`,
    ...(first === undefined ? planLines(plan) : inDoubt(plan)).map((line) => `  ${line}`),
    ...(plan.assumed.includes(SHARED_NAMES) ? [`  assumed: ${SHARED_NAMES}`] : []),
    ...(agePlan === undefined ? [] : ageLines(agePlan).map((line) => `  ${line}`)),
    ...findings.map(({ severity, rule, message }) => `  ${severity} ${rule}: ${message}`),
  ];
}

function ageLines(plan: Plan): string[] {
  const way = ageWay(plan);
  const doubt = ageDoubtIn(plan);
  if (way === undefined) return [`as age's ssh-rsa: opens nothing: ${doubt ?? ""}`];
  const isCertain = doubt === undefined && plan.assumed.length === 0;
  const will = isCertain ? "opens" : "may open";
  return [
    `as age's ssh-rsa: ${will} with ${way.way}`,
    ...(doubt === undefined ? [] : [`  in doubt: ${doubt}`]),
  ];
}

function remedy(hint: string | undefined, before = ""): string[] {
  return hint === undefined ? [] : [`${before}remedy: ${hint}`];
}

/** The flag for a PIN that is set is missing on HSMs whose PIN is set: nothing certain is said. */
const PIN_WORDS: Readonly<Record<PinState, string>> = {
  ...{ ok: "ok", low: "low", locked: "locked", "final-try": "at its final try" },
  "not-set": "perhaps not set",
};

function tokenText(token: Prospect["token"] & object): string {
  const { label, serial, manufacturer, model, loginRequired, pin, pinPad } = token;
  const states = [
    loginRequired ? `PIN ${PIN_WORDS[pin]}` : "no PIN needed",
    ...(pinPad ? ["PIN typed on the reader"] : []),
  ];
  const maker = [manufacturer, model].filter((one) => one !== "").join(" ");
  return `"${label}" (serial ${serial || "none"}), ${maker}: ${states.join(", ")}`;
}

/** The first line, with the others indented below it. */
function indented([first = "", ...others]: readonly string[]): string {
  return [first, ...others.map((line) => `  ${line}`)]
    .map((line) => `${printable(line)}\n`)
    .join("");
}
