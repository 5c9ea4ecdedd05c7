/**
 * `p11seal capi receive`: steps 5 and 6 of the article. First whatever can be refused without a
 * key, then the signature, and only then the token, the key and the message.
 */
import { openPolicy, readConfig } from "../../../records/config.js";
import {
  AuthenticMessage,
  parseSimpleBlob,
  receiveMessage,
  type SessionAlgorithm,
} from "../../../capi/index.js";
import { ALGORITHMS } from "../../../capi/algorithms.js";
import { requireAuthentic } from "../../../capi/authentic.js";
import { checkParameters } from "../../../capi/cipher.js";
import { defined } from "../../../defined.js";
import { UsageError } from "../../../errors.js";
import type { OaepDecryption, RsaPrivateKey, RsaPublicKey } from "../../../keys/key.js";
import { Secret } from "../../../secret.js";
import type { Arguments } from "../../arguments/arguments.js";
import { ReceivedOnce } from "./capi-admission.js";
import { CapiKeys } from "./capi-keys.js";
import { deliver, MessageFiles, messagePaths, privateOutput } from "./capi-message.js";
import { cipherParameters, keyPadding, signatureForm } from "./capi-parameters.js";
import { CapiUse } from "./capi-use.js";
import { homeOf } from "../../io/home.js";
import { requireOneStdin } from "../../io/inputs.js";
import { nameOrFingerprint } from "../../find/sender.js";
import { withTokens } from "../../find/tokens.js";
import type { Context } from "../../command.js";

export async function capiReceiveCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io } = context;
  const signedBy = signerOf(args);
  // Refused before any file is read: nothing in one could change it.
  if (signedBy === undefined) requireAuthentic(undefined, args.flag("allow-unauthenticated"));
  const parameters = cipherParameters(args);
  const padding = keyPadding(args);
  const { blob, body } = messagePaths(args, io);
  requireOneStdin([
    ...[body, args.required("identity"), ...(blob === undefined ? [] : [blob])],
    ...(signedBy === undefined ? [] : [signedBy, args.required("signature")]),
  ]);

  await withTokens(args, context, async (tokens) => {
    const keys = new CapiKeys(tokens, context, args.flag("allow-weak"));
    const use = new CapiUse("receive", context);
    const home = homeOf(io);
    const policy = openPolicy(await readConfig(home), { from: [], windowMs: undefined });
    const files = await MessageFiles.open(args, io);
    const target = args.text("output");
    const inLedger = policy !== undefined;
    const output = await privateOutput(target, files.inputs, args, context, inLedger).catch(
      async (error: unknown) => {
        await files.close();
        throw error;
      },
    );
    try {
      if (signedBy !== undefined) await files.body.allowAgain();
      if (output.paths === undefined) await files.body.keep();
      await use.record(async () => {
        const first = await files.read();
        use.received(first.blob);
        const { algorithm } = parseSimpleBlob(first.blob);
        checkParameters(algorithm, parameters);
        let authentic: AuthenticMessage | undefined;
        if (signedBy !== undefined && files.signature !== undefined) {
          const signer = await keys.signer(signedBy, "--signer");
          const form = signatureForm(args);
          authentic = await AuthenticMessage.verify(first, files.signature, signer, form);
          use.signedBy(signer);
        }
        const { blob } = first;
        const admitted =
          policy && (await ReceivedOnce.admit({ authentic, blob }, policy, output, use, context));

        const decryptAndDeliver = async (): Promise<void> => {
          const own = await keys.exchange(args.required("identity"));
          const rejectionSecret = await use.home.rejectionSecret();
          const privateKey = remembering(use.privateKey(own));
          // The signature was over the first reading.
          let unread = authentic === undefined ? first : undefined;
          const decrypted = async (): Promise<AsyncIterable<Uint8Array>> => {
            const message = unread ?? (await files.read());
            unread = undefined;
            const { plaintext } = await receiveMessage({
              ...message,
              ...{ privateKey, parameters, padding, rejectionSecret },
              ...(authentic === undefined ? { allowUnauthenticated: true } : { authentic }),
            });
            return plaintext;
          };
          const anyBytes = target === "-";
          const accept = admitted && (() => admitted.accept());
          try {
            await deliver({ decrypted, output, anyBytes, accept }, context);
          } finally {
            privateKey.wipe();
          }
        };
        try {
          if ((await admitted?.deliverDecrypted()) !== true) await decryptAndDeliver();
          await admitted?.noteDelivered(context);
        } finally {
          await admitted?.release();
        }
        const once = admitted !== undefined;
        await noteReceived({ algorithm, signer: authentic?.signer, once }, context);
      });
    } finally {
      await output.close();
      await files.close();
    }
  });
}

// ── The signature ──

/** `--signer`, with `--signature`: both or neither. */
function signerOf(args: Arguments): string | undefined {
  const signer = args.text("signer");
  if ((signer === undefined) !== (args.text("signature") === undefined)) {
    throw new UsageError("ERR_USAGE", "--signature and --signer go together");
  }
  return signer;
}

// ── The key ──

/** One private key operation, however often the message is decrypted. */
function remembering(key: RsaPrivateKey): RsaPrivateKey & { wipe(): void } {
  let outcome: Promise<Secret | null> | undefined;
  let kept: Secret | null = null;
  const once = async (operation: () => Promise<Secret | null>): Promise<Secret | null> => {
    outcome ??= operation().then((secret) => (kept = secret));
    const secret = await outcome;
    // The caller wipes its copy.
    return secret === null ? null : new Secret(secret.expose().slice());
  };
  const { publicKey, oaep, decryptPkcs1 } = key;
  return {
    publicKey,
    ...defined({
      oaep: oaep && {
        ...oaep,
        decrypt: (...args: Parameters<OaepDecryption["decrypt"]>) =>
          once(() => oaep.decrypt(...args)),
      },
      decryptPkcs1:
        decryptPkcs1 &&
        ((...args: Parameters<typeof decryptPkcs1>) => once(() => decryptPkcs1(...args))),
    }),
    wipe: () => {
      kept?.wipe();
    },
  };
}

// ── Notes about the message ──

interface Received {
  readonly algorithm: SessionAlgorithm;
  readonly signer: RsaPublicKey | undefined;
  /** True if the message can't have been received before. */
  readonly once: boolean;
}

async function noteReceived(
  { algorithm, signer, once }: Received,
  context: Context,
): Promise<void> {
  const { report } = context;
  if (ALGORITHMS[algorithm].weak) report.note(`${algorithm} is weak: others may have read this`);
  if (signer === undefined) {
    report.note("not authenticated: anyone can have made or altered this message");
  } else {
    const who = await nameOrFingerprint({ publicKey: signer }, context);
    const replay = once ? "not received before" : "whether it was received before is not checked";
    report.note(`signed by ${who}; ${replay}`);
  }
  noteBetterWay(context);
}

/** Advice on how to leave this format. */
export function noteBetterWay({ report }: Context): void {
  report.note(
    "CryptoAPI's exchange has no authentication of its own: where the peer can run p11seal, " +
      "give it a key from `p11seal keys export`, and have it use `p11seal seal`",
  );
}
