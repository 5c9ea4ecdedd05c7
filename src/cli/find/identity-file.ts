/**
 * A file that `-i` names: a private key, age's identities, a hybrid key's half, or `pkcs11:` URIs
 * one a line.
 */
import { FormatError } from "../../errors.js";
import { looksLikeAgeIdentities } from "../../keys/formats/age-keys.js";
import { foreignPrivate } from "../../keys/formats/foreign-private.js";
import { naming } from "../../keys/refusals.js";
import { ageIdentities } from "../../software/age-identities.js";
import { looksLikeMlKem, mlKemIdentity } from "../../software/ml-kem-identity.js";
import { exactText } from "../../store/exact.js";
import { formatUri, isPkcs11Uri } from "../../token/uri.js";
import type { Context } from "../command.js";
import { hybridIn, HybridSource } from "./hybrid-keys.js";
import { identityInFile, warnIfReadable } from "./identity-at.js";
import type { IdentitySource } from "./identity-source.js";
import { readIdentity } from "./token-named.js";
import { TokenSource } from "./token-source.js";
import type { Tokens } from "./tokens.js";

/**
 * @throws FormatError `ERR_IDENTITY_FILE`; as `readIdentity`; whatever is wrong with a key there
 */
export async function sourcesInFile(
  path: string,
  tokens: Tokens,
  context: Context,
): Promise<IdentitySource[]> {
  const bytes = await readIdentity(path, context.io);
  const text = new TextDecoder("utf-8").decode(bytes);
  const hybrid = hybridIn(bytes, path);
  if (hybrid !== undefined) {
    await warnIfReadable(path, context);
    return [new HybridSource(hybrid, path, tokens)];
  }
  if (looksLikeMlKem(text)) {
    const identity = await mlKemIdentity(text, path);
    await warnIfReadable(path, context);
    bytes.fill(0);
    return [{ find: () => Promise.resolve([identity]) }];
  }
  if (text.includes("-----BEGIN ")) {
    const identity = await identityInFile(bytes, path, "open", context);
    bytes.fill(0);
    return [{ find: () => Promise.resolve([identity]) }];
  }
  const lines = text
    .split(/\r?\n/)
    .map((line, at) => ({ uri: line.trim(), where: `${path}:${at + 1}` }))
    .filter(({ uri }) => uri !== "" && !uri.startsWith("#"));
  if (lines.length > 0 && lines.every(({ uri }) => uri.startsWith("AGE-PLUGIN-P11-1"))) {
    const { parsePluginIdentity } = await import("../../plugin/plugin-identity.js");
    return lines.map(({ uri: identity, where }) => {
      const { uri = {} } = naming(where, () => parsePluginIdentity(identity));
      return new TokenSource(tokens.uri(formatUri(uri), where), tokens);
    });
  }
  if (looksLikeAgeIdentities(text)) {
    bytes.fill(0);
    const identities = await ageIdentities(text, path);
    await warnIfReadable(path, context);
    return [{ find: () => Promise.resolve(identities) }];
  }
  // The file may be a secret: nothing of it is quoted.
  if (lines.length === 0 || !lines.every(({ uri }) => isPkcs11Uri(uri))) {
    const foreign = foreignPrivate(bytes, path);
    if (foreign !== undefined) throw foreign;
    throw new FormatError("ERR_IDENTITY_FILE", `"${path}" holds neither a key nor pkcs11: URIs`, {
      hint: "an identity file has one pkcs11: URI a line and # comments, or is a private key in PEM or age's",
    });
  }
  // A comment too: an editor that saved it so has saved the URIs so.
  exactText(
    bytes,
    (line) =>
      new FormatError("ERR_IDENTITY_FILE", `${path}:${line}: not UTF-8`, {
        hint: "save the file as UTF-8, or write such bytes of a URI as %XX",
      }),
  );
  return lines.map(({ uri, where }) => new TokenSource(tokens.uri(uri, where), tokens));
}
