/**
 * `p11seal capi store` and `open-stored`: session keys that outlive a message ("Storing Session
 * Keys").
 */
import {
  decryptMessage,
  encodePlaintextKeyBlob,
  encryptMessage,
  generateSessionKey,
  openStoredKey,
  requireStored,
  parsePlaintextKeyBlob,
  parseSimpleBlob,
  storeSessionKey,
  type SessionKey,
} from "../../../capi/index.js";
import { checkParameters } from "../../../capi/cipher.js";
import { requireAuthentic } from "../../../capi/authentic.js";
import { requireFreshIv, requireSoundCipher } from "../../../capi/exchange.js";
import { UsageError } from "../../../errors.js";
import { fingerprintText } from "../../../keys/public-key.js";
import type { Arguments } from "../../arguments/arguments.js";
import { CapiKeys } from "./capi-keys.js";
import { deliver, privateOutput, publicOutput, Rereadable, smallInput } from "./capi-message.js";
import {
  cipherParameters,
  keyPadding,
  sessionKeyOptions,
  signatureForm,
  storedHash,
} from "./capi-parameters.js";
import { CapiUse } from "./capi-use.js";
import { requireOneStdin } from "../../io/inputs.js";
import type { Output } from "../../io/output.js";
import { commit, requireDistinct } from "../../io/outputs.js";
import { table } from "../../io/table.js";
import { binaryToTerminal } from "../../io/terminal-guard.js";
import { write } from "../../io/io.js";
import { withTokens } from "../../find/tokens.js";
import type { Context } from "../../command.js";

export async function capiStoreCommand(args: Arguments, context: Context): Promise<undefined> {
  const blobPath = args.required("output");
  const signaturePath = signaturePathOf(blobPath, args);
  const hash = storedHash(args);
  const plaintextKey = args.text("plaintext-key");
  requireOneStdin([
    ...[args.required("identity"), args.required("sign-with")],
    ...(plaintextKey === undefined ? [] : [plaintextKey]),
  ]);
  if (blobPath === "-" || signaturePath === "-") {
    throw new UsageError("ERR_USAGE", "a stored key and its signature go to files, not to stdout");
  }
  await requireDistinct([blobPath, signaturePath]);

  await withTokens(args, context, async (tokens) => {
    const outputs: Output[] = [];
    let key: SessionKey | undefined;
    try {
      const blobFile = await publicOutput(blobPath, [], args, context);
      outputs.push(blobFile);
      const signatureFile = await publicOutput(signaturePath, [], args, context);
      outputs.push(signatureFile);
      const keys = new CapiKeys(tokens, context, args.flag("allow-weak"));
      key = await newKey(plaintextKey, args, context);
      const own = await keys.exchange(args.required("identity"));
      const signer = await (await keys.signing(args.required("sign-with"))).unlock();
      const stored = await storeSessionKey(key, own.publicKey, {
        ...{ signer, form: { hash }, padding: keyPadding(args) },
        allowWeak: args.flag("allow-weak"),
      });
      await blobFile.write(stored.blob);
      await signatureFile.write(stored.signature);
      await commit(...outputs);
    } finally {
      key?.bytes.wipe();
      for (const output of outputs) await output.close();
    }
  });
}

