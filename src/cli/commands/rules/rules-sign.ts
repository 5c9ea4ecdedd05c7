/**
 * `p11seal rules sign`: a signature over a rules file. What nobody could obey is not signed, nor
 * what those who saw the last version would refuse.
 */
import { toHex } from "../../../bytes.js";
import { FileError, PolicyError } from "../../../errors.js";
import { parseRules, MAX_RULES_BYTES } from "../../../records/rules/rules-format.js";
import { placeOf } from "../../../records/rules/rules-lookup.js";
import { refuseOlder } from "../../../records/rules/rules-seen.js";
import {
  MAX_SIGNATURE_BYTES,
  readRulesSignature,
  rulesHash,
  SIGNATURE_SUFFIX,
  signRules,
} from "../../../records/rules/rules-signature.js";
import { moment } from "../../../records/duration.js";
import { readRegular } from "../../../store/regular-file.js";
import { quoted } from "../../../store/system-error.js";
import { fingerprintText } from "../../../keys/public-key.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { signerAt } from "../../find/identity-at.js";
import { withTokens } from "../../find/tokens.js";
import { homeOf } from "../../io/home.js";
import { write } from "../../io/io.js";
import { commit, fileOutput } from "../../io/outputs.js";
import { json, table } from "../../io/table.js";

export async function rulesSignCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io } = context;
  const [path = ""] = args.operands;
  const file = await readRegular(path, MAX_RULES_BYTES);
  if (file === undefined) {
    throw new FileError("ERR_READ", `cannot read ${quoted(path)}: no such file`);
  }
  const { version } = parseRules(file.bytes, path);
  if (version === undefined) {
    throw new PolicyError("ERR_RULES_VERSION", `${quoted(path)} has no version`, {
      hint: "write version = 1 at its start, and raise it with each change",
    });
  }
  const target = `${path}${SIGNATURE_SUFFIX}`;
  const sha256 = toHex(rulesHash(file.bytes));
  await requireNewer(target, version, sha256);
  await withTokens(args, context, async (tokens) => {
    const identity = await signerAt(args.required("key"), tokens, context);
    const { publicKey } = identity;
    const signer = toHex(publicKey.fingerprint);
    const { folder } = placeOf(path);
    await refuseOlder(homeOf(io), { folder, signer, version, sha256 });
    const key = await identity.unlock();
    const signedMs = Date.now();
    const output = await fileOutput(target, {
      force: true,
      mode: "public",
      inputs: [],
      durable: true,
    });
    try {
      await output.write(await signRules(file.bytes, { version, signedMs }, publicKey, key));
      await commit(output);
    } finally {
      await output.close();
    }
    const fingerprint = fingerprintText(publicKey);
    const data = {
      signature: target,
      version,
      sha256,
      signer: fingerprint,
      signed: moment(signedMs),
    };
    const rows = [
      ["signature", target],
      ["version", String(version)],
      ["rules", `SHA-256 ${sha256}`],
      ["signed by", fingerprint],
    ] as const;
    await write(io.stdout, args.flag("json") ? json(data) : table(rows));
  });
  return undefined;
}

/** @throws PolicyError `ERR_RULES_VERSION`: the signature that is there is for newer rules */
async function requireNewer(target: string, version: number, sha256: string): Promise<void> {
  const signature = await readRegular(target, MAX_SIGNATURE_BYTES);
  if (signature === undefined) return;
  let signed;
  try {
    signed = readRulesSignature(signature.bytes);
  } catch (error) {
    // A file that holds no signature is replaced.
    if (error instanceof PolicyError) return;
    throw error;
  }
  if (signed.version < version || signed.rulesSha256 === sha256) return;
  throw new PolicyError(
    "ERR_RULES_VERSION",
    `version ${signed.version} is signed already, and these rules have version ${version}`,
    { hint: "raise the version in the rules: whoever has seen the other refuses these" },
  );
}
