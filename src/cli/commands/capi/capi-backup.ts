/**
 * `p11seal capi back-up` and `recover`: a session key with a trusted authority ("Using a Backup
 * Authority").
 */
import {
  backUpSessionKey,
  openBackup,
  openStoredKey,
  requireStored,
  parseBackupRecord,
  storeSessionKey,
  type BackupRecord,
} from "../../../capi/index.js";
import { signedPart } from "../../../capi/stored-keys.js";
import { verifyData } from "../../../capi/hash-signature.js";
import { AuthenticationError, PolicyError, UsageError } from "../../../errors.js";
import type { RsaPublicKey } from "../../../keys/key.js";
import { fingerprintText } from "../../../keys/public-key.js";
import type { Arguments } from "../../arguments/arguments.js";
import { CapiKeys } from "./capi-keys.js";
import { publicOutput, smallInput } from "./capi-message.js";
import { keyPadding, storedHash } from "./capi-parameters.js";
import { CapiUse } from "./capi-use.js";
import { confirm } from "../../io/confirm.js";
import { requireOneStdin, type Input } from "../../io/inputs.js";
import { write } from "../../io/io.js";
import type { Output } from "../../io/output.js";
import { commit, requireDistinct } from "../../io/outputs.js";
import { json, table } from "../../io/table.js";
import { withTokens } from "../../find/tokens.js";
import type { Context } from "../../command.js";
import { signaturePathOf } from "./capi-stored.js";

export async function capiBackUpCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io } = context;
  const serialNumber = serialOf(args.required("serial"));
  const description = args.required("description");
  const hash = storedHash(args);
  const padding = keyPadding(args);
  const blobPath = args.required("blob");
  const signaturePath = signaturePathOf(blobPath, args);
  requireOneStdin([
    ...[blobPath, signaturePath, args.required("authority")],
    ...[args.required("identity"), args.required("sign-with")],
  ]);

  await withTokens(args, context, async (tokens) => {
    const allowWeak = args.flag("allow-weak");
    const keys = new CapiKeys(tokens, context, allowWeak);
    const use = new CapiUse("back-up", context);
    const blob = await smallInput(blobPath, io);
    const signature = await smallInput(signaturePath, io).catch(async (error: unknown) => {
      await blob.input.close();
      throw error;
    });
    const inputs = [blob.input, signature.input];
    let output: Output | undefined;
    try {
      output = await publicOutput(args.required("output"), inputs, args, context);
      const record = output;
      use.received(blob.bytes);
      await use.record(async () => {
        const authority = await keys.recipient(args.required("authority"), "--authority");
        const signing = await keys.signing(args.required("sign-with"));
        const stored = { blob: blob.bytes, signature: signature.bytes };
        await requireStored(stored, signing.publicKey, { hash });
        const own = await keys.exchange(args.required("identity"));
        const key = await openStoredKey(stored, use.privateKey(own), signing.publicKey, {
          ...{ form: { hash }, padding },
        });
        use.signedBy(signing.publicKey);
        try {
          const about = { serialNumber, description };
          const signer = await signing.unlock();
          const options = { signer, padding, allowWeak, hash };
          await record.write(await backUpSessionKey(key, authority, about, options));
          await commit(record);
        } finally {
          key.bytes.wipe();
        }
      });
    } finally {
      await output?.close();
      for (const input of inputs) await input.close();
    }
  });
}

export async function capiRecoverCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io } = context;
  const [path = ""] = args.operands;
  const task = recoveryOf(args);
  const expected =
    args.text("serial") === undefined ? undefined : serialOf(args.required("serial"));
  const hash = storedHash(args);
  requireOneStdin([
    ...[path, args.required("client")],
    ...(task === undefined ? [] : [task.identity, task.to, task.signWith]),
  ]);

  await withTokens(args, context, async (tokens) => {
    const keys = new CapiKeys(tokens, context, args.flag("allow-weak"));
    const client = await keys.signer(args.required("client"), "--client");
    const { input, bytes } = await smallInput(path, io);
    try {
      const record = parseBackupRecord(bytes);
      await requireSigned(record, client);
      requireSerial(record, expected);
      const text = args.flag("json")
        ? json(asData(record, client))
        : table(describe(record, client));
      await write(io.stdout, text);
      if (task === undefined) return;
      if (expected === undefined) await confirmRecovery(record, context);
      await recover(record, client, { ...task, hash }, { args, keys, input }, context);
    } finally {
      await input.close();
    }
  });
}

// ── Recovering ──

