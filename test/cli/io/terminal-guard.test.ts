import { describe, expect, it } from "@jest/globals";
import { TextOnly } from "../../../src/cli/io/terminal-guard.js";

const check = (text: string) => () => {
  new TextOnly().check(new TextEncoder().encode(text));
};

describe("what goes to a terminal", () => {
  it.each(["plain\ttext\r\n", "naïve 名前 🔑", "\u200fעברית\u200e", "\ufeff"])(
    "may be %j",
    (text) => {
      expect(check(text)).not.toThrow();
    },
  );

  it.each(["\u001b[2J", "\u009b2J", "\u0007", "\u007f", "if (\u202eadmin", "\u202d"])(
    "may not be %j",
    (text) => {
      expect(check(text)).toThrow("would go to the terminal");
    },
  );
});
