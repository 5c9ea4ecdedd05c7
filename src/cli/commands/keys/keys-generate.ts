/** `p11seal keys generate`: a key pair on a token, and its public half for others to seal to. */
import type { OaepHash, PublicKey } from "../../../keys/key.js";
import { formatPublicKey } from "../../../keys/formats/key-file.js";
import { fingerprintText, HYBRID_PARTS } from "../../../keys/public-key.js";
import type { TokenService } from "../../../token/service.js";
import type { Pkcs11Uri } from "../../../token/uri.js";
import type { GeneratedKey, KeyInfo, KeyType, KeyUse, TokenInfo } from "../../../token/values.js";
import { defined } from "../../../defined.js";
import { TokenError, UsageError } from "../../../errors.js";
import type { Arguments } from "../../arguments/arguments.js";
import { write } from "../../io/io.js";
import type { Output } from "../../io/output.js";
import { commit, fileOutput, standardOutput } from "../../io/outputs.js";
import { fewOf, oneLine } from "../../../printable.js";
import { json, table } from "../../io/table.js";
import { requestedNames, requestPem } from "./keys-csr.js";
import { signOnlyOf } from "../../find/token-key.js";
import { withTokens } from "../../find/tokens.js";
import {
  escrowOf,
  hybridOptions,
  joined,
  seedOutputAt,
  warningOf,
  type HybridOptions,
} from "./hybrid-generate.js";
import type { Context } from "../../command.js";

export async function keysGenerateCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io, report } = context;
  const named = args.required("type");
  const hybrid = hybridOptions(named, args);
  const type = hybrid?.half ?? (named as KeyType);
  const use = args.required("use") as KeyUse;
  const allowDecrypt = args.flag("allow-decrypt");
  if (allowDecrypt && !(type.startsWith("rsa:") && use === "exchange")) {
    throw new UsageError("ERR_USAGE", "--allow-decrypt is for RSA exchange keys");
  }
  const path = args.text("output");
  const asJson = args.flag("json");
  if (path === "-" && asJson) {
    throw new UsageError("ERR_USAGE", "the key and the JSON would both go to stdout");
  }

  const csr = args.text("csr");
  const certificateFor = csr === undefined ? undefined : requestedNames(args);
  requireOneRequest(args, hybrid !== undefined);

  await withTokens(args, context, async (tokens) => {
    const text = args.text("token");
    const uri = text === undefined ? {} : tokens.uri(text);
    // Opened first: a key whose files can't be written would stay on the token all the same.
    const output = path === undefined ? undefined : await outputAt(path, args, context);
    let seedOutput: Output | undefined;
    let requestOutput: Output | undefined;
    try {
      requestOutput = csr === undefined ? undefined : await outputAt(csr, args, context);
      seedOutput = hybrid && (await seedOutputAt(hybrid, path, args));
      const escrow = hybrid === undefined ? [] : await escrowOf(hybrid, tokens, context);
      const access = await tokens.access();
      const token = await tokens.find(uri, () => chosenToken(uri, access));
      const label = args.required("label");
      const made = await access.generate(token, {
        ...{ type, label, use, allowDecrypt },
        ...defined({ certificateFor }),
      });
      const half = made.key.publicKey;
      if (half === undefined) {
        throw new TokenError("ERR_PUBLIC_KEY_MISSING", `${made.key.uri} has no public half`);
      }
      const publicKey =
        hybrid === undefined || seedOutput === undefined
          ? half
          : await joined(hybrid, half, { made, escrow, seedOutput });
      if (requestOutput !== undefined && made.certificateRequest !== undefined) {
        await requestOutput.write(requestPem(made.certificateRequest));
        await commit(requestOutput);
      }
      const record = made.oaep?.[0];
      if (output !== undefined) {
        await output.write(publicKeyFile(publicKey, record, made.key));
        await commit(output);
      }
      if (hybrid !== undefined) report.note(warningOf(hybrid));
      for (const fact of made.notHonoured) report.note(`not honoured by the token: ${fact}`);
      if (path === "-") return;
      await write(
        io.stdout,
        asJson
          ? json(asData(made, publicKey, { path, csr, hybrid }))
          : describe(made, publicKey, { path, csr, hybrid }),
      );
    } finally {
      await output?.close();
      await requestOutput?.close();
      await seedOutput?.close();
    }
  });
}

/** The one token that the URI matches; without `--token`, the only one there is. */
async function chosenToken(uri: Pkcs11Uri, access: TokenService): Promise<TokenInfo> {
  if (Object.keys(uri).length > 0) return access.findToken(uri);
  const found = await access.tokens();
  if (found.length < 2) return access.findToken(uri);
  const uris = found.map((token) => `'${token.uri}'`);
  throw new TokenError("ERR_TOKEN_NOT_UNIQUE", `there are ${found.length} tokens`, {
    hint: `say which with --token, as in ${fewOf(uris, 2)}; see: p11seal tokens`,
  });
}

function outputAt(path: string, args: Arguments, { io }: Context): Output | Promise<Output> {
  if (path === "-") return standardOutput(io, []);
  return fileOutput(path, { force: args.flag("force"), mode: "public", inputs: [] });
}

function publicKeyFile(key: PublicKey, oaep: OaepHash | undefined, made: KeyInfo): Uint8Array {
  const records = defined({ oaep, signOnly: signOnlyOf(made) });
  return formatPublicKey(key, "pem", { comment: oneLine(made.label), ...records });
}

/** Names of the files that were written, and what they are of. */
interface Written {
  readonly path: string | undefined;
  readonly csr: string | undefined;
  readonly hybrid: HybridOptions | undefined;
}

/** @throws UsageError `ERR_USAGE` */
function requireOneRequest(args: Arguments, isHybrid: boolean): void {
  const csr = args.text("csr");
  if (csr === undefined) {
    const [given] = ["subject", "mail"].filter((name) =>
      name === "mail" ? args.texts(name).length > 0 : args.text(name) !== undefined,
    );
    if (given === undefined) return;
    throw new UsageError("ERR_USAGE", `--${given} needs --csr`, {
      hint: "--csr FILE writes a request for the key's certificate",
    });
  }
  if (isHybrid) {
    throw new UsageError("ERR_USAGE", "no certificate is known for a hybrid key", {
      hint: "leave out --csr",
    });
  }
  if (csr === "-") throw new UsageError("ERR_USAGE", "--csr takes the name of a file");
}

function asData(made: GeneratedKey, key: PublicKey, { path, csr, hybrid }: Written): unknown {
  return {
    uri: made.key.uri,
    kind: kindOf(made, hybrid),
    label: made.key.label,
    fingerprint: fingerprintText(key),
    uses: made.key.uses,
    ...defined({ oaep: made.oaep }),
    notHonoured: made.notHonoured,
    ...defined({ file: path, request: csr, seedFile: hybrid?.seedFile }),
  };
}

function describe(made: GeneratedKey, key: PublicKey, { path, csr, hybrid }: Written): string {
  return table([
    ["key", made.key.uri],
    ["kind", kindOf(made, hybrid)],
    ["fingerprint", fingerprintText(key)],
    ...(made.oaep === undefined ? [] : [["OAEP", made.oaep.join(", ") || "none"]]),
    ...(path === undefined ? [] : [["public key", path]]),
    ...(csr === undefined ? [] : [["request", csr]]),
    ...(hybrid === undefined ? [] : [["seed file", hybrid.seedFile]]),
  ]);
}

function kindOf(made: GeneratedKey, hybrid: HybridOptions | undefined): string {
  return hybrid === undefined ? made.key.kind : HYBRID_PARTS[hybrid.kem].name;
}
