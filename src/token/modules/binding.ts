/**
 * What this project uses of pkcs11js, in types of its own: the package is optional, and published
 * declarations have to compile without it. `loadBinding` checks that the package fits them.
 */
import { TokenError } from "../../errors.js";

/** A slot, session or object: a CK_ULONG, as pkcs11js carries it. */
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
  C_GetMechanismList(slot: Handle): number[];
  C_GetMechanismInfo(
    slot: Handle,
    mechanism: number,
  ): { readonly minKeySize: number; readonly maxKeySize: number; readonly flags: number };
  C_InitToken(slot: Handle, pin: string, label: string): string;
  C_InitPIN(session: Handle, pin: string): void;

  C_OpenSession(slot: Handle, flags: number): Handle;
  C_CloseSession(session: Handle): void;
  C_GetSessionInfo(session: Handle): object;
  C_Login(session: Handle, userType: number, pin?: string): void;
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

/**
 * Loads pkcs11js. The function that it returns makes the object for one more module.
 *
 * @throws TokenError `ERR_NATIVE_MISSING` when the package is missing or was not built.
 */
export async function loadBinding(): Promise<() => Cryptoki> {
  try {
    // The package is CommonJS, which its declarations do not say.
    const loaded = (await import("pkcs11js")) as unknown as { default: typeof import("pkcs11js") };
    const { PKCS11 } = loaded.default;
    return () => new PKCS11();
  } catch (cause) {
    throw new TokenError(
      "ERR_NATIVE_MISSING",
      "the package pkcs11js is not installed or not built",
      {
        hint: "using a token needs it: with a C++ compiler, make and python3 at hand, run npm install pkcs11js",
        cause,
      },
    );
  }
}
