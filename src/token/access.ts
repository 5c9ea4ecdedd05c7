/**
 * `TokenService` with the modules in this process. Modules are loaded when first needed, and a PIN
 * is asked for at most once per token.
 */
import { defined } from "../defined.js";
import { TokenError } from "../errors.js";
import type { Identity, OaepHash, OaepParameters, PublicKey } from "../keys/key.js";
import type { Purpose, PurposeKeys } from "../keys/purpose.js";
import { destroyCertificates, storeCertificate } from "./objects/stored-certificates.js";
import { auditKey } from "./objects/key-audit.js";
import type { Discovery } from "./modules/discover.js";
import { type Diagnosis, diagnose, obstacleTo } from "./diagnosis.js";
import { type Precautions, TokenFinder } from "./session/find.js";
import { KeyFinder, listed, requireKeyType } from "./objects/find-keys.js";
import { requireFindable } from "./objects/findable.js";
import { generatePair, requireSound } from "./objects/generate.js";
import { identityFacts, keyName, suitedHalf } from "./objects/halves.js";
import { findPrivateKey, findPublicKeys, listKeys } from "./objects/key-list.js";
import { kindOf } from "./objects/public-half.js";
import { listMechanisms } from "./session/mechanisms.js";
import { type Plan, planFor, type PlanOperation } from "./use/plan.js";
import { PrivateKeys } from "./use/private-keys.js";
import { isForSigning, shownSituation } from "./use/situation.js";
import type { Session } from "./session/session.js";
import { changePin, type PinChange, unblockPin } from "./session/pin-change.js";
import type { Token } from "./session/token.js";
import { pinPolicy, readDetails, type TokenDetails } from "./session/token-info.js";
import type { DeleteOptions, TokenService } from "./service.js";
import type {
  AtPad,
  ErrorReport,
  Finding,
  GeneratedKey,
  GenerateRequest,
  KeyInfo,
  MechanismInfo,
  ModuleInfo,
  PinAsker,
  PinOwner,
  PinPolicy,
  StoredCertificate,
  TokenInfo,
  Trouble,
  WithOthers,
} from "./values.js";
import type { Pkcs11Uri } from "./uri.js";
import { matchesKey } from "./uri-match.js";

export interface TokenAccessOptions extends Discovery, Precautions {
  /** Asked at most once per token. */
  readonly pin: PinAsker;
  /** Wraps what waits for a PIN to be typed on a reader; by default the person is told nothing. */
  readonly atPad?: AtPad | undefined;
  /** Try a PIN also where a wrong one would lock the token. */
  readonly force?: boolean | undefined;
  /** Gets one line for each thing worth knowing that is not an error. Public values only. */
  readonly trace?: ((line: string) => void) | undefined;
  /**
   * Called after each attempt to log in or to set a PIN, with the error of one that failed. `whose`
   * is whose PIN was sent.
   */
  readonly loginEnded?: ((token: TokenInfo, refusal: unknown, whose: PinOwner) => void) | undefined;
}

export class TokenAccess implements TokenService {
  readonly #options: TokenAccessOptions;
  readonly #finder: TokenFinder;
  readonly #keys: KeyFinder;
  readonly #privateKeys: PrivateKeys;

