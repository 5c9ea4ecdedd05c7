/** `p11seal receipt verify`: who confirms having received what. */
import { readDirectory } from "../../../records/directory/directory-file.js";
import {
  ANY_SENDER,
  requireEntry,
  trustedSender,
  type DirectoryEntry,
} from "../../../records/directory/directory.js";
import { defined } from "../../../defined.js";
import { UsageError } from "../../../errors.js";
import type { SigningPublicKey } from "../../../keys/key.js";
import { fingerprintText } from "../../../keys/public-key.js";
import { requireSigner } from "../../../keys/signer-strength.js";
import { moment } from "../../../records/duration.js";
import { verifyReceipt, type Receipt } from "../../../records/audit/receipt.js";
import type { Arguments } from "../../arguments/arguments.js";
import { knownSender, knownSigner, senderData, type KnownSigner } from "../../find/sender.js";
import { PublicKeys } from "../../find/public-keys.js";
import { withTokens } from "../../find/tokens.js";
import { homeOf } from "../../io/home.js";
import { readSmall, requireOneStdin } from "../../io/inputs.js";
import { write } from "../../io/io.js";
import { json, table } from "../../io/table.js";
import type { Context } from "../../command.js";

export async function receiptVerifyCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io } = context;
  const [path = "-"] = args.operands;
  const key = args.text("key");
  const by = args.text("by");
  if (key !== undefined && by !== undefined) {
    throw new UsageError("ERR_USAGE", "--key and --by both name the receiver; give one of them");
  }
  requireOneStdin([path, ...(key === undefined ? [] : [key])]);
  const senders = await readDirectory(homeOf(io), "senders");
  const bytes = await readSmall(path, io);
  const receipt =
    key === undefined
      ? ofTrusted(bytes, by, senders)
      : verifyReceipt(bytes, await signingKeyOf(key, args, context));
  const { receivedMs, createdMs } = receipt;
  const receiver = await knownSender(
    { publicKey: receipt.receiver, createdMs: receivedMs },
    context,
  );
  const sender = await knownSender({ keyId: receipt.sender, createdMs }, context);
  const known: Known = { receiver, sender, ...(await knownCustodian(receipt, context)) };
  const text = args.flag("json") ? json(asData(receipt, known)) : describe(receipt, known);
  await write(io.stdout, text);
}

/** Signed by the named receiver, or else by any known one, with a key that is still valid. */
function ofTrusted(
  bytes: Uint8Array,
  by: string | undefined,
  senders: readonly DirectoryEntry[],
): Receipt {
  const expected = by === undefined ? undefined : requireEntry(senders, by);
  const receipt = verifyReceipt(bytes, expected && requireSigner(expected.publicKey));
  const signed = { publicKey: receipt.receiver, createdMs: receipt.receivedMs };
  const from = expected === undefined ? ANY_SENDER : [expected.name];
  trustedSender(senders, signed, { from, nowMs: Date.now() });
  return receipt;
}

async function signingKeyOf(
  text: string,
  args: Arguments,
  context: Context,
): Promise<SigningPublicKey> {
  const { publicKey, warnings } = await withTokens(args, context, (tokens) =>
    new PublicKeys(tokens, context).find(text, { purpose: "signature", option: "the key" }),
  );
  for (const warning of warnings) context.report.note(`${text}: ${warning}`);
  return requireSigner(publicKey);
}

/** Whom the user knows of those that a receipt names. */
interface Known {
  readonly receiver: KnownSigner | undefined;
  readonly sender: KnownSigner | undefined;
  readonly custodian?: KnownSigner;
}

async function knownCustodian(
  { passedOn }: Receipt,
  context: Context,
): Promise<Pick<Known, "custodian">> {
  if (passedOn === undefined) return {};
  const key = { keyId: passedOn.custodian, createdMs: passedOn.rewrappedMs };
  return defined({ custodian: await knownSigner(key, "custodians", context) });
}

function asData(receipt: Receipt, known: Known): unknown {
  const { receiver, sender, passedOn, ...statement } = receipt;
  const custodian = passedOn && {
    ...senderData(known.custodian),
    fingerprint: `SHA256:${passedOn.custodian}`,
    rewrappedMs: passedOn.rewrappedMs,
    generation: passedOn.generation,
  };
  return {
    receiver: { ...senderData(known.receiver), fingerprint: fingerprintText(receiver) },
    sender: { ...senderData(known.sender), fingerprint: `SHA256:${sender}` },
    ...statement,
    ...defined({ passedOn: custodian }),
  };
}

function describe(receipt: Receipt, known: Known): string {
  const { passedOn } = receipt;
  const named = (one: KnownSigner | undefined, fingerprint: string): string =>
    one === undefined ? fingerprint : `${one.limit ?? one.name}, ${fingerprint}`;
  return table([
    ["received by", named(known.receiver, fingerprintText(receipt.receiver))],
    ["opened", moment(receipt.receivedMs)],
    ["message", receipt.messageId],
    ["sent by", named(known.sender, `SHA256:${receipt.sender}`)],
    ["sealed", moment(receipt.createdMs)],
    ...(passedOn === undefined
      ? []
      : [
          ["passed on by", named(known.custodian, `SHA256:${passedOn.custodian}`)],
          ["re-wrapped", `${moment(passedOn.rewrappedMs)}, generation ${passedOn.generation}`],
        ]),
    ["serial", `${receipt.serial} of stream ${receipt.streamId}`],
    ["sealed file", `SHA-256 ${receipt.sealedSha256}`],
    ["signature", `${receipt.algorithm}, holds`],
  ]);
}
