/** Tokens whose keys are in memory, and which count what they are asked. */
import { TokenError } from "../../src/errors.js";
import type { KnownPublicKey, PrivateKey, SinglePublicKey } from "../../src/keys/key.js";
import type { TokenService } from "../../src/token/service.js";
import { formatUri } from "../../src/token/uri.js";
import type { KeyInfo, PinReferrer, TokenInfo } from "../../src/token/values.js";
import { counting, identityOf, senderOf } from "./identities.js";

export const PIN = "1234";

export type ExchangeName = "rsa2048" | "p256" | "x25519";
export type SignerName = "p384" | "rsa3072" | "ed25519";

export interface FakeTokens {
  /** As `LoginOptions.connect`: a process for tokens, or what stands for one. */
  readonly connect: (pin: PinReferrer) => TokenService;
  readonly keys: readonly KeyInfo[];
  /** Operations with private keys, of all connections. */
  operations(): number;
  /** How many connections were opened, and are open. */
  opened: number;
  open: number;
  /** PINs that were sent. */
  readonly sent: string[];
  /** False: the token was pulled. */
  isPresent: boolean;
  /** Pulls the token and puts it back: no login lasts longer. */
  reinsert(): void;
  /** What `findToken`, `keys` and `unlock` fail with, if they are to. */
  fault: Error | undefined;
}

/** What a test key does, and how often it did. */
interface FakeKey {
  readonly publicKey: SinglePublicKey;
  unlock(): Promise<PrivateKey<KnownPublicKey>>;
  operations(): number;
}

function exchangeKey(name: ExchangeName): FakeKey {
  const { publicKey } = identityOf(name);
  const counted = counting(identityOf(name));
  const unlock = (): Promise<PrivateKey<KnownPublicKey>> => counted.identity.unlock();
  return { publicKey, unlock, operations: () => counted.operations.length };
}

function signer(name: SignerName): FakeKey {
  const { publicKey, key } = senderOf(name);
  let signatures = 0;
  const sign = (message: Uint8Array): Promise<Uint8Array> => {
    signatures += 1;
    return (key.sign as NonNullable<PrivateKey["sign"]>)(message);
  };
  const unlock = (): Promise<PrivateKey<KnownPublicKey>> => Promise.resolve({ publicKey, sign });
  return { publicKey, unlock, operations: () => signatures };
}

function isSigner(name: ExchangeName | SignerName): name is SignerName {
  return name === "p384" || name === "rsa3072" || name === "ed25519";
}

/** One token with these test keys: three exchange keys, and three to sign with. */
export function fakeTokens(...names: readonly (ExchangeName | SignerName)[]): FakeTokens {
  const token: TokenInfo = {
    ...{ module: "/fake.so", label: "fake", serial: "1", manufacturer: "M", model: "T", pin: "ok" },
    ...{ pinPad: false, loginRequired: true, writeProtected: false },
    uri: formatUri({ token: "fake", serial: "1" }),
  };
  const byUri = new Map<string, FakeKey>();
  const keys = names.map((name, at): KeyInfo => {
    const key = isSigner(name) ? signer(name) : exchangeKey(name);
    const { publicKey } = key;
    const id = Uint8Array.of(at + 1);
    const uri = formatUri({ token: "fake", object: name });
    byUri.set(uri, key);
    return {
      ...{ token, label: name, id, publicKey, kind: name, uri },
      uses: [isSigner(name) ? "sign" : "exchange"],
      ...{ seenAs: "public key", certificates: [] },
      objects: [{ class: "public key", label: name, id }],
    };
  });
  let insertions = 0;
  const tokens: FakeTokens = {
    ...{ keys, opened: 0, open: 0, sent: [], isPresent: true, fault: undefined },
    reinsert: () => {
      insertions += 1;
    },
    operations: () => [...byUri.values()].reduce((sum, one) => sum + one.operations(), 0),
    connect: (pin) => {
      tokens.opened += 1;
      tokens.open += 1;
      const inserted = insertions;
      let login: Promise<void> | undefined;
      let isClosed = false;
      const requirePresent = (): void => {
        if (tokens.fault !== undefined) throw tokens.fault;
        if (!tokens.isPresent) throw new TokenError("ERR_TOKEN_NOT_FOUND", "no token matches");
      };
      const logIn = async (): Promise<void> => {
        const found = await pin({ token, kind: "user", fresh: false });
        const sent = typeof found === "string" ? found : JSON.stringify(found);
        tokens.sent.push(sent);
        if (sent !== PIN) throw new TokenError("ERR_PIN_REFUSED", "the token refused the PIN");
      };
      const service: Partial<TokenService> = {
        keys: () => Promise.resolve(tokens.isPresent ? [...keys] : []),
        findToken: async () => {
          await Promise.resolve();
          requirePresent();
          return token;
        },
        isLoggedIn: () => Promise.resolve(login !== undefined && insertions === inserted),
        identity: ((key: KeyInfo) => ({
          publicKey: key.publicKey,
          name: key.uri,
          unlock: async () => {
            requirePresent();
            if (isClosed) throw new TypeError("used after it was closed");
            await (login ??= logIn());
            return byUri.get(key.uri)?.unlock();
          },
        })) as TokenService["identity"],
        close: () => {
          if (!isClosed) tokens.open -= 1;
          isClosed = true;
          return Promise.resolve();
        },
      };
      return service as TokenService;
    },
  };
  return tokens;
}
