/** `p11seal token init`: a development token on SoftHSM, without any configuration by hand. */
import { resolve } from "node:path";
import { defined } from "../../../defined.js";
import { requireExactFolder } from "../../../store/exact.js";
import { TokenProcess } from "../../../token/process/token-process.js";
import { overlookedTokens } from "../../../token/modules/configuration.js";
import type { Arguments } from "../../arguments/arguments.js";
import { homeFolder } from "../../../store/home.js";
import { write } from "../../io/io.js";
import { pinReferrer } from "../../find/pins.js";
import { printable } from "../../../printable.js";
import { json } from "../../io/table.js";
import type { Context } from "../../command.js";

export async function tokenInitCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io, report } = context;
  const sources = { user: args.text("pin-source"), so: args.text("so-pin-source"), uris: [] };
  const pin = pinReferrer(sources, context);
  const module = args.text("module");
  if (module !== undefined) requireExactFolder(module);
  const tokens = new TokenProcess({ home: homeFolder(io.env), env: io.env, pin });
  try {
    const token = await tokens.initDevelopmentToken({
      label: args.required("label"),
      ...defined({ module: module === undefined ? undefined : resolve(module) }),
    });
    await write(io.stdout, args.flag("json") ? json(token) : `${printable(token.uri)}\n`);
    const overlooked = overlookedTokens({ home: homeFolder(io.env), env: io.env });
    if (overlooked !== undefined) report.note(`${overlooked.message}; ${overlooked.hint}`);
    report.note("a development token: its keys are files on this disk, protected only by the PIN");
    report.note(
      `next: p11seal keys generate --token '${token.uri}' --label exchange --type rsa:3072`,
    );
  } finally {
    await tokens.close();
  }
}
