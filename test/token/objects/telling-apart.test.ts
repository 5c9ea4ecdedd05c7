/** Advice for a URI that matches several keys names only what tells them apart. */
import { describe, expect, it } from "@jest/globals";
import { howToTellApart } from "../../../src/token/objects/telling-apart.js";
import type { KeyInfo } from "../../../src/token/values.js";

const key = (token: string, label: string, id: number, serial = token): KeyInfo =>
  ({ token: { label: token, serial }, label, id: Uint8Array.of(id) }) as KeyInfo;

describe("keys that one URI matches", () => {
  it.each([
    ["on two tokens", {}, [key("a", "k", 1), key("b", "k", 1)], "add token= to"],
    ["with two ids on one token", {}, [key("a", "k", 1), key("a", "k", 2)], "add id= to"],
    ["with two labels and one id", {}, [key("a", "k", 1), key("a", "l", 1)], "add object= to"],
    [
      "on two tokens of one name",
      {},
      [key("a", "k", 1, "7"), key("a", "k", 1, "8")],
      "add serial= to",
    ],
    [
      "that only two attributes tell apart",
      {},
      [key("a", "k", 1), key("a", "k", 2), key("b", "k", 1), key("b", "k", 2)],
      "add token= and id= to",
    ],
    [
      "with ids that the URI has already",
      { id: Uint8Array.of(1) },
      [key("a", "k", 1), key("a", "l", 1)],
      "add object= to",
    ],
    ["with two labels and ids", {}, [key("a", "k", 1), key("a", "l", 2)], "add object= to"],
    ["of which one has no label", {}, [key("a", "", 1), key("a", "l", 2)], "add id= to"],
    ["alike in all", {}, [key("a", "k", 1), key("a", "k", 1)], "no URI tells them apart"],
  ])("%s", (_, uri, keys, advice) => {
    expect(howToTellApart(uri, keys)).toMatch(new RegExp(`^${advice}`));
  });
});
