/**
 * A module's functions as this project uses them. The types are those of pkcs11js, but written down
 * here: the package is optional, and published declarations have to compile without it. There are
 * two makers, pkcs11js and `ffi/`; load-binding.ts chooses, and checks that the package fits.
 */

/** A package that calls modules. */
export interface Binding {
  readonly name: "pkcs11js" | "koffi";
  /** The object for one more module, whose `load` comes first. */
  newModule(): Cryptoki;
}

/** A slot, session or object: a CK_ULONG in the machine's order. */
type Handle = Buffer;

/** CK_ATTRIBUTE. `template` is its only maker for what goes to a module. */
export interface Attribute {
  type: number;
  value?: number | boolean | Buffer;
}

/** CK_MECHANISM. Its only makers are in template.ts. */
export interface Mechanism {
  mechanism: number;
  /** `type` says which structure it is (`PARAMS`). */
  parameter?: { readonly type: number } & (OaepParameter | PssParameter | EcdhParameter);
}

interface OaepParameter {
  readonly hashAlg: number;
  readonly mgf: number;
  readonly source: number;
  readonly sourceData?: Buffer;
}

interface PssParameter {
  readonly hashAlg: number;
  readonly mgf: number;
  readonly saltLen: number;
}

interface EcdhParameter {
  readonly kdf: number;
  readonly publicData: Buffer;
}

interface Version {
  readonly major: number;
  readonly minor: number;
}

/** A module's functions (PKCS#11 v2.40 §5). */
export interface Cryptoki extends OnThreads {
  load(path: string): void;
  C_Initialize(options: { libraryParameters?: string; flags: number }): void;
  C_Finalize(): void;
  C_GetInfo(): {
    readonly cryptokiVersion: Version;
    readonly manufacturerID: string;
    readonly libraryDescription: string;
    readonly libraryVersion: Version;
  };

  C_GetSlotList(tokenPresent: boolean): Handle[];
  C_GetSlotInfo(slot: Handle): {
    readonly slotDescription: string;
    readonly manufacturerID: string;
    readonly flags: number;
  };
  C_GetTokenInfo(slot: Handle): {
    readonly label: string;
    readonly manufacturerID: string;
    readonly model: string;
    readonly serialNumber: string;
    readonly flags: number;
    readonly minPinLen: number;
    readonly maxPinLen: number;
    readonly firmwareVersion: Version;
  };
  /** The slot of an event; null: there is none, and the call was not to wait for one. */
  C_WaitForSlotEvent(flags: number): Handle | null;
  C_GetMechanismList(slot: Handle): number[];
  C_GetMechanismInfo(
    slot: Handle,
    mechanism: number,
  ): { readonly minKeySize: number; readonly maxKeySize: number; readonly flags: number };
  C_InitToken(slot: Handle, pin: string, label: string): string;
  C_InitPIN(session: Handle, pin: string): void;
  C_SetPIN(session: Handle, old: string, fresh: string): void;

  C_OpenSession(slot: Handle, flags: number): Handle;
  C_CloseSession(session: Handle): void;
  C_GetSessionInfo(session: Handle): object;
  C_Login(session: Handle, userType: number, pin: string | Buffer): void;
  C_Logout(session: Handle): void;

  C_FindObjectsInit(session: Handle, template: Attribute[]): void;
  C_FindObjects(session: Handle, most: number): Handle[];
  C_FindObjectsFinal(session: Handle): void;
  C_GetAttributeValue(
    session: Handle,
    object: Handle,
    template: Attribute[],
  ): readonly { readonly value: unknown }[];
  C_CreateObject(session: Handle, template: Attribute[]): Handle;
  C_CopyObject(session: Handle, object: Handle, template: Attribute[]): Handle;
  C_DestroyObject(session: Handle, object: Handle): void;

  C_DecryptInit(session: Handle, mechanism: Mechanism, key: Handle): void;
  C_Decrypt(session: Handle, input: Buffer, output: Buffer): Buffer;
  C_SignInit(session: Handle, mechanism: Mechanism, key: Handle): void;
  C_Sign(session: Handle, data: Buffer, output: Buffer): Buffer;
  C_UnwrapKey(
    session: Handle,
    mechanism: Mechanism,
    key: Handle,
    wrapped: Buffer,
    template: Attribute[],
  ): Handle;
  C_DeriveKey(session: Handle, mechanism: Mechanism, key: Handle, template: Attribute[]): Handle;
  C_GenerateKeyPair(
    session: Handle,
    mechanism: Mechanism,
    publicHalf: Attribute[],
    privateHalf: Attribute[],
  ): HandlePair;
}

/** The forms of a token's slow functions that run on a thread of their own. */
interface OnThreads {
  C_DecryptAsync(...args: Parameters<Cryptoki["C_Decrypt"]>): Promise<Buffer>;
  C_SignAsync(...args: Parameters<Cryptoki["C_Sign"]>): Promise<Buffer>;
  C_UnwrapKeyAsync(...args: Parameters<Cryptoki["C_UnwrapKey"]>): Promise<Handle>;
  C_DeriveKeyAsync(...args: Parameters<Cryptoki["C_DeriveKey"]>): Promise<Handle>;
  C_GenerateKeyPairAsync(...args: Parameters<Cryptoki["C_GenerateKeyPair"]>): Promise<HandlePair>;
}

interface HandlePair {
  readonly publicKey: Handle;
  readonly privateKey: Handle;
}
