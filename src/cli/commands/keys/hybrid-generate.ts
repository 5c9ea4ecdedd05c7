/**
 * `p11seal keys generate --type mlkem…`: a hybrid key, whose half on a curve is made on the
 * token, and whose ML-KEM seed goes into a file, sealed to that half.
 */
import { ascii } from "../../../bytes.js";
import { TokenError, UsageError } from "../../../errors.js";
import { requireExchange } from "../../../keys/recipient-strength.js";
import { formatHybridFile, newHybridFile } from "../../../envelope/hybrid-file.js";
import type { HybridKem, HybridPublicKey, PublicKey, Recipient } from "../../../keys/key.js";
import { quoted } from "../../../store/system-error.js";
import type { GeneratedKey, KeyType } from "../../../token/values.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { resolveRecipients } from "../../find/recipients.js";
import type { Tokens } from "../../find/tokens.js";
import type { Output } from "../../io/output.js";
import { commit, fileOutput, requireDistinct } from "../../io/outputs.js";

/** What the options say of a hybrid key. */
export interface HybridOptions {
  readonly kem: HybridKem;
  /** The type of the half on the token. */
  readonly half: KeyType;
  readonly seedFile: string;
  /** Who else may open the seed, as on the command line. */
  readonly escrow: readonly string[];
}

const HALVES: Readonly<Record<string, { kem: HybridKem; half: KeyType }>> = {
  "mlkem768-p256": { kem: "mlkem768-p256", half: "ec:p256" },
  "mlkem1024-p384": { kem: "mlkem1024-p384", half: "ec:p384" },
};

/**
 * The options, if the type is a hybrid's.
 *
 * @throws UsageError for options that don't go together
 */
export function hybridOptions(type: string, args: Arguments): HybridOptions | undefined {
  const [seedFile, escrow] = [args.text("seed-file"), args.texts("escrow")];
  const found = HALVES[type];
  if (found === undefined) {
    if (seedFile === undefined && escrow.length === 0) return undefined;
    throw new UsageError("ERR_USAGE", "--seed-file and --escrow are for the types mlkem…");
  }
  if (args.required("use") === "sign") {
    throw new UsageError("ERR_USAGE", `keys of type ${type} can only receive, not sign`);
  }
  if (seedFile === undefined || seedFile === "-") {
    throw new UsageError("ERR_USAGE", `a key of type ${type} needs --seed-file FILE`, {
      hint: "tokens have no ML-KEM yet: its half of the key goes into that file, sealed to the token",
    });
  }
  return { ...found, seedFile, escrow };
}

/** The seed file, for its owner only. It is never the public key's. */
export async function seedOutputAt(
  { seedFile }: HybridOptions,
  publicPath: string | undefined,
  args: Arguments,
): Promise<Output> {
  if (publicPath !== undefined && publicPath !== "-") {
    await requireDistinct([seedFile, publicPath]);
  }
  const durable = true;
  return fileOutput(seedFile, { force: args.flag("force"), mode: "private", durable, inputs: [] });
}

/** Who else may open the seed. */
export async function escrowOf(
  { escrow }: HybridOptions,
  tokens: Tokens,
  context: Context,
): Promise<Recipient[]> {
  return escrow.length === 0 ? [] : resolveRecipients(escrow, [], tokens, context);
}

/**
 * The hybrid key around a half that the token has made, its file written.
 *
 * @throws TokenError `ERR_KEY_HALF`: the file can't be written, and the half stays on the token
 */
export async function joined(
  { kem, seedFile }: HybridOptions,
  half: PublicKey,
  about: { made: GeneratedKey; escrow: readonly Recipient[]; seedOutput: Output },
): Promise<HybridPublicKey> {
  const { made, escrow, seedOutput } = about;
  const file = await newHybridFile(kem, requireExchange(half), escrow);
  try {
    await seedOutput.write(ascii(formatHybridFile(file)));
    await commit(seedOutput);
  } catch (error) {
    throw new TokenError("ERR_KEY_HALF", `${quoted(seedFile)} was not written`, {
      hint: `the half on the token is of no use alone; delete it with: p11seal keys delete '${made.key.uri}'`,
      cause: error,
    });
  }
  return file.publicKey;
}

/** What the owner has to know. */
export function warningOf({ seedFile, escrow }: HybridOptions): string {
  const others =
    escrow.length > 0 ? "" : "; --escrow RECIPIENT would have let another key open its seed too";
  return (
    `${quoted(seedFile)} is half of the key: if it is lost, nobody can open what is sealed to the ` +
    `key, token or not. Keep copies of it, secret ones${others}`
  );
}