interface Recovery {
  readonly identity: string;
  readonly to: string;
  readonly signWith: string;
  readonly output: string;
  readonly signature: string;
}

/** The options that recover a key; undefined if the record is only shown. */
function recoveryOf(args: Arguments): Recovery | undefined {
  const [to, identity, signWith, output] = ["to", "identity", "sign-with", "output"].map((name) =>
    args.text(name),
  );
  if (to === undefined) {
    if ([identity, signWith, output, args.text("signature")].every((text) => text === undefined)) {
      return undefined;
    }
    throw new UsageError("ERR_USAGE", "--to is missing: the client's new exchange key");
  }
  if (identity === undefined || signWith === undefined || output === undefined) {
    throw new UsageError("ERR_USAGE", "--to needs -i, --sign-with and -o", {
      hint: "the client checks your signature before the recovered key is used",
    });
  }
  const signature = signaturePathOf(output, args);
  if (output === "-" || signature === "-") {
    throw new UsageError(
      "ERR_USAGE",
      "a recovered key and its signature go to files, not to stdout",
    );
  }
  return { identity, to, signWith, output, signature };
}

async function recover(
  record: BackupRecord,
  client: RsaPublicKey,
  task: Recovery & { readonly hash: BackupRecord["hash"] },
  { args, keys, input }: { args: Arguments; keys: CapiKeys; input: Input },
  context: Context,
): Promise<void> {
  const use = new CapiUse("recover", context);
  const outputs: Output[] = [];
  await requireDistinct([task.output, task.signature]);
  try {
    for (const path of [task.output, task.signature]) {
      outputs.push(await publicOutput(path, [input], args, context));
    }
    const [blobFile, signatureFile] = outputs as [Output, Output];
    use.received(record.blob);
    use.signedBy(client);
    await use.record(async () => {
      const to = await keys.recipient(task.to, "--to");
      const own = await keys.exchange(task.identity);
      const signing = await keys.signing(task.signWith);
      const padding = keyPadding(args);
      const key = await openBackup(record, use.privateKey(own), client, { padding });
      try {
        const signer = await signing.unlock();
        const form = { hash: task.hash };
        const allowWeak = args.flag("allow-weak");
        const stored = await storeSessionKey(key, to, { signer, form, padding, allowWeak });
        await blobFile.write(stored.blob);
        await signatureFile.write(stored.signature);
        await commit(...outputs);
      } finally {
        key.bytes.wipe();
      }
    });
  } finally {
    for (const output of outputs) await output.close();
  }
}

// ── The record ──

/** The record is shown to people, so it is checked even if no key is used. */
async function requireSigned(record: BackupRecord, client: RsaPublicKey): Promise<void> {
  const { hash, signature } = record;
  if (await verifyData(client, signedPart(record), signature, { hash })) return;
  throw new AuthenticationError("ERR_SENDER_SIGNATURE", "the record is not signed by that client", {
    hint: "--client names another client's key, or the record was changed",
  });
}

function requireSerial({ serialNumber }: BackupRecord, expected: bigint | undefined): void {
  if (expected === undefined || expected === serialNumber) return;
  throw new PolicyError(
    "ERR_SERIAL_NUMBER",
    `the record has serial number ${serialNumber}, the client named ${expected}`,
    { hint: "make sure that the client asks for it, and which key they mean" },
  );
}

/** Only a person can say that whoever asks has proved who they are, and which key they mean. */
async function confirmRecovery(record: BackupRecord, { io }: Context): Promise<void> {
  await confirm(io, {
    act: "giving a key away",
    question:
      `give the key "${record.description}" to whoever holds the new key? has the client proved ` +
      "who they are? type the record's serial number to confirm:",
    word: String(record.serialNumber),
    otherwise: "--serial N, the number the client named, confirms",
    refused: "no key was used",
  });
}

function serialOf(text: string): bigint {
  if (!/^[0-9]{1,20}$/.test(text)) {
    throw new UsageError("ERR_SERIAL_NUMBER", `--serial takes a whole number, not "${text}"`);
  }
  return BigInt(text);
}

function asData({ hash, serialNumber, description }: BackupRecord, client: RsaPublicKey): unknown {
  return {
    serialNumber: String(serialNumber),
    description,
    hash,
    client: fingerprintText(client),
    signature: "holds",
  };
}

function describe(record: BackupRecord, client: RsaPublicKey): string[][] {
  return [
    ["serial number", String(record.serialNumber)],
    ["description", record.description],
    ["signed by", `${fingerprintText(client)}, with ${record.hash}; the signature holds`],
  ];
}
