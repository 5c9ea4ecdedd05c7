/** Public keys that lie on tokens, as a key file would have them. No PIN is asked for. */
import { TokenError } from "../errors.js";
import type { OaepHash, PublicKey } from "../keys/key.js";
import type { KeyFile } from "../keys/key-file.js";
import type { KeyInfo, TokenService } from "../token/types.js";
import type { Tokens } from "./tokens.js";

/**
 * The key that a `pkcs11:` URI names, with the OAEP record where it is sure.
 *
 * @throws TokenError `ERR_PUBLIC_KEY_MISSING`; as `findKey`
 */
export async function keyOnToken(text: string, tokens: Tokens): Promise<KeyFile> {
  const uri = tokens.uri(text);
  const access = await tokens.access();
  const key = await tokens.find(uri, () => access.findKey(uri));
  const publicKey = publicHalf(key);
  const oaep = isSignOnly(key) ? undefined : await sureOaep(key, access);
  return {
    publicKey,
    warnings: isSignOnly(key) ? ["the token shows it as a key for signatures"] : [],
    ...(oaep === undefined ? {} : { oaep }),
  };
}

/** @throws TokenError `ERR_PUBLIC_KEY_MISSING` */
export function publicHalf(key: KeyInfo): PublicKey {
  if (key.publicKey !== undefined) return key.publicKey;
  throw new TokenError("ERR_PUBLIC_KEY_MISSING", `${key.uri} has no public half on the token`, {
    hint: "use the key's certificate, or the public key that was kept when it was made",
  });
}

/** The OAEP hash that the key's token undoes, where that is known without a try. */
export async function sureOaep(key: KeyInfo, access: TokenService): Promise<OaepHash | undefined> {
  if (key.publicKey?.type !== "rsa") return undefined;
  return (await access.plan(key, "open")).sureOaep;
}

/** As its public object has it. */
export function isSignOnly({ uses }: KeyInfo): boolean {
  return uses.includes("sign") && !uses.includes("exchange");
}
