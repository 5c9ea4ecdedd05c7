/** `p11seal tokens`: which modules there are, and which tokens they show. Asks for no PIN. */
import { defined } from "../../../defined.js";
import { TokenError } from "../../../errors.js";
import type { ModuleInfo, PinState, TokenInfo } from "../../../token/values.js";
import type { Arguments } from "../../arguments/arguments.js";
import { write } from "../../io/io.js";
import { json, table } from "../../io/table.js";
import { withTokens } from "../../find/tokens.js";
import type { Context } from "../../command.js";

export async function tokensCommand(args: Arguments, context: Context): Promise<undefined> {
  await withTokens(args, context, async (tokens) => {
    const access = await tokens.access();
    const modules = await access.modules();
    const found = await access.tokens();
    const { stdout } = context.io;
    await write(
      stdout,
      args.flag("json") ? json({ modules, tokens: found }) : describe(modules, found),
    );
    requireUsable(modules, args.texts("module").length > 0);
    if (found.length === 0) context.report.note("no token is present");
  });
}

/** A module that was named must work; those that were discovered may be broken. */
function requireUsable(modules: readonly ModuleInfo[], asked: boolean): void {
  const broken = modules.find(({ error }) => error !== undefined);
  if (!asked || broken?.error === undefined) return;
  const { code, message, hint } = broken.error;
  throw new TokenError(code, message, defined({ hint }));
}

function describe(modules: readonly ModuleInfo[], tokens: readonly TokenInfo[]): string {
  const rows: string[][] = [];
  for (const module of modules) {
    const { library, error } = module;
    const about =
      library === undefined
        ? (error?.message ?? "not loaded")
        : `${library.manufacturer} ${library.description} ${library.version}`;
    rows.push(["module", module.path, about, `from ${module.source}`]);
  }
  const found = tokens.map((token) => [
    "token",
    token.label,
    `serial ${token.serial || "none"}`,
    [token.manufacturer, token.model].filter((text) => text !== "").join(" "),
    stateOf(token),
    token.uri,
  ]);
  return [table(rows), table(found)].filter((part) => part !== "").join("\n");
}

function stateOf(token: TokenInfo): string {
  const states = [
    token.loginRequired ? PIN_STATES[token.pin] : "no PIN needed",
    ...(token.pinPad ? ["PIN typed on the reader: not supported"] : []),
    ...(token.writeProtected ? ["write-protected"] : []),
  ];
  return states.join(", ");
}

const PIN_STATES: Readonly<Record<PinState, string>> = {
  ok: "PIN ok",
  low: "PIN low: wrong at least once",
  "final-try": "PIN has one try left",
  locked: "PIN locked",
  "not-set": "PIN not set",
};
