/** `p11seal keys list`, `keys export` and `keys delete`. */
import { toHex } from "../../../bytes.js";
import { UsageError } from "../../../errors.js";
import { formatPublicKey, type PublicKeyFormat } from "../../../keys/formats/key-file.js";
import { fingerprintText } from "../../../keys/public-key.js";
import { publicHalf } from "../../../token/objects/halves.js";
import type { KeyInfo } from "../../../token/values.js";
import type { Arguments } from "../../arguments/arguments.js";
import { write } from "../../io/io.js";
import { commit, fileOutput, standardOutput } from "../../io/outputs.js";
import { printable } from "../../io/report.js";
import { json, table } from "../../io/table.js";
import { binaryToTerminal } from "../../io/terminal-guard.js";
import { isSignOnly, sureOaep } from "../../find/token-key.js";
import { withTokens } from "../../find/tokens.js";
import type { Context } from "../../command.js";

export async function keysListCommand(args: Arguments, context: Context): Promise<undefined> {
  const text = oneUri(args);
  await withTokens(args, context, async (tokens) => {
    const uri = text === undefined ? undefined : tokens.uri(text);
    const keys = await (await tokens.access()).keys(uri);
    const { stdout } = context.io;
    await write(stdout, args.flag("json") ? json({ keys: keys.map(asData) }) : describe(keys));
    if (keys.length === 0) context.report.note("no key was found");
  });
}

export async function keysExportCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io, report } = context;
  const text = requireUri(args);
  const format = args.required("format") as PublicKeyFormat;
  const path = args.text("output");
  const binary = BINARY[format];
  if (path === undefined && binary !== undefined && io.stdout.isTTY === true) {
    throw binaryToTerminal(binary);
  }
  await withTokens(args, context, async (tokens) => {
    const uri = tokens.uri(text);
    const output =
      path === undefined || path === "-"
        ? standardOutput(io, [])
        : await fileOutput(path, { force: args.flag("force"), mode: "public", inputs: [] });
    try {
      const access = await tokens.access();
      const key = await tokens.find(uri, () => access.findKey(uri));
      const publicKey = publicHalf(key);
      const comment = key.label.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, "?");
      let oaep;
      if (publicKey.type === "rsa" && args.flag("probe")) {
        [oaep] = await access.probeOaep(key);
        if (oaep === undefined) report.note("the token undid OAEP with none of the hashes tried");
      } else {
        oaep = await sureOaep(key, access);
      }
      const options = {
        comment,
        signOnly: isSignOnly(key),
        ...(oaep === undefined ? {} : { oaep }),
      };
      await output.write(formatPublicKey(publicKey, format, options));
      await commit(output);
      report.note(`fingerprint ${fingerprintText(publicKey)}`);
      if (oaep !== undefined && binary !== undefined) {
        report.note(`${binary} has no room for the OAEP record; senders need --oaep ${oaep}`);
      }
    } finally {
      await output.close();
    }
  });
}

const BINARY: Partial<Record<PublicKeyFormat, string>> = {
  der: "a DER file",
  capi: "a PUBLICKEYBLOB",
};

export async function keysDeleteCommand(args: Arguments, context: Context): Promise<undefined> {
  const text = requireUri(args);
  await withTokens(args, context, async (tokens) => {
    const uri = tokens.uri(text);
    const namesToken = uri.token !== undefined || uri.serial !== undefined;
    if (!namesToken || (uri.object === undefined && uri.id === undefined)) {
      throw new UsageError("ERR_URI_INCOMPLETE", "the URI does not name one key on one token", {
        hint: "give token= or serial=, and object= or id=; p11seal keys list prints such URIs",
      });
    }
    const access = await tokens.access();
    const key = await tokens.find(uri, () => access.findKey(uri));
    if (!args.flag("yes")) await confirm(key, context);
    await access.deleteKey(key);
    context.report.note(`deleted ${key.uri}`);
  });
}

/** A whole word to type, not a letter: what is sealed to the key is lost with it. */
async function confirm(key: KeyInfo, { io }: Context): Promise<void> {
  const terminal = await io.terminal();
  if (terminal === undefined) {
    throw new UsageError("ERR_NOT_CONFIRMED", "deleting a key needs a confirmation", {
      hint: "there is no terminal to ask at; --yes confirms",
    });
  }
  const word = key.label === "" ? toHex(key.id) : key.label;
  try {
    const question =
      `delete ${key.kind} key "${word}" on token "${key.token.label}" for ever? ` +
      "what is sealed to it can then not be opened. type its label to confirm:";
    const answer = await terminal.ask(printable(question), { silent: false });
    if (answer === word || answer === printable(word)) return;
  } finally {
    terminal.close();
  }
  throw new UsageError("ERR_NOT_CONFIRMED", "not confirmed: nothing was deleted");
}

function oneUri(args: Arguments): string | undefined {
  const [uri, ...more] = args.operands;
  if (more.length > 0) throw new UsageError("ERR_USAGE", "one pkcs11: URI at a time");
  return uri;
}

function requireUri(args: Arguments): string {
  const uri = oneUri(args);
  if (uri === undefined) throw new UsageError("ERR_USAGE", "a pkcs11: URI is missing");
  return uri;
}

function asData(key: KeyInfo): unknown {
  return {
    uri: key.uri,
    label: key.label,
    id: toHex(key.id),
    kind: key.kind,
    uses: key.uses,
    fingerprint: key.publicKey === undefined ? null : fingerprintText(key.publicKey),
    seenAs: key.seenAs,
    token: key.token,
  };
}

function describe(keys: readonly KeyInfo[]): string {
  return table(
    keys.map((key) => [
      key.label === "" ? "(no label)" : key.label,
      key.kind,
      key.uses.join("+") || "no use",
      key.publicKey === undefined ? "public half not found" : fingerprintText(key.publicKey),
      key.uri,
    ]),
  );
}
