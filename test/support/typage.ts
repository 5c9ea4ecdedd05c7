/**
 * typage, age in TypeScript by its author, as far as tests use it. Its own declarations need the
 * DOM's types, so it is loaded without them.
 */
interface Encrypter {
  addRecipient(recipient: string): void;
  setPassphrase(passphrase: string): void;
  setScryptWorkFactor(logN: number): void;
  encrypt(plaintext: Uint8Array): Promise<Uint8Array>;
}

interface Decrypter {
  addIdentity(identity: string | TypageIdentity): void;
  decrypt(file: Uint8Array): Promise<Uint8Array>;
}

/** An identity of the caller's making: the file key, if one of the stanzas is its own. */
interface TypageIdentity {
  unwrapFileKey(
    stanzas: readonly { readonly args: readonly string[]; readonly body: Uint8Array }[],
  ): Promise<Uint8Array | null>;
}

interface Typage {
  readonly Encrypter: new () => Encrypter;
  readonly Decrypter: new () => Decrypter;
  readonly armor: { encode(file: Uint8Array): string; decode(text: string): Uint8Array };
}

const name = "age-encryption" as string;
export const { Encrypter, Decrypter, armor } = (await import(name)) as Typage;
