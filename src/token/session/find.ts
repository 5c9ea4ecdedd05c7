/**
 * Finds modules and tokens for one run. It loads modules when first needed, lists the tokens
 * present on each call, and keeps one `Token` object per token, so that a login lasts.
 */
import { defined } from "../../defined.js";
import { TokenError, UnsupportedError } from "../../errors.js";
import { fewOf } from "../../printable.js";
import { errorReport, origin } from "../modules/call.js";
import { overlookedTokens } from "../modules/configuration.js";
import { type Discovery, discoverModules, namedModule } from "../modules/discover.js";
import { isSoftHsm, type Module, type ModuleCandidate, openModule } from "../modules/module.js";
import { type SlotsSeen, tokensInSlots, type UnreadSlot } from "./token-info.js";
import { Token } from "./token.js";
import type { ModuleInfo, TokenInfo, Trouble } from "../values.js";
import { formatUri, type Pkcs11Uri } from "../uri.js";
import { matchesLibrary, matchesModuleName, matchesSlot, matchesToken } from "../uri-match.js";

/** A module that was tried: open, or with the error that prevented it. */
interface Looked {
  readonly candidate: ModuleCandidate;
  readonly module?: Module;
  readonly error?: TokenError;
}

type Look = Promise<Looked>;

/** Keeps one faulty module from blocking the others. */
export interface Precautions {
  /** Modules not to be loaded, by path, each with the reason. */
  readonly faulty?: ReadonlyMap<string, TokenError>;
  /** Called before and after code runs of a module from which no token has been chosen yet. */
  readonly trying?: (path: string, phase: "before" | "after") => void;
}

export class TokenFinder {
  readonly #where: Discovery & Precautions;
  readonly #trace: (line: string) => void;
  readonly #tokens = new Map<string, Token>();
  /** The modules looked at so far, by path: those that URIs name by path, and those discovered. */
  readonly #looks = { named: new Map<string, Look>(), discovered: new Map<string, Look>() };
  #candidates: readonly ModuleCandidate[] | undefined;

  constructor(where: Discovery & Precautions, trace: (line: string) => void) {
    this.#where = where;
    this.#trace = trace;
  }

  /** Every module that was tried, in order of preference. */
  async modules(): Promise<ModuleInfo[]> {
    return this.modulesFor({});
  }