  constructor(options: TokenAccessOptions) {
    this.#options = options;
    const finder = new TokenFinder(options, this.#trace);
    this.#finder = finder;
    this.#keys = new KeyFinder(finder, this.#trace);
    this.#privateKeys = new PrivateKeys({
      again: (info) => finder.again(info),
      logIn: (token) => this.#logIn(token),
      trace: this.#trace,
    });
  }

  modules(): Promise<ModuleInfo[]> {
    return this.#finder.modules();
  }

  async tokens(): Promise<TokenInfo[]> {
    return (await this.#finder.all({})).map(({ info }) => info);
  }

  async findToken(uri: Pkcs11Uri): Promise<TokenInfo> {
    return (await this.#finder.one(uri)).info;
  }

  keys(uri: Pkcs11Uri = {}): Promise<KeyInfo[]> {
    return this.#keys.all(uri);
  }

  troubles(uri: Pkcs11Uri = {}, depth: "tokens" | "keys" = "keys"): Promise<Trouble[]> {
    return this.#keys.troubles(uri, depth);
  }

  findKey(uri: Pkcs11Uri): Promise<KeyInfo> {
    return this.#keys.one(uri);
  }

  findCopies(uri: Pkcs11Uri): Promise<[KeyInfo, ...KeyInfo[]]> {
    return this.#keys.copies(uri);
  }

  async logIn(uri: Pkcs11Uri): Promise<void> {
    await this.#logIn(await this.#finder.one(uri));
  }

  async obstacle(info: TokenInfo): Promise<ErrorReport | undefined> {
    return obstacleTo(await this.#finder.again(info));
  }

  async pinPolicy(info: TokenInfo): Promise<PinPolicy> {
    // It changes with each PIN that is sent.
    const { module, slot } = await this.#finder.again(info);
    return pinPolicy(readDetails(module, slot));
  }

  changePin(info: TokenInfo): Promise<void> {
    return this.#setPin(info, "user", changePin);
  }

  unblockPin(info: TokenInfo): Promise<void> {
    return this.#setPin(info, "so", unblockPin);
  }

  async withPublicHalf(
    key: KeyInfo,
    candidates: readonly PublicKey[],
  ): Promise<KeyInfo | undefined> {
    const publicKey = await this.#privateKeys.halfAmong(key, candidates);
    return publicKey && { ...key, publicKey, kind: kindOf(publicKey) };
  }

  identity<P extends Purpose = "open">(
    key: KeyInfo,
    purpose: P = "open" as P,
  ): Identity<PurposeKeys[P]> {
    return {
      publicKey: suitedHalf(key, purpose),
      ...identityFacts(key),
      unlock: () => this.#privateKeys.unlock(key, purpose),
    };
  }

  async generate(info: TokenInfo, request: GenerateRequest): Promise<GeneratedKey> {
    requireSound(request);
    const token = await this.#finder.again(info);
    await this.#logIn(token, true);
    return token.session("write", async (session) => {
      const { use, certificateFor: names } = request;
      const signRequest =
        names &&
        ((object: Buffer, key: KeyInfo): Promise<Uint8Array> =>
          this.#privateKeys.request({ session, token, object, key }, names, [use]));
      const signsLater = use === "sign" ? signRequest : undefined;
      const pair = await generatePair(
        token,
        session,
        request,
        signsLater ? undefined : signRequest,
      );
      try {
        const { key, notHonoured } = pair;
        requireFindable(session, pair);
        const certificateRequest =
          (await signsLater?.(pair.privateObject, key)) ?? pair.certificateRequest;
        const made = { key, notHonoured, ...defined({ certificateRequest }) };
        if (use === "sign") return made;
        const oaep = await this.#privateKeys.prove(session, token, pair.privateObject, key);
        return { ...made, ...defined({ oaep }) };
      } catch (error) {
        session.destroy(pair.privateObject);
        session.destroy(pair.publicObject);
        throw error;
      }
    });
  }

  async plan(
    key: KeyInfo,
    operation: PlanOperation = isForSigning(key) ? "sign" : "open",
    oaep?: OaepParameters,
  ): Promise<Plan> {
    const token = await this.#finder.again(key.token);
    return token.session("read", (session) =>
      planFor(operation, shownSituation(token, session, key), oaep),
    );
  }

  probeOaep(key: KeyInfo): Promise<OaepHash[]> {
    return this.#privateKeys.provenHashes(key);
  }

  async storeCertificate(
    key: KeyInfo,
    certificate: Uint8Array,
    withOthers: WithOthers = "refuse",
  ): Promise<StoredCertificate> {
    const token = await this.#finder.again(key.token);
    await this.#logIn(token);
    return token.session("write", (session) =>
      storeCertificate(session, key, certificate, withOthers),
    );
  }

  async deleteKey(key: KeyInfo, options: DeleteOptions = {}): Promise<void> {
    const token = await this.#finder.again(key.token);
    await this.#logIn(token);
    await token.session("write", (session) => {
      const halves = findPublicKeys(session, key);
      if (halves.length > 1) {
        throw new TokenError("ERR_KEY_NOT_UNIQUE", `${halves.length} public keys match ${key.uri}`);
      }
      const half = halves[0];
      let object: Buffer | undefined;
      try {
        object = findPrivateKey(session, key);
      } catch (error) {
        const isLone = half !== undefined || (options.certificates && key.certificates.length > 0);
        if (!isLone || (error as TokenError).code !== "ERR_KEY_NOT_FOUND") throw error;
      }
      if (object !== undefined) session.destroy(object);
      if (half !== undefined) session.destroy(half);
      if (options.certificates) destroyCertificates(session, key);
    });
  }

  async audit(uri: Pkcs11Uri = {}): Promise<Finding[]> {
    requireKeyType(uri);
    const tokens = await this.#finder.all(uri);
    if (tokens.length === 0) throw await this.#finder.none(uri);
    const findings: Finding[] = [];
    for (const token of tokens) {
      const shown = await listed(token);
      const isNamed =
        uri.token !== undefined ||
        uri.serial !== undefined ||
        (tokens.length === 1 && Object.keys(uri).length > 0);
      if (shown.length === 0 && !isNamed) {
        this.#trace(
          `audit: token "${token.info.label}" shows no key without a PIN and is not logged in to`,
        );
        continue;
      }
      await this.#logIn(token);
      await token.session("read", (session) => {
        for (const key of listKeys(session, token.info).filter((one) => matchesKey(uri, one))) {
          findings.push(...this.#auditOne(session, token, key));
        }
      });
    }
    return findings;
  }

  async diagnose(uri: Pkcs11Uri = {}): Promise<Diagnosis> {
    requireKeyType(uri);
    return diagnose(this.#finder, this.#options, uri);
  }

  async isLoggedIn(info: TokenInfo): Promise<boolean> {
    return (await this.#finder.again(info)).isLoggedIn();
  }

  async mechanisms(info: TokenInfo): Promise<MechanismInfo[]> {
    return listMechanisms(await this.#finder.again(info));
  }

  rescan(): Promise<void> {
    return this.#finder.close();
  }

  close(): Promise<void> {
    return this.#finder.close();
  }

  readonly #trace = (line: string): void => {
    this.#options.trace?.(line);
  };

  #auditOne(session: Session, token: Token, key: KeyInfo): Finding[] {
    try {
      return auditKey(session, key, token.details);
    } catch (error) {
      if ((error as Partial<TokenError>).code !== "ERR_KEY_NOT_FOUND") throw error;
      this.#trace(`audit: ${keyName(key)} has no private key here`);
      return [];
    }
  }

  async #logIn(token: Token, forNewKey = false): Promise<void> {
    const { pin, force = false, atPad = untold, loginEnded } = this.#options;
    try {
      const pinTried = (refusal: unknown): void => loginEnded?.(token.info, refusal, "user");
      await token.login(pin, { force, forNewKey, atPad, pinTried });
      loginEnded?.(token.info, undefined, "user");
    } catch (error) {
      loginEnded?.(token.info, error, "user");
      throw error;
    }
  }

  /** @param whose - the PIN that is sent first */
  async #setPin(
    info: TokenInfo,
    whose: PinOwner,
    set: (session: Session, details: TokenDetails, how: PinChange) => Promise<void>,
  ): Promise<void> {
    const token = await this.#finder.again(info);
    const { pin: ask, force = false, atPad = untold, loginEnded } = this.#options;
    // A login would be with the old PIN, and with a session open the officer can't log in.
    token.close();
    try {
      await token.session("write", (session) =>
        set(session, readDetails(token.module, token.slot), { ask, atPad, force }),
      );
      token.pinChanged();
      for (const one of new Set([whose, "user"] as const)) loginEnded?.(info, undefined, one);
    } catch (error) {
      loginEnded?.(info, error, whose);
      throw error;
    }
  }
}

const untold: AtPad = (_request, work) => work();
