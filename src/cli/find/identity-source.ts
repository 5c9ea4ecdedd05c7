/** What a part of what `-i` names can do: find identities, before and after a login. */
import type { MessageInfo } from "../../envelope/message-info.js";
import type { ExchangePublicKey, Identity, MlKemPublicKey } from "../../keys/key.js";
import type { Pkcs11Uri } from "../../token/uri.js";
import type { TokenInfo } from "../../token/values.js";

export type ExchangeIdentity = Identity<ExchangePublicKey | MlKemPublicKey>;

/** A part of what `-i` names. */
export interface IdentitySource {
  /** What can be seen without a PIN. */
  readonly find: (info?: MessageInfo) => Promise<readonly ExchangeIdentity[]>;
  /** What can be put together from keys that were found. */
  readonly join?: (
    info: MessageInfo,
    ...keys: readonly (() => Promise<readonly ExchangeIdentity[]>)[]
  ) => Promise<readonly ExchangeIdentity[]>;
  /** What else there is after login. */
  readonly findMore?: (
    info: MessageInfo,
    beforeLogin: (() => Promise<void>) | undefined,
  ) => Promise<readonly ExchangeIdentity[]>;
  /** Which tokens it looks at. */
  readonly uri?: Pkcs11Uri;
  readonly unseen?: () => TokenInfo | undefined;
  /** What would help if no key matches. */
  readonly advice?: () => readonly string[];
}