  /** Those of `modules` that match a URI. */
  async modulesFor(uri: Pkcs11Uri): Promise<ModuleInfo[]> {
    return (await this.#lookedFor(uri)).map(moduleInfo);
  }

  /**
   * The tokens that match; a token is the same object on every call, and found once even if two
   * modules show it.
   */
  async all(uri: Pkcs11Uri): Promise<Token[]> {
    return (await this.survey(uri)).tokens;
  }

  /** As `all`, with the modules and slots that may have such a token and could not be read. */
  async survey(uri: Pkcs11Uri): Promise<{ tokens: Token[]; troubles: Trouble[] }> {
    requireKnown(uri);
    const found: Token[] = [];
    const troubles: Trouble[] = [];
    const unread: { readonly place: string; readonly trouble: Trouble }[] = [];
    const readPlaces = new Set<string>();
    for (const looked of await this.#lookedFor(uri)) {
      const { candidate, module, error } = looked;
      if (error !== undefined) troubles.push(moduleTrouble(candidate, error));
      if (module === undefined || !matchesLibrary(uri, module.library)) continue;
      const shown = this.#ask(candidate, module);
      if (shown.error !== undefined) troubles.push(moduleTrouble(candidate, shown.error));
      for (const slot of shown.unread) {
        const { description } = slot.names;
        if (description !== "" && !matchesSlot(uri, slot.names)) continue;
        unread.push({ place: description, trouble: slotTrouble(candidate, slot) });
      }
      for (const place of shown.read) readPlaces.add(place);
      for (const { slot, details } of shown.present) {
        if (!matchesSlot(uri, details.slot) || !matchesToken(uri, details.info)) continue;
        const twin = found.find((one) => isSameToken(one.info, details.info));
        if (twin !== undefined) {
          this.#trace(`token "${details.info.label}": used through ${twin.info.module}`);
          continue;
        }
        const token =
          this.#remembered(module, slot, details.info) ?? new Token(module, slot, details);
        token.update(details);
        this.#tokens.set(tokenKey(details.info), token);
        found.push(token);
      }
    }
    // A card in a reader is unknown to all modules but its own.
    const mysteries = unread.filter(({ place }) => place === "" || !readPlaces.has(place));
    return { tokens: found, troubles: [...troubles, ...mysteries.map(({ trouble }) => trouble)] };
  }

  /**
   * Exactly one token.
   *
   * @throws TokenError `ERR_TOKEN_NOT_FOUND`, `ERR_TOKEN_NOT_UNIQUE`; when none is found and a
   *   module that the user named is broken, that module's error.
   */
  async one(uri: Pkcs11Uri): Promise<Token> {
    const found = await this.all(uri);
    const [token] = found;
    if (token === undefined) throw await this.none(uri);
    if (found.length > 1) {
      throw new TokenError(
        "ERR_TOKEN_NOT_UNIQUE",
        `${found.length} tokens match ${formatUri(uri)}`,
        { hint: `add serial= to the URI; they are ${list(found.map(({ info }) => info.serial))}` },
      );
    }
    return token;
  }

  /** The token that an earlier result described. */
  async again(info: TokenInfo): Promise<Token> {
    const known = this.#tokens.get(tokenKey(info));
    if (known !== undefined) return known;
    const isIt = ({ info: other }: Token): boolean => isSameToken(other, info);
    const token = (await this.all({})).find(isIt);
    if (token !== undefined) return token;
    throw new TokenError("ERR_TOKEN_NOT_FOUND", `token "${info.label}" is gone`, {
      hint: "insert the token and try again",
    });
  }

  /** SoftHSM's tokens that are not looked at, as it reads one configuration alone. */
  async overlooked(uri: Pkcs11Uri): Promise<Trouble | undefined> {
    const softHsm = (await this.modulesFor(uri)).find(
      ({ path, library }) => isSoftHsm(path) && library !== undefined,
    );
    const fault = softHsm && overlookedTokens(this.#where);
    if (softHsm === undefined || fault === undefined) return undefined;
    const { path, named } = softHsm;
    const about = { name: `module "${path}"`, module: path, isNamed: named };
    return {
      at: "configuration",
      ...about,
      error: { code: "ERR_SOFTHSM_CONFIGURATION", ...fault },
    };
  }

  /** What `overlooked` finds, as parts of a hint. */
  async overlookedHints(uri: Pkcs11Uri): Promise<string[]> {
    const error = (await this.overlooked(uri))?.error;
    return [error?.message, error?.hint].filter((part) => part !== undefined);
  }

  /**
   * Why no token matches: the fault of a module that the user named, or of all modules, or of a
   * slot if no token can be read at all; else that there is no such token.
   */
  async none(uri: Pkcs11Uri): Promise<TokenError> {
    const looked = await this.#lookedFor(uri);
    const broken = looked.find(({ candidate, error }) => candidate.explicit && error !== undefined);
    if (broken?.error !== undefined) return broken.error;
    const errors = looked.flatMap(({ error }) => error ?? []);
    const [first] = errors;
    if (first !== undefined && errors.length === looked.length) {
      return errors.find(({ code }) => code === "ERR_NATIVE_MISSING") ?? first;
    }
    const { modulePath } = uri;
    const { tokens, troubles } = await this.survey(defined({ modulePath }));
    const ofModules = troubles.filter(({ at }) => at === "module");
    const unread =
      ofModules.find(({ isNamed }) => isNamed) ??
      troubles.find(({ at }) => at === "slot") ??
      (ofModules.length === looked.length ? ofModules[0] : undefined);
    if (tokens.length === 0 && unread !== undefined) {
      const { at, name, error } = unread;
      const { code, hint } = error;
      const message = at === "slot" ? `${name}: ${error.message}` : error.message;
      return new TokenError(code, message, defined({ hint }));
    }
    const isAny = Object.keys(uri).length === 0;
    const what = isAny ? "no token is present" : `no token matches ${formatUri(uri)}`;
    const present = tokens.map(({ info }) => info.label);
    const overlooked = await this.overlookedHints(defined({ modulePath }));
    const lost = looked.filter(({ error }) => error !== undefined).map((one) => one.candidate.path);
    return new TokenError("ERR_TOKEN_NOT_FOUND", what, {
      hint: [
        ...(present.length === 0
          ? ["insert it; `p11seal tokens` shows the modules that were looked at"]
          : [`the tokens present are ${list(present)}`]),
        ...(lost.length === 0 ? [] : [`not usable: module ${list(lost)}`]),
        ...overlooked,
      ].join("; "),
    });
  }

  /** Ends logins and modules; waits for operations that run. */
  async close(): Promise<void> {
    for (const token of this.#tokens.values()) token.close();
    this.#tokens.clear();
    const { named, discovered } = this.#looks;
    const looked = await Promise.all([...discovered.values(), ...named.values()]);
    this.#candidates = undefined;
    discovered.clear();
    named.clear();
    for (const { module } of looked) await module?.close();
  }

  /**
   * The module that a URI names by path, or else the discovered ones, in order: all of them, or
   * those with the name that the URI gives. No other is loaded.
   */
  async #lookedFor(uri: Pkcs11Uri): Promise<Looked[]> {
    const { modulePath } = uri;
    const looks = modulePath === undefined ? this.#looks.discovered : this.#looks.named;
    const candidates =
      modulePath === undefined
        ? (this.#candidates ??= discoverModules(this.#where))
        : [namedModule(modulePath, this.#where)];
    const looked: Looked[] = [];
    for (const candidate of candidates) {
      if (!matchesModuleName(uri, candidate.path)) continue;
      const look = looks.get(candidate.path) ?? this.#look(candidate);
      looks.set(candidate.path, look);
      looked.push(await look);
    }
    return looked;
  }

  /** Lists a module's tokens. A module that fails does not hide the tokens of others. */
  #ask({ path }: ModuleCandidate, module: Module): SlotsSeen & { readonly error?: TokenError } {
    this.#where.trying?.(module.path, "before");
    try {
      const seen = tokensInSlots(module);
      for (const { error } of seen.unread) {
        this.#trace(`module ${path}: a token is left out: ${error.message}`);
      }
      return seen;
    } catch (error) {
      if (!(error instanceof TokenError)) throw error;
      const message = `module "${path}": ${error.message}`;
      this.#trace(message);
      const named = new TokenError(error.code, message, {
        ...defined({ hint: error.hint }),
        ...origin(error),
      });
      return { present: [], unread: [], read: [], error: named };
    } finally {
      this.#where.trying?.(module.path, "after");
    }
  }

  async #look(candidate: ModuleCandidate): Promise<Looked> {
    const known = this.#where.faulty?.get(candidate.path);
    if (known !== undefined) return { candidate, error: known };
    this.#where.trying?.(candidate.path, "before");
    try {
      return { candidate, module: await openModule(candidate) };
    } catch (error) {
      if (!(error instanceof TokenError)) throw error;
      this.#trace(error.message);
      return { candidate, error };
    } finally {
      this.#where.trying?.(candidate.path, "after");
    }
  }

  #remembered(module: Module, slot: Buffer, info: TokenInfo): Token | undefined {
    const token = this.#tokens.get(tokenKey(info));
    return token?.module === module && token.slot.equals(slot) ? token : undefined;
  }
}

function moduleTrouble({ path, explicit }: ModuleCandidate, error: TokenError): Trouble {
  const about = { name: `module "${path}"`, module: path, isNamed: explicit };
  return { at: "module", ...about, error: errorReport(error) };
}

function slotTrouble({ path, explicit }: ModuleCandidate, { names, error }: UnreadSlot): Trouble {
  const name = names.description === "" ? `a slot of ${path}` : `slot "${names.description}"`;
  return { at: "slot", name, module: path, isNamed: explicit, error: errorReport(error) };
}

function moduleInfo({ candidate, module, error }: Looked): ModuleInfo {
  const { path, source, explicit: named } = candidate;
  const version = ({ major, minor }: { major: number; minor: number }): string =>
    `${major}.${minor}`;
  if (module !== undefined) {
    const { library } = module;
    return {
      ...{ path, source, named },
      library: {
        ...library,
        version: version(library.version),
        cryptoki: version(library.cryptoki),
      },
    };
  }
  return { path, source, named, ...defined({ error: error && errorReport(error) }) };
}

/**
 * True for the same token, even through two modules. Without a serial number, modules never share
 * one.
 */
function isSameToken(a: TokenInfo, b: TokenInfo): boolean {
  if (a.serial === "" && a.module !== b.module) return false;
  return (
    a.serial === b.serial &&
    a.label === b.label &&
    a.manufacturer === b.manufacturer &&
    a.model === b.model
  );
}

function tokenKey({ module, label, serial, manufacturer, model }: TokenInfo): string {
  return JSON.stringify([module, label, serial, manufacturer, model]);
}

/** RFC 7512 §2.5: an attribute that is not understood never matches. */
function requireKnown(uri: Pkcs11Uri): void {
  const other = uri.otherPath?.[0];
  if (other === undefined) return;
  throw new UnsupportedError("ERR_URI_ATTRIBUTE", `path attribute "${other[0]}" is not known`, {
    hint: "use token, serial, manufacturer, model, object and id",
  });
}

/** At most five names, quoted, for a hint. */
export function list(names: readonly string[]): string {
  return fewOf(
    names.map((one) => (/^"|^the /.test(one) ? one : `"${one}"`)),
    5,
  );
}
