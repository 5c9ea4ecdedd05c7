/** `p11seal tokens`: which modules there are, and which tokens they show. Asks for no PIN. */
import type { ModuleInfo, PinState, TokenInfo, Trouble } from "../../../token/values.js";
import type { Arguments } from "../../arguments/arguments.js";
import { write } from "../../io/io.js";
import { json, table } from "../../io/table.js";
import { withTokens } from "../../find/tokens.js";
import { overlookedText, troubleError, troubleText, whyEmpty } from "../../find/troubles.js";
import type { Context } from "../../command.js";

export async function tokensCommand(args: Arguments, context: Context): Promise<undefined> {
  await withTokens(args, context, async (tokens) => {
    const access = await tokens.access();
    const modules = await access.modules();
    const found = await access.tokens();
    const troubles = await access.troubles({}, "tokens");
    const unread = troubles.filter(({ at }) => at === "slot");
    const { stdout } = context.io;
    await write(
      stdout,
      args.flag("json")
        ? json({ modules, tokens: found, unread: unread.map(unreadData) })
        : describe(modules, found, stdout.columns),
    );
    const trouble = troubles.find(({ at, isNamed }) => at === "module" && isNamed);
    if (trouble !== undefined) throw troubleError(trouble);
    const why = found.length === 0 ? await whyEmpty({}, access) : undefined;
    if (why !== undefined) context.report.note(why);
    for (const slot of unread) context.report.note(troubleText(slot));
    for (const line of overlookedText(troubles)) context.report.note(line);
  });
}

function unreadData({ name, module, error }: Trouble): object {
  return { slot: name, module, error };
}

function describe(
  modules: readonly ModuleInfo[],
  tokens: readonly TokenInfo[],
  columns: number | undefined,
): string {
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
  return [table(rows, columns), table(found, columns)].filter((part) => part !== "").join("\n");
}

function stateOf(token: TokenInfo): string {
  const states = [
    token.loginRequired ? PIN_STATES[token.pin] : "no PIN needed",
    ...(token.pinPad ? ["PIN typed on the reader"] : []),
    ...(token.writeProtected ? ["write-protected"] : []),
  ];
  return states.join(", ");
}

const PIN_STATES: Readonly<Record<PinState, string>> = {
  ok: "PIN ok",
  low: "PIN low: wrong at least once",
  "final-try": "PIN has one try left",
  locked: "PIN locked",
  "not-set": "PIN perhaps not set",
};
