/**
 * Development tokens: SoftHSM with a configuration of its own in the user's data folder, so that
 * users need not write one. Keys are files protected by the PIN: for trials and tests only.
 */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { TokenError, UsageError } from "../../errors.js";
import { call } from "../modules/call.js";
import { CKU, SESSION_FLAG, TOKEN_FLAG } from "../modules/constants.js";
import { developmentToken, namedSoftHsmConf, softHsmPaths } from "../modules/discover.js";
import { requireLength } from "./pin-refusals.js";
import { type Module, openModule } from "../modules/module.js";
import { checkPin } from "./pin.js";
import { Session } from "./session.js";
import { tokensInSlots, readDetails, type TokenDetails } from "./token-info.js";
import type { PinProvider, TokenInfo } from "../values.js";
import type { SystemPaths } from "../modules/well-known.js";

export interface DevelopmentTokenOptions {
  /** P11SEAL_HOME: the data folder. Created if missing. */
  readonly home: string;
  /** 1 to 32 bytes of UTF-8. */
  readonly label: string;
  /**
   * SoftHSM's library; by default `P11SEAL_SOFTHSM2`, the one used last, or one at a usual path.
   */
  readonly module?: string | undefined;
  /** A `SOFTHSM2_CONF` in it overrides the data folder, as it does in discovery. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pin: PinProvider;
  readonly soPin: PinProvider;
  /** By default this machine's paths; tests pass their own. */
  readonly system?: SystemPaths | undefined;
}

/**
 * Makes a token.
 *
 * @throws UsageError `ERR_TOKEN_LABEL`; TokenError `ERR_SOFTHSM_MISSING`, `ERR_TOKEN_EXISTS`, those
 *   of the PIN providers and of loading a module.
 */
export async function initDevelopmentToken(options: DevelopmentTokenOptions): Promise<TokenInfo> {
  const { home, label, env } = options;
  const bytes = Buffer.byteLength(label, "utf8");
  if (bytes < 1 || bytes > LABEL_BYTES || /\p{Cc}/u.test(label) || label !== label.trim()) {
    throw new UsageError(
      "ERR_TOKEN_LABEL",
      `a token's label has 1 to ${LABEL_BYTES} bytes, no control characters and no blanks around it`,
    );
  }
  const path = options.module ?? softHsmPaths(options)[0];
  if (path === undefined) {
    throw new TokenError("ERR_SOFTHSM_MISSING", "SoftHSM is not installed", {
      hint: "install it (Debian: apt install softhsm2, macOS: brew install softhsm), or set P11SEAL_SOFTHSM2 to its library",
    });
  }
  const conf = namedSoftHsmConf(env) ?? configure(home, path);
  const module = await openModule({
    path,
    source: "token init",
    explicit: true,
    environment: { SOFTHSM2_CONF: conf },
  });
  try {
    return await init(module, options);
  } finally {
    await module.close();
  }
}

/** CK_TOKEN_INFO's label, blank-padded. */
const LABEL_BYTES = 32;

/** Writes the configuration once; what the user changed in it since stays. */
function configure(home: string, module: string): string {
  const files = developmentToken(home);
  if (/[\r\n]/.test(files.tokens)) {
    throw new UsageError("ERR_HOME", "the data folder's name has a line break");
  }
  mkdirSync(files.tokens, { recursive: true, mode: 0o700 });
  // Also when they were there before, or when the umask took more than it should.
  for (const folder of [files.folder, files.tokens]) chmodSync(folder, 0o700);
  const text = [
    "# A p11seal development token. Its keys are the files below, protected by the PIN alone.",
    `directories.tokendir = ${files.tokens}`,
    "objectstore.backend = file",
    "log.level = ERROR",
    "slots.removable = false",
    "",
  ].join("\n");
  try {
    writeFileSync(files.conf, text, { mode: 0o600, flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  writeFileSync(files.module, `${module}\n`, { mode: 0o600 });
  return files.conf;
}

async function init(
  module: Module,
  { label, pin, soPin }: DevelopmentTokenOptions,
): Promise<TokenInfo> {
  const { present: tokens } = tokensInSlots(module);
  if (tokens.some(({ details }) => details.info.label === label)) {
    throw new TokenError("ERR_TOKEN_EXISTS", `a token labelled "${label}" exists already`, {
      hint: "choose another label; nothing was changed",
    });
  }
  const slot = freeSlot(module);
  const details = readDetails(module, slot);
  // Get and check both PINs before anything is created: a half-made token would be in the way.
  const pins = {
    so: await newPin(soPin, "so", label, details),
    user: await newPin(pin, "user", label, details),
  };
  const { native } = module;
  const padded = label + " ".repeat(LABEL_BYTES - Buffer.byteLength(label, "utf8"));
  call("C_InitToken", () => native.C_InitToken(slot, pins.so, padded));
  const flags = SESSION_FLAG.SERIAL | SESSION_FLAG.READ_WRITE;
  const handle = call("C_OpenSession", () => native.C_OpenSession(slot, flags));
  const session = new Session(module, slot, handle);
  try {
    call("C_Login", () => {
      native.C_Login(handle, CKU.SO, pins.so);
    });
    call("C_InitPIN", () => {
      native.C_InitPIN(handle, pins.user);
    });
    call("C_Logout", () => {
      native.C_Logout(handle);
    });
  } finally {
    session.close();
  }
  return readDetails(module, slot).info;
}

/** SoftHSM always has one slot with an uninitialized token. */
function freeSlot(module: Module): Buffer {
  const { native } = module;
  const slots = call("C_GetSlotList", () => native.C_GetSlotList(true));
  const free = slots.find((slot) => {
    const { flags } = call("C_GetTokenInfo", () => native.C_GetTokenInfo(slot));
    return (flags & TOKEN_FLAG.TOKEN_INITIALIZED) === 0;
  });
  if (free !== undefined) return free;
  throw new TokenError("ERR_TOKEN_NOT_FOUND", "the module has no slot for a new token", {
    hint: "development tokens need SoftHSM version 2",
  });
}

async function newPin(
  provide: PinProvider,
  kind: "user" | "so",
  label: string,
  details: TokenDetails,
): Promise<string> {
  const { serial, manufacturer, model } = details.info;
  const token = { label, serial, manufacturer, model, pin: "not-set" as const };
  const pin = checkPin(await provide({ token, kind, fresh: true }));
  requireLength(pin, { ...details, info: { ...details.info, label } });
  return pin;
}
