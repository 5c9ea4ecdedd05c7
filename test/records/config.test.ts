import { describe, expect, it } from "@jest/globals";
import { chmodSync, writeFileSync } from "node:fs";
import {
  acceptedCustodians,
  configPath,
  openPolicy,
  readConfig,
} from "../../src/records/config.js";
import { parseConfig } from "../../src/records/config-text.js";
import { DEFAULT_SKEW_MS, DEFAULT_WINDOW_MS } from "../../src/records/policy.js";
import { DAY, freshFolder, MINUTE } from "./support/messages.js";

const refused = (code: string): unknown => expect.objectContaining({ code });

describe("the user's standing orders", () => {
  it("are understood", () => {
    const text = 'require = "signed"\nfrom = ["alice", "bob"]\nwindow = "14d"\nskew = "0s"\n';
    expect(parseConfig(text, "x")).toEqual({
      require: "signed",
      from: ["alice", "bob"],
      windowMs: 14 * DAY,
      skewMs: 0,
    });
    expect(parseConfig('custodians = ["vault"]', "x")).toEqual({ custodians: ["vault"] });
    expect(parseConfig("", "x")).toEqual({});
  });

  it.each([
    ["no TOML", "require signed"],
    ["a word misspelt", 'requires = "signed"'],
    ["a value misspelt", 'require = "Signed"'],
    ["a value of another kind", "require = true"],
    ["a table", '[open]\nrequire = "signed"'],
    ["senders without the order", 'from = ["alice"]'],
    ["nobody", 'require = "signed"\nfrom = []'],
    ["anybody, by a name", 'require = "signed"\nfrom = ["any"]'],
    ["a name that is no text", 'require = "signed"\nfrom = [1]'],
    ["one name, not in a list", 'require = "signed"\nfrom = "alice"'],
    ["no custodian", "custodians = []"],
    ["any custodian", 'custodians = ["any"]'],
    ["one custodian, not in a list", 'custodians = "vault"'],
    ["a window without a unit", "window = 7"],
    ["a window that is none", 'window = "a week"'],
    ["an order given twice", 'require = "signed"\nrequire = "signed"'],
  ])("with %s are refused, rather than not followed", (_, text) => {
    expect(() => parseConfig(text, "x")).toThrow(refused("ERR_CONFIG"));
  });

  it("name the line and not its text when they are refused", () => {
    let message = "";
    try {
      parseConfig('require = "signed"\n\nsecret word\n', "config.toml");
    } catch (error) {
      message = (error as { message: string }).message;
    }
    expect(message).toBe("config.toml:3: not TOML");
  });

  it("are refused where they are not UTF-8, with the line", async () => {
    const folder = freshFolder();
    const text = 'require = "signed"\nfrom = ["Ren\xe9"]\n';
    writeFileSync(configPath(folder), Buffer.from(text, "latin1"));
    await expect(readConfig(folder)).rejects.toMatchObject({
      code: "ERR_CONFIG",
      message: `${configPath(folder)}:2: not UTF-8`,
    });
  });

  it("are empty without a file, and refused if others can write to it", async () => {
    const folder = freshFolder();
    expect(await readConfig(folder)).toEqual({});
    writeFileSync(configPath(folder), 'require = "signed"\n');
    expect(await readConfig(folder)).toEqual({ require: "signed" });
    chmodSync(configPath(folder), 0o602);
    await expect(readConfig(folder)).rejects.toMatchObject({ code: "ERR_UNSAFE_FILE" });
  });
});

describe("the custodians whose re-wrapping is accepted", () => {
  it("are those that the command names, or else those of the settings; by default none", () => {
    const config = { custodians: ["vault", "archive"] };
    expect(acceptedCustodians({}, [])).toEqual([]);
    expect(acceptedCustodians(config, [])).toEqual(["vault", "archive"]);
    expect(acceptedCustodians(config, ["other"])).toEqual(["other"]);
  });

  it("are named one by one", () => {
    expect(() => acceptedCustodians({}, ["any"])).toThrow(refused("ERR_USAGE"));
  });
});

describe("what is demanded of a message", () => {
  const defaults = { windowMs: DEFAULT_WINDOW_MS, skewMs: DEFAULT_SKEW_MS };

  it("is nothing where nothing was said", () => {
    expect(openPolicy({}, { from: [] })).toBeUndefined();
  });

  it("is what the command says", () => {
    expect(openPolicy({}, { from: ["alice"] })).toEqual({ from: ["alice"], ...defaults });
    expect(openPolicy({}, { from: ["any"], windowMs: DAY })).toEqual({
      from: "any",
      windowMs: DAY,
      skewMs: DEFAULT_SKEW_MS,
    });
  });

  it("is not weakened by a command that says nothing", () => {
    expect(openPolicy({ require: "signed" }, { from: [] })).toEqual({ from: "any", ...defaults });
    expect(openPolicy({ require: "signed", from: ["alice"] }, { from: [] })).toEqual({
      from: ["alice"],
      ...defaults,
    });
  });

  it("is what the command says where both say something", () => {
    const config = { require: "signed", from: ["alice"], windowMs: DAY, skewMs: MINUTE } as const;
    expect(openPolicy(config, { from: ["bob"], windowMs: 2 * DAY })).toEqual({
      from: ["bob"],
      windowMs: 2 * DAY,
      skewMs: MINUTE,
    });
  });

  it("can't be a window alone, or any sender and a certain one", () => {
    expect(() => openPolicy({}, { from: [], windowMs: DAY })).toThrow(refused("ERR_USAGE"));
    expect(() => openPolicy({}, { from: ["any", "alice"] })).toThrow(refused("ERR_USAGE"));
  });
});
