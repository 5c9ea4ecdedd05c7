/**
 * `p11seal keys export`: a key's public half, for those who will seal to it; or an identity, by
 * which age finds the key.
 */
import { ascii } from "../../../bytes.js";
import { defined } from "../../../defined.js";
import { UnsupportedError } from "../../../errors.js";
import { formatPublicKey, type PublicKeyFormat } from "../../../keys/formats/key-file.js";
import type { OaepHash } from "../../../keys/key.js";
import { fingerprintText, HYBRID_PARTS } from "../../../keys/public-key.js";
import { publicHalf } from "../../../token/objects/halves.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { doubtOf, signOnlyOf, sureOaep } from "../../find/token-key.js";
import { wholeKeyAt } from "../../find/hidden-keys.js";
import { hybridAt } from "../../find/hybrid-keys.js";
import { withTokens } from "../../find/tokens.js";
import { commit, fileOutput, standardOutput } from "../../io/outputs.js";
import { oneLine } from "../../../printable.js";
import { binaryToTerminal } from "../../io/terminal-guard.js";

export async function keysExportCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io, report } = context;
  const [text = ""] = args.operands;
  const format = args.required("format") as PublicKeyFormat | "age-identity";
  const path = args.text("output");
  const binary = format === "age-identity" ? undefined : BINARY[format];
  if (path === undefined && binary !== undefined && io.stdout.isTTY === true) {
    throw binaryToTerminal(binary);
  }
  const hybrid = await hybridAt(text, io);
  await withTokens(args, context, async (tokens) => {
    const uri = hybrid === undefined ? tokens.uri(text) : {};
    const output =
      path === undefined || path === "-"
        ? standardOutput(io, [])
        : await fileOutput(path, { force: args.flag("force"), mode: "public", inputs: [] });
    try {
      if (hybrid !== undefined) {
        const comment = HYBRID_PARTS[hybrid.kem].name;
        await output.write(
          formatPublicKey(hybrid, ofPublicKey(format), { comment, signOnly: false }),
        );
        await commit(output);
        report.note(`fingerprint ${fingerprintText(hybrid)}`);
        return;
      }
      const access = await tokens.access();
      const key = await wholeKeyAt(uri, tokens);
      const publicKey = publicHalf(key);
      if (format === "age-identity") {
        const { formatIdentityFile } = await import("../../../plugin/plugin-identity.js");
        await output.write(ascii(formatIdentityFile(key, publicKey)));
        await commit(output);
        report.note(
          "the identity is no secret: it names the key for age -i, which asks for the PIN",
        );
        return;
      }
      let oaep: OaepHash | undefined;
      if (publicKey.type === "rsa" && args.flag("probe")) {
        [oaep] = await access.probeOaep(key);
        if (oaep === undefined) report.note("the token undid OAEP with none of the hashes tried");
      } else {
        oaep = await sureOaep(key, access);
      }
      const signOnly = signOnlyOf(key);
      const doubt = signOnly === true ? undefined : await doubtOf(key, access);
      if (doubt !== undefined) report.note(doubt);
      const options = {
        comment: oneLine(key.label),
        ...defined({ oaep, signOnly }),
      };
      await output.write(formatPublicKey(publicKey, format, options));
      await commit(output);
      report.note(`fingerprint ${fingerprintText(publicKey)}`);
      if (oaep !== undefined && binary !== undefined) {
        report.note(`${binary} has no room for the OAEP record; senders need --oaep ${oaep}`);
      }
    } finally {
      await output.close();
    }
  });
}

const BINARY: Partial<Record<PublicKeyFormat, string>> = {
  der: "a DER file",
  capi: "a PUBLICKEYBLOB",
};

/** @throws UnsupportedError `ERR_KEY_FORMAT`: an age identity is one key on a token */
function ofPublicKey(format: PublicKeyFormat | "age-identity"): PublicKeyFormat {
  if (format !== "age-identity") return format;
  throw new UnsupportedError("ERR_KEY_FORMAT", "a hybrid key has no identity for age", {
    hint: "p11seal open -i FILE opens with it",
  });
}
