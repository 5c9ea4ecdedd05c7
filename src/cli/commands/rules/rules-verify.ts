/** `p11seal rules verify`: whether a rules file would be obeyed here. */
import { join } from "node:path";
import { toHex } from "../../../bytes.js";
import { PolicyError } from "../../../errors.js";
import { fingerprintText } from "../../../keys/public-key.js";
import { configPath } from "../../../records/config.js";
import { moment } from "../../../records/duration.js";
import { RuleBook } from "../../../records/rules/rule-book.js";
import { placeOf } from "../../../records/rules/rules-lookup.js";
import { quoted } from "../../../store/system-error.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { homeOf } from "../../io/home.js";
import { write } from "../../io/io.js";
import { json, table } from "../../io/table.js";

export async function rulesVerifyCommand(args: Arguments, { io }: Context): Promise<undefined> {
  const [path = ""] = args.operands;
  const { folder, name } = placeOf(path);
  const home = homeOf(io);
  const file = await new RuleBook({ home, nowMs: Date.now() }).file(join(folder, name));
  const { signer, version = 0 } = file;
  if (signer === undefined) {
    throw new PolicyError("ERR_RULES_UNSIGNED", `nobody vouches for ${quoted(path)}`, {
      hint: `name the key that signs rules in ${configPath(home)}: rules_signer = "NAME"`,
    });
  }
  const fingerprint = fingerprintText(signer.publicKey);
  const sha256 = toHex(file.hash);
  const signed = moment(signer.signedMs);
  const who = signer.name ?? null;
  const data = { rules: file.path, version, sha256, signer: { name: who, fingerprint }, signed };
  const rows = [
    ["rules", file.path],
    ["version", String(version)],
    ["file", `SHA-256 ${sha256}`],
    ["signed by", who === null ? fingerprint : `${who}, ${fingerprint}`],
    ["signed", signed],
    ["signature", "holds"],
  ] as const;
  await write(io.stdout, args.flag("json") ? json(data) : table(rows));
  return undefined;
}
