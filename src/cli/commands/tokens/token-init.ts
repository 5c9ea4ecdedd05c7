/** `p11seal token init`: a development token on SoftHSM, without any configuration by hand. */
import { resolve } from "node:path";
import { defined } from "../../../defined.js";
import { UsageError } from "../../../errors.js";
import { requireExactFolder } from "../../../store/exact.js";
import { TokenProcess } from "../../../token/process/token-process.js";
import { overlookedTokens } from "../../../token/modules/configuration.js";
import { developmentToken, namedSoftHsmConf } from "../../../token/modules/discover.js";
import { randomPin } from "../../../token/random-pin.js";
import type { PinReferrer, TokenInfo } from "../../../token/values.js";
import type { Arguments } from "../../arguments/arguments.js";
import { homeOf } from "../../io/home.js";
import { write } from "../../io/io.js";
import { pinReferrer } from "../../find/pins.js";
import { printable } from "../../../printable.js";
import { json } from "../../io/table.js";
import type { Context } from "../../command.js";
import { type EnvForm, envLines } from "./env-lines.js";

export async function tokenInitCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io, report } = context;
  const form = args.text("env") as EnvForm | undefined;
  if (form !== undefined && args.flag("json")) {
    throw new UsageError("ERR_USAGE", "--env and --json exclude each other");
  }
  const sources = { user: args.text("pin-source"), so: args.text("so-pin-source"), uris: [] };
  const referrer = pinReferrer(sources, context);
  const named = {
    user: sources.user ?? io.env["P11SEAL_PIN_SOURCE"],
    so: sources.so ?? io.env["P11SEAL_SO_PIN_SOURCE"],
  };
  const [userPin, soPin] = [randomPin(), randomPin()];
  // Where variables are printed there may be nobody to ask.
  const pin: PinReferrer = (request) => {
    if (form === undefined || named[request.kind] !== undefined) return referrer(request);
    return Promise.resolve(request.kind === "user" ? userPin : soPin);
  };
  const module = args.text("module");
  if (module !== undefined) requireExactFolder(module);
  const home = homeOf(io);
  const tokens = new TokenProcess({ home, env: io.env, pin });
  try {
    const token = await tokens.initDevelopmentToken({
      label: args.required("label"),
      ...defined({ module: module === undefined ? undefined : resolve(module) }),
    });
    const shown = (): string => (args.flag("json") ? json(token) : `${printable(token.uri)}\n`);
    await write(
      io.stdout,
      form === undefined
        ? shown()
        : envLines(form, {
            ...variablesOf(token, namedSoftHsmConf(io.env) ?? developmentToken(home).conf),
            P11SEAL_HOME: home,
            ...(named.user === undefined
              ? { PKCS11_PIN: userPin, P11SEAL_PIN_SOURCE: "env:PKCS11_PIN" }
              : { P11SEAL_PIN_SOURCE: named.user }),
          }),
    );
    const overlooked = overlookedTokens({ home, env: io.env });
    if (overlooked !== undefined) report.note(`${overlooked.message}; ${overlooked.hint}`);
    report.note("a development token: its keys are files on this disk, protected only by the PIN");
    report.note(
      `next: p11seal keys generate --token '${token.uri}' --label exchange --type rsa:3072`,
    );
  } finally {
    await tokens.close();
  }
}

/** As a test token has them (docs/testing/exec.md). */
function variablesOf({ module, label, uri }: TokenInfo, conf: string): Record<string, string> {
  return {
    PKCS11_MODULE_PATH: module,
    SOFTHSM2_CONF: conf,
    PKCS11_TOKEN_LABEL: label,
    PKCS11_URI: uri,
  };
}
