/** File keys out of age's stanzas, with keys on tokens. */
import { AuthenticationError, P11SealError, TokenError } from "../errors.js";
import { wrappedBy, wrappedKeys } from "../envelope/age/age-wrap.js";
import { parseStanza, type Stanza as ParsedStanza } from "../envelope/age/stanzas.js";
import type { Secret } from "../secret.js";
import { contentKeyOf, isUnfit, isUnnamed, type WrappedKey } from "../wrap/opener.js";
import type { AgeClient } from "./age-client.js";
import { type FileKeyOpener, StanzaRefused } from "./identity-v1.js";
import { parsePluginIdentity } from "./plugin-identity.js";
import type { Stanza } from "./stanza-stream.js";
import { KeysOfIdentity, type ReachedKey, type Tokens } from "./token-keys.js";

/** The types that a key on a token can open. */
const TYPES: ReadonlySet<string> = new Set([
  "X25519",
  "p256tag",
  "mlkem768p256tag",
  "piv-p256",
  "ssh-rsa",
]);

/** A stanza that is for a key, or may be. */
interface Candidate {
  readonly stanza: Stanza;
  readonly identity: number;
  readonly key: ReachedKey;
  readonly wrap: WrappedKey;
}

export class TokenFileKeys implements FileKeyOpener {
  readonly #client: Pick<AgeClient, "show">;
  readonly #tokens: Tokens;
  readonly #identities: KeysOfIdentity[] = [];
  readonly #parsed = new Map<Stanza, ParsedStanza>();
  /** Identities whose key is not there, which was said. */
  readonly #absent = new Set<KeysOfIdentity>();

  constructor(client: Pick<AgeClient, "show">, tokens: Tokens) {
    this.#client = client;
    this.#tokens = tokens;
  }

  addIdentity(text: string): void {
    this.#identities.push(new KeysOfIdentity(parsePluginIdentity(text), this.#tokens));
  }

  isKnown(stanza: Stanza): boolean {
    if (!TYPES.has(stanza.type)) return false;
    this.#parsed.set(stanza, parseStanza(stanza));
    return true;
  }

  async unwrap(stanzas: readonly Stanza[]): Promise<Secret | undefined> {
    const candidates = await this.#candidates(stanzas);
    const wrapped = wrappedKeys(stanzas.flatMap((one) => this.#parsed.get(one) ?? []));
    let refused: StanzaRefused | undefined;
    for (const { stanza, identity, key, wrap } of candidates) {
      try {
        const fileKey = await contentKeyOf(await key.unlock(), wrap, wrapped);
        if (fileKey !== null) return fileKey;
        if (isUnnamed(wrap)) continue;
        refused ??= new StanzaRefused(stanza, identity, notAuthentic(stanza));
      } catch (error) {
        if (!(error instanceof P11SealError)) throw error;
        const refusal = new StanzaRefused(stanza, identity, advised(error));
        // What the key can't do says nothing of the others. A token that refuses ends it all: no
        // second PIN is asked for on the chance that it helps.
        if (!isUnfit(error)) throw refusal;
        refused ??= refusal;
      }
    }
    if (refused !== undefined) throw refused;
    return undefined;
  }

  close(): Promise<void> {
    return this.#tokens.close();
  }

  /** What may open one of the stanzas: first what is known to be for its key. */
  async #candidates(stanzas: readonly Stanza[]): Promise<readonly Candidate[]> {
    const candidates: Candidate[] = [];
    for (const [identity, keys] of this.#identities.entries()) {
      // A stanza without a tag costs a login to try: only a key that the user names is worth that.
      const worth = stanzas.filter(({ type }) => keys.isNamed || type !== "X25519");
      if (worth.length === 0) continue;
      for (const key of await this.#reach(keys)) {
        for (const stanza of worth) {
          const parsed = this.#parsed.get(stanza);
          const wrap = parsed && wrappedBy(parsed, key.publicKey);
          if (wrap !== undefined) candidates.push({ stanza, identity, key, wrap });
        }
      }
    }
    const named = candidates.filter(({ wrap }) => !isUnnamed(wrap));
    return [...named, ...candidates.filter(({ wrap }) => isUnnamed(wrap))];
  }

  /** The keys of an identity. That there is none is said, but no failure: another may open it. */
  async #reach(keys: KeysOfIdentity): Promise<readonly ReachedKey[]> {
    try {
      return await keys.find();
    } catch (error) {
      if (!(error instanceof P11SealError)) throw error;
      const isNew = !this.#absent.has(keys);
      this.#absent.add(keys);
      const { message, hint } = error;
      if (isNew) await this.#client.show(hint === undefined ? message : `${message} (${hint})`);
      return [];
    }
  }
}

/** Nobody can give the plugin an option. */
function advised(error: P11SealError): P11SealError {
  if (error.code !== "ERR_PIN_FINAL_TRY") return error;
  return new TokenError(error.code, error.message, {
    hint: "another wrong PIN locks it; p11seal open --force uses the last try, for age files too",
  });
}

function notAuthentic({ type }: Stanza): AuthenticationError {
  const message = `the file's ${type} stanza was altered, or was made with another key`;
  return new AuthenticationError("ERR_NOT_AUTHENTIC", message, {
    hint: "ask the sender for it again, sealed to the key you export now",
  });
}
