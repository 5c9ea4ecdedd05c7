/**
 * Chooses the binding that calls modules: pkcs11js, a compiled addon made for PKCS#11, or koffi,
 * which comes compiled, where pkcs11js could not be. P11SEAL_BINDING overrides the choice.
 */
import { TokenError } from "../../errors.js";
import type { PKCS11 } from "pkcs11js";
import type { Binding, Cryptoki } from "./binding.js";
import { FfiCryptoki } from "./ffi/ffi-cryptoki.js";
import { loadKoffi } from "./ffi/koffi.js";

/**
 * Loads the first binding that can be loaded.
 *
 * @throws TokenError `ERR_NATIVE_MISSING` when neither package can be loaded, or the one that
 *   P11SEAL_BINDING names; `ERR_BINDING` when it names something else
 */
export async function loadBinding(
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<Binding> {
  const causes: unknown[] = [];
  for (const load of wantedLoaders(env["P11SEAL_BINDING"])) {
    try {
      return await load();
    } catch (cause) {
      causes.push(cause);
    }
  }
  throw missing(env["P11SEAL_BINDING"], causes);
}

const LOADERS: Readonly<Record<Binding["name"], () => Promise<Binding>>> = {
  pkcs11js: async () => {
    // The package is CommonJS, which its declarations do not say.
    const loaded = (await import("pkcs11js")) as unknown as { default: typeof import("pkcs11js") };
    const { PKCS11 } = loaded.default;
    return { name: "pkcs11js", newModule: () => takingBytes(new PKCS11()) };
  },
  koffi: async () => {
    const koffi = await loadKoffi();
    return { name: "koffi", newModule: () => new FfiCryptoki(koffi) };
  },
};

/** pkcs11js takes a PIN as a string, which can't be wiped, so it is made only for the call. */
function takingBytes(native: PKCS11): Cryptoki {
  const login = native.C_Login.bind(native);
  return Object.assign(native, {
    C_Login: (session: Buffer, user: number, pin: string | Buffer) => {
      login(session, user, typeof pin === "string" ? pin : pin.toString("utf8"));
    },
  });
}

/** An empty P11SEAL_BINDING counts as unset. */
function wantedLoaders(wanted: string | undefined): (() => Promise<Binding>)[] {
  if (wanted === undefined || wanted === "") return [LOADERS.pkcs11js, LOADERS.koffi];
  if (isBindingName(wanted)) return [LOADERS[wanted]];
  throw new TokenError("ERR_BINDING", `P11SEAL_BINDING is "${wanted}", which is no binding`, {
    hint: "it can be pkcs11js or koffi; without it, p11seal chooses",
  });
}

function isBindingName(name: string): name is Binding["name"] {
  return Object.hasOwn(LOADERS, name);
}

function missing(wanted: string | undefined, causes: readonly unknown[]): TokenError {
  const cause = new AggregateError(causes);
  if (wanted === "koffi" || wanted === "pkcs11js") {
    return new TokenError("ERR_NATIVE_MISSING", `P11SEAL_BINDING names ${wanted}, ${NOT_LOADED}`, {
      hint: `run npm install ${wanted}, or unset P11SEAL_BINDING`,
      cause,
    });
  }
  return new TokenError("ERR_NATIVE_MISSING", "neither pkcs11js nor koffi can be loaded", {
    hint: "using a token needs one of them: run npm install koffi, which needs no compiler",
    cause,
  });
}

const NOT_LOADED = "which is not installed or not built";
