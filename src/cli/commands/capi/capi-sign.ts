/** `p11seal capi sign` and `verify`: CryptSignHash and CryptVerifySignature. */
import {
  signData,
  signDigest,
  verifyData,
  verifyDigest,
  type SignatureForm,
} from "../../../capi/index.js";
import { doesNotHold } from "../../../capi/signature-doubts.js";
import { DIGEST_BYTES, requireSigning, requireVerifiable } from "../../../capi/hash-signature.js";
import { defined } from "../../../defined.js";
import { type AuthenticationError, UsageError } from "../../../errors.js";
import { fingerprintText } from "../../../keys/public-key.js";
import type { Arguments } from "../../arguments/arguments.js";
import { CapiKeys } from "./capi-keys.js";
import { publicOutput, smallInput } from "./capi-message.js";
import { hexOption, signatureForm } from "./capi-parameters.js";
import { openInput, requireOneStdin, type Input } from "../../io/inputs.js";
import { write, type Io } from "../../io/io.js";
import { commit } from "../../io/outputs.js";
import { knownSender, senderData } from "../../find/sender.js";
import { json, table } from "../../io/table.js";
import { binaryToTerminal } from "../../io/terminal-guard.js";
import { withTokens } from "../../find/tokens.js";
import type { Context } from "../../command.js";

export async function capiSignCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io } = context;
  const form = signatureForm(args);
  requireSigning(form);
  const digest = digestOf(args, form);
  const paths = dataPaths(args, io);
  const target = args.text("output");
  requireOneStdin([...paths, args.required("identity")]);
  if (target === undefined && io.stdout.isTTY === true) throw binaryToTerminal("a signature");

  await withTokens(args, context, async (tokens) => {
    const inputs = await openAll(paths, io);
    try {
      const output = await publicOutput(target, inputs, args, context);
      try {
        // The bare operation, as CryptSignHash is: whom it may convince is for the verifier to say.
        const keys = new CapiKeys(tokens, context, true);
        const key = await (await keys.signing(args.required("identity"))).unlock();
        const signature =
          digest === undefined
            ? await signData(key, inOrder(inputs), form)
            : await signDigest(key, digest, form);
        await output.write(signature);
        await commit(output);
      } finally {
        await output.close();
      }
    } finally {
      for (const input of inputs) await input.close();
    }
  });
}

export async function capiVerifyCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io, report } = context;
  const form = signatureForm(args);
  const allowMd5 = args.flag("allow-md5");
  if (!allowMd5) requireVerifiable(form);
  const digest = digestOf(args, form);
  const paths = dataPaths(args, io);
  const signaturePath = args.required("signature");
  requireOneStdin([...paths, signaturePath, args.required("signer")]);

  await withTokens(args, context, async (tokens) => {
    const keys = new CapiKeys(tokens, context, args.flag("allow-weak"));
    const signer = await keys.signer(args.required("signer"), "--signer");
    const signature = await smallInput(signaturePath, io);
    const inputs = [signature.input];
    try {
      const data = await openAll(paths, io);
      inputs.push(...data);
      const holds =
        digest === undefined
          ? await verifyData(signer, inOrder(data), signature.bytes, { ...form, allowMd5 })
          : verifyDigest(signer, digest, signature.bytes, form);
      if (!holds) throw notHolding({ bytes: signature.bytes, by: signer, form });
    } finally {
      for (const input of inputs) await input.close();
    }
    if (form.hash === "sha1" || form.hash === "md5") {
      report.note(
        `${form.hash} is weak: whoever could choose what was signed may have forged this`,
      );
    }
    const { name, limit } = senderData(await knownSender({ publicKey: signer }, context));
    const fingerprint = fingerprintText(signer);
    const facts = {
      signature: "holds",
      hash: form.hash,
      signer: { name, fingerprint, ...defined({ limit }) },
    };
    const rows = [
      ["signature", `RSA with ${form.hash}, holds`],
      ["signed by", name === null ? fingerprint : `${name}, ${fingerprint}`],
      ...(limit === undefined ? [] : [["not valid", limit]]),
    ];
    await write(io.stdout, args.flag("json") ? json(facts) : table(rows));
  });
}

// ── What is signed ──

/** The files whose bytes are hashed, one after the other; none beside `--digest`. */
function dataPaths(args: Arguments, io: Io): readonly string[] {
  const paths = args.operands;
  if (args.text("digest") !== undefined) {
    if (paths.length === 0) return paths;
    throw new UsageError("ERR_USAGE", "--digest is in a file's place, and there is a file");
  }
  if (paths.length > 0) return paths;
  if (io.stdin.isTTY === true) {
    throw new UsageError("ERR_USAGE", "no file was given, and stdin is the terminal");
  }
  return ["-"];
}

/** `--digest`: a finished hash value. */
function digestOf(args: Arguments, { hash, description }: SignatureForm): Uint8Array | undefined {
  const digest = hexOption(args, "digest");
  if (digest === undefined) return undefined;
  if (description !== undefined) {
    throw new UsageError("ERR_USAGE", "--description can't be added to a finished hash value");
  }
  if (digest.length !== DIGEST_BYTES[hash]) {
    throw new UsageError(
      "ERR_USAGE",
      `--digest has ${digest.length} bytes, ${hash} has ${DIGEST_BYTES[hash]}`,
    );
  }
  return digest;
}

async function openAll(paths: readonly string[], io: Io): Promise<Input[]> {
  const inputs: Input[] = [];
  try {
    for (const path of paths) inputs.push(await openInput(path, io));
    return inputs;
  } catch (error) {
    for (const input of inputs) await input.close();
    throw error;
  }
}

async function* inOrder(inputs: readonly Input[]): AsyncGenerator<Uint8Array, void, undefined> {
  for (const input of inputs) yield* input.chunks;
}

function notHolding(signature: Parameters<typeof doesNotHold>[2]): AuthenticationError {
  return doesNotHold(
    "the signature does not hold",
    "the data was altered, or another key signed it; or --description differs",
    signature,
  );
}
