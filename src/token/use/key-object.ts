/** A private key object on a token that is logged in. Every way to use a key starts from one. */
import type { SinglePublicKey } from "../../keys/key.js";
import type { Token } from "../session/token.js";

export interface KeyObjectOnToken<PublicHalf extends SinglePublicKey = SinglePublicKey> {
  readonly token: Token;
  /** CK_OBJECT_HANDLE. */
  readonly object: Buffer;
  readonly publicKey: PublicHalf;
  readonly trace: (line: string) => void;
}
