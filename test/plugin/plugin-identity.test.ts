/** Identity strings: what they name, and that they choose neither code nor PIN. */
import { isDeepStrictEqual } from "node:util";
import { describe, expect, it } from "@jest/globals";
import { ascii } from "../../src/bytes.js";
import { P11SealError } from "../../src/errors.js";
import { encodeBech32 } from "../../src/keys/formats/bech32.js";
import {
  formatIdentityFile,
  formatPluginIdentity,
  parsePluginIdentity,
} from "../../src/plugin/plugin-identity.js";
import { formatUri, parseUri } from "../../src/token/uri.js";
import { recipientOf } from "../support/identities.js";
import { fuzz } from "../support/mutate.js";
import { scaled } from "../support/scale.js";

const PREFIX = "AGE-PLUGIN-P11-";
const uri = "pkcs11:token=M%C3%BCller%20%231;serial=0a;type=private;id=%00%FF%3B";

function keyAt(module: string, label = "k") {
  return { uri, label, token: { module, label: "Müller #1" } as never };
}

describe("an identity string", () => {
  it.each([
    ["/usr/lib/softhsm/libsofthsm2.so", "libsofthsm2"],
    ["/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so.0.1", "opensc-pkcs11"],
    ["C:\\Windows\\System32\\eTPKCS11.dll", "eTPKCS11"],
    ["/opt/with blank & ?/lib ä.dylib", "lib ä"],
  ])("names the key, and of the module %s only %s", (module, moduleName) => {
    const text = formatPluginIdentity(keyAt(module));
    expect(text).toMatch(/^AGE-PLUGIN-P11-1[02-9AC-HJ-NP-Z]+$/);
    expect(parsePluginIdentity(text)).toEqual({ uri: parseUri(uri), moduleName });
  });

  it("without data stands for any token", () => {
    // As age and rage make it for -j p11.
    const text = encodeBech32(PREFIX, new Uint8Array(0));
    expect(text).toBe("AGE-PLUGIN-P11-1PKHSX8");
    expect(parsePluginIdentity(text)).toEqual({});
  });

  it("is written with comments that stay within their lines", () => {
    const text = formatIdentityFile(
      keyAt("/m.so", "a\nAGE-SECRET-KEY-1\u202e"),
      recipientOf("p256").publicKey,
    );
    const lines = text.split("\n");
    expect(lines).toHaveLength(4);
    expect(lines[0]).toBe('# key "a?AGE-SECRET-KEY-1?" on token "Müller #1"');
    expect(lines[1]).toMatch(/^# recipient: age1tag1/);
    expect(parsePluginIdentity(lines[2] ?? "").moduleName).toBe("m");
  });

  it("of any damaged URI is refused with one of our errors, or names what the URI names", async () => {
    const seeds = [uri, `${uri}?module-name=softhsm2`, "pkcs11:object=a?x-vendor=1"].map(ascii);
    seeds.push(ascii("pkcs11:object=a?module-path=/m.so"), ascii("pkcs11:id=%01?pin-source=/p"));
    const report = await fuzz(seeds, scaled(100_000, 5000), 7512, (input) => {
      try {
        const parsed = parsePluginIdentity(encodeBech32(PREFIX, input));
        if (input.length === 0) return isDeepStrictEqual(parsed, {}) || "names something";
        const { modulePath, pinSource, id, object } = parsed.uri ?? {};
        if (modulePath !== undefined || pinSource !== undefined) return "chooses code or PIN";
        if (id === undefined && object === undefined) return "names no key";
        const again = formatUri(parseUri(formatUri(parsed.uri ?? {})));
        return again === formatUri(parsed.uri ?? {}) ? true : "reads otherwise";
      } catch (error) {
        if (!(error instanceof P11SealError)) return `threw ${String(error)}`;
        return error;
      }
    });
    expect(report.broken).toEqual([]);
    expect(report.taken).toBeGreaterThan(report.tried / 100);
    expect(report.codes.has("ERR_URI_IN_FILE")).toBe(true);
  });
});
