/**
 * The file that tells the shim what to do, beside the shim itself (shim/settings.h reads it). Each
 * change replaces it, and the shim sees that at its next call.
 */
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Profile } from "./profiles.js";

/** A fault as the shim knows it. */
export interface SetFault {
  readonly id: number;
  readonly fn: string;
  readonly action:
    "rv" | "crash" | "abort" | "exit" | "hang" | "slow" | "print" | "short" | "wrong";
  /** The return value, or milliseconds. */
  readonly value: number;
  readonly at: number;
  /** 0: without end. */
  readonly times: number;
  readonly attribute: number | "any";
  readonly untilLogin: boolean;
}

/** What the person at a PIN pad does, as the shim knows it. */
export interface SetAnswer {
  readonly id: number;
  /** What the reader returns; 0: the person types a PIN. */
  readonly rv: number;
  readonly takesMs: number;
  readonly at: number;
  /** 0: without end. */
  readonly times: number;
  /** What they type; by default the token's own. */
  readonly pin: string | undefined;
  readonly newPin: string | undefined;
}

/** All that one copy of the shim is told. */
export interface Settings {
  /** Path of the real module. */
  readonly real: string;
  /** With it, SoftHSM is loaded from a copy of its file, and reads this configuration. */
  readonly softHsmConf: string | undefined;
  readonly profile: Profile;
  readonly present: boolean;
  /** How often the token was pulled. */
  readonly epoch: number;
  readonly faults: readonly SetFault[];
  /** Of a PIN pad. */
  readonly answers: readonly SetAnswer[];
  /** The PINs that the person at a PIN pad knows. */
  readonly person?: { readonly pin: string; readonly soPin: string } | undefined;
  /** Flags of CK_TOKEN_INFO that are set besides. */
  readonly tokenFlags: number;
}

/** Of a token that nothing has happened to. */
export const UNTOUCHED = {
  ...{ present: true, epoch: 0, faults: [], answers: [], tokenFlags: 0 },
} as const satisfies Partial<Settings>;

/** The settings of the shim in one folder. */
export class ShimSettings {
  readonly #folder: string;
  #now: Settings;

  constructor(folder: string, settings: Settings) {
    this.#folder = folder;
    this.#now = settings;
    this.change({});
  }

  get now(): Settings {
    return this.#now;
  }

  change(some: Partial<Settings>): void {
    this.#now = { ...this.#now, ...some };
    const file = join(this.#folder, "shim.conf");
    writeFileSync(`${file}.new`, formatSettings(this.#now), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }
}

function formatSettings(settings: Settings): string {
  const { real, softHsmConf, profile, present, epoch, faults, tokenFlags } = settings;
  const lines = [
    ["module", real],
    ...(softHsmConf === undefined ? [] : [["softhsm2-conf", softHsmConf]]),
    ["present", present ? 1 : 0],
    ["epoch", epoch],
    ...faults.map(({ id, fn, action, value, at, times, attribute, untilLogin }) => [
      ...["fault", id, fn, action, value, at, times, attribute, untilLogin ? 1 : 0],
    ]),
    ["token-flags", tokenFlags],
    ...(profile.shows?.pinPad ? padLines(settings) : []),
    ...profileLines(profile),
  ];
  return lines.map((words) => `${words.map(word).join(" ")}\n`).join("");
}

function padLines({ answers, person }: Settings): (string | number)[][] {
  return [
    ["pad"],
    ...(person === undefined ? [] : [["pin", person.pin]]),
    ...(person === undefined ? [] : [["so-pin", person.soPin]]),
    ...answers.flatMap(({ id, rv, takesMs, at, times, pin, newPin }) => [
      ["answer", id, rv, takesMs, at, times],
      ...(pin === undefined ? [] : [["answer-pin", pin]]),
      ...(newPin === undefined ? [] : [["answer-new-pin", newPin]]),
    ]),
  ];
}

function profileLines(profile: Profile): (string | number)[][] {
  const { identity = {}, shows = {}, mechanisms = {}, refuses = {} } = profile;
  const optional = (name: string, value: string | number | undefined): (string | number)[][] =>
    value === undefined || value === "" ? [] : [[name, value]];
  const flag = (name: string, is: boolean | undefined): string[][] => (is ? [[name]] : []);
  return [
    ...optional("library-manufacturer", identity.libraryManufacturer),
    ...optional("library-description", identity.libraryDescription),
    ...optional("manufacturer", identity.manufacturer),
    ...optional("model", identity.model),
    ...optional("hidden-flags", shows.hiddenFlags),
    ...optional("slot-flags", shows.slotFlags),
    ...flag("one-slot", shows.oneSlot),
    ...flag("hidden-until-login", shows.nothingUntilLogin),
    ...optional("point", shows.ecPoint),
    ...optional("params", shows.ecParams),
    ...Object.entries(shows.labelEndings ?? {}).map(([kind, ending]) => [
      ...["label-ending", CLASSES[kind as keyof typeof CLASSES], ending],
    ]),
    ...optional("no-mechanisms", mechanisms.unlistedOn),
    ...(mechanisms.missing ?? []).map((mechanism) => ["hidden-mechanism", mechanism]),
    ...(mechanisms.uses ?? []).map(({ mechanism, without }) => ["hidden-use", mechanism, without]),
    ...(mechanisms.largest ?? []).map(({ mechanism, size }) => ["largest", mechanism, size]),
    ...Object.entries(refuses.functions ?? {}).map(([fn, rv]) => ["refused", fn, rv]),
    ...(refuses.templates ?? []).map(({ fn, rule, attribute, rv = 0 }) => [
      ...["template", fn, rule, attribute, rv],
    ]),
    ...(refuses.kdfs ?? []).map(({ kdf, rv }) => ["refused-kdf", kdf, rv]),
    ...(refuses.oaepHashes ?? []).map((hash) => ["refused-hash", hash]),
    ...flag("bare-peer", refuses.derPeer),
    ...flag("needs-purpose", refuses.keysWithoutPurpose),
    ...flag("stuck", refuses.afterFailedDecrypt),
  ];
}

const CLASSES = { certificate: 1, public: 2, private: 3 } as const;

/** One word: blanks and `%` are written as in a URI. */
function word(value: string | number): string {
  return String(value).replace(/[%\s]/g, (one) =>
    Array.from(Buffer.from(one), (byte) => `%${byte.toString(16).padStart(2, "0")}`).join(""),
  );
}