export async function capiOpenStoredCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io } = context;
  const task = taskOf(args, context);
  const parameters = cipherParameters(args);
  const blobPath = args.required("blob");
  const signaturePath = signaturePathOf(blobPath, args);
  requireOneStdin([
    ...[blobPath, signaturePath, args.required("signer"), args.required("identity")],
    ...(task.source === undefined ? [] : [task.source]),
  ]);

  await withTokens(args, context, async (tokens) => {
    const opened: Closing[] = [];
    const closed = <T extends Closing>(one: T): T => {
      opened.push(one);
      return one;
    };
    const use = new CapiUse("open-stored", context);
    try {
      const blob = await smallInput(blobPath, io);
      closed(blob.input);
      const signature = await smallInput(signaturePath, io);
      const inputs = [blob.input, closed(signature.input)];
      const body =
        task.source === undefined ? undefined : closed(await Rereadable.open(task.source, io));
      if (body !== undefined) inputs.push(body.input);
      const open = task.kind === "encrypt" ? publicOutput : privateOutput;
      const output = closed(await open(args.text("output"), inputs, args, context));
      if (task.kind === "decrypt" && output.paths === undefined) await body?.keep();

      use.received(blob.bytes);
      await use.record(async () => {
        const { algorithm } = parseSimpleBlob(blob.bytes);
        if (task.kind === "decrypt") checkParameters(algorithm, parameters);
        if (task.kind === "encrypt") {
          requireSoundCipher(algorithm, parameters, args.flag("allow-weak"));
          requireFreshIv(algorithm, parameters);
        }
        const keys = new CapiKeys(tokens, context, args.flag("allow-weak"));
        const signer = await keys.signer(args.required("signer"), "--signer");
        const stored = { blob: blob.bytes, signature: signature.bytes };
        const form = signatureForm(args);
        // A token that hides its keys gets its PIN to look for one: not for a stranger's blob.
        await requireStored(stored, signer, form);
        const own = await keys.exchange(args.required("identity"));
        const key = await openStoredKey(stored, use.privateKey(own), signer, {
          ...{ form, padding: keyPadding(args) },
        });
        use.signedBy(signer);
        try {
          switch (task.kind) {
            case "decrypt": {
              const decrypted = () =>
                Promise.resolve(decryptMessage(key, parameters, body?.chunks() ?? []));
              const anyBytes = args.text("output") === "-";
              await deliver({ decrypted, output, anyBytes }, context);
              return;
            }
            case "encrypt":
              for await (const chunk of encryptMessage(key, parameters, body?.chunks() ?? [])) {
                await output.write(chunk);
              }
              await commit(output);
              return;
            case "plaintext-key": {
              const blobInClear = encodePlaintextKeyBlob(key);
              await output.write(blobInClear.expose());
              blobInClear.wipe();
              await commit(output);
              return;
            }
            case "show":
              await write(io.stdout, describe(key, fingerprintText(signer)));
          }
        } finally {
          key.bytes.wipe();
        }
      });
    } finally {
      for (const one of opened.reverse()) await one.close();
    }
  });
}

interface Closing {
  close(): Promise<void>;
}

/** `--signature`, or else a file beside the blob. */
export function signaturePathOf(blobPath: string, args: Arguments): string {
  return args.text("signature") ?? `${blobPath}.sig`;
}

// ── What to do with the key ──

interface Task {
  readonly kind: "encrypt" | "decrypt" | "plaintext-key" | "show";
  /** The file to encrypt or decrypt. */
  readonly source?: string;
}

function taskOf(args: Arguments, { io }: Context): Task {
  const encrypt = args.text("encrypt");
  const decrypt = args.text("decrypt");
  const tasks: Task[] = [
    ...(encrypt === undefined ? [] : [{ kind: "encrypt" as const, source: encrypt }]),
    ...(decrypt === undefined ? [] : [{ kind: "decrypt" as const, source: decrypt }]),
    ...(args.flag("plaintext-key") ? [{ kind: "plaintext-key" as const }] : []),
  ];
  const [task = { kind: "show" as const }, ...more] = tasks;
  if (more.length > 0) {
    throw new UsageError("ERR_USAGE", "give one of --encrypt, --decrypt and --plaintext-key");
  }
  const output = args.text("output");
  if (task.kind === "show" && output !== undefined) {
    throw new UsageError(
      "ERR_USAGE",
      "nothing to write to -o: give --encrypt, --decrypt or --plaintext-key",
    );
  }
  if (task.kind === "decrypt") requireAuthentic(undefined, args.flag("allow-unauthenticated"));
  const binary = task.kind === "encrypt" || task.kind === "plaintext-key";
  if (binary && output === undefined && io.stdout.isTTY === true) {
    throw binaryToTerminal(task.kind === "encrypt" ? "ciphertext" : "a key");
  }
  return task;
}

async function newKey(
  plaintextKey: string | undefined,
  args: Arguments,
  { io }: Context,
): Promise<SessionKey> {
  const { algorithm, keyBits } = sessionKeyOptions(args);
  const allowWeak = args.flag("allow-weak");
  if (plaintextKey === undefined) {
    requireSoundCipher(algorithm, {}, allowWeak);
    return generateSessionKey(algorithm, keyBits);
  }
  const { input, bytes } = await smallInput(plaintextKey, io);
  await input.close();
  try {
    return parsePlaintextKeyBlob(bytes);
  } finally {
    bytes.fill(0);
  }
}

function describe({ algorithm, bytes }: SessionKey, signer: string): string {
  return table([
    ["stored key", `${algorithm}, ${8 * bytes.length} bits`],
    ["signature", `holds, ${signer}`],
  ]);
}
