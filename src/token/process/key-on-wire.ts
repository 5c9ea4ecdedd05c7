/**
 * A private key on the other side of the process border: what is told of it there, and the key made
 * of that here, each use of which is one request.
 */
import { defined } from "../../defined.js";
import type {
  OaepDecryption,
  OaepParameters,
  PrivateKey,
  PublicKey,
  UseOptions,
  Using,
} from "../../keys/key.js";
import { type Capability, requireCapability } from "../../keys/purpose.js";
import { Secret } from "../../secret.js";

/** What a private key can do, as a plain value. */
export interface KeyDescription {
  readonly oaep?: Pick<OaepDecryption, "hashes" | "labels">;
  /** Besides. */
  readonly can: readonly Exclude<Capability, "oaep">[];
}

/**
 * One use of a private key, as a plain value. `input`: ciphertext, peer's point, message or
 * payload.
 */
export interface KeyUseRequest {
  readonly capability: Capability;
  readonly input: Uint8Array;
  readonly parameters?: OaepParameters;
  readonly options?: Omit<UseOptions, "using"> & { readonly evenly?: boolean };
}

export function describeKey({ oaep, ...key }: PrivateKey): KeyDescription {
  return {
    ...defined({ oaep: oaep && { hashes: oaep.hashes, labels: oaep.labels } }),
    can: PLAIN.filter((capability) => key[capability] !== undefined),
  };
}

/** Uses the key. A secret's bytes are for one message to whoever asked. */
export async function useKey(
  key: PrivateKey,
  { capability, input, parameters, options }: KeyUseRequest,
  using: Using,
): Promise<Uint8Array | null> {
  if (capability === "sign" || capability === "signPkcs1") {
    return requireCapability(key, capability)(input);
  }
  const how = { ...options, using };
  const secret =
    capability === "oaep"
      ? await requireCapability(key, "oaep").decrypt(input, required(parameters), how)
      : await requireCapability(key, capability)(input, how);
  return secret === null ? null : secret.expose();
}

/** The key as it was described. `request` has the other side use it. */
export function remoteKey<Public extends PublicKey>(
  publicKey: Public,
  { oaep, can }: KeyDescription,
  request: (use: KeyUseRequest, using: Using | undefined) => Promise<Uint8Array | null>,
): PrivateKey<Public> {
  const decrypt =
    (capability: "decryptPkcs1" | "agree") =>
    async (input: Uint8Array, { using, ...options }: UseOptions = {}): Promise<Secret | null> =>
      secret(await request({ capability, input, options }, using));
  const sign =
    (capability: "sign" | "signPkcs1") =>
    async (input: Uint8Array): Promise<Uint8Array> =>
      required(await request({ capability, input }, undefined));
  const has = <F>(capability: (typeof PLAIN)[number], make: F): F | undefined =>
    can.includes(capability) ? make : undefined;
  return {
    publicKey,
    ...defined({
      oaep:
        oaep &&
        ({
          ...oaep,
          decrypt: async (input, parameters, { using, ...options } = {}) =>
            secret(await request({ capability: "oaep", input, parameters, options }, using)),
        } satisfies OaepDecryption),
      decryptPkcs1: has("decryptPkcs1", decrypt("decryptPkcs1")),
      agree: has("agree", decrypt("agree")),
      sign: has("sign", sign("sign")),
      signPkcs1: has("signPkcs1", sign("signPkcs1")),
    }),
  };
}

const PLAIN = ["decryptPkcs1", "agree", "sign", "signPkcs1"] as const satisfies Exclude<
  Capability,
  "oaep"
>[];

function secret(bytes: Uint8Array | null): Secret | null {
  return bytes === null ? null : new Secret(bytes);
}

function required<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new TypeError("a use of a key is incomplete");
  return value;
}
