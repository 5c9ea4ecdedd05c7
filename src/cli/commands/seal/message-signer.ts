/** Who signs the messages of one command: as a sender in p11seal's own format, or as CMS has it. */
import { defined } from "../../../defined.js";
import type { CmsSealOptions, Sender } from "../../../envelope/seal-options.js";
import type { SigningPublicKey } from "../../../keys/key.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { agentsSigner } from "../../find/agent.js";
import { signerAt } from "../../find/identity-at.js";
import { senderOf, type SigningOptions } from "../../find/sender.js";
import type { Tokens } from "../../find/tokens.js";
import type { CmsChoices } from "./cms-choices.js";

export interface MessageSigner {
  readonly publicKey: SigningPublicKey;
  /**
   * Makes what one message is signed with. May ask for a PIN.
   *
   * @param rulesHash - SHA-256 of the rules that were obeyed
   */
  sign(context: Context, rulesHash: Uint8Array | undefined): Promise<MessageSignature>;
}

/** One of the two. */
export interface MessageSignature {
  readonly sender?: Sender;
  readonly cms?: CmsSealOptions;
}

/**
 * Finds the key, and its certificate for CMS; no PIN is asked for. An agent that signs with the key
 * is asked before its token.
 *
 * @throws as `agentsSigner`, `signerAt`, `certificateToSignWith`
 */
export async function signerOf(
  args: Arguments,
  options: SigningOptions,
  cms: CmsChoices | undefined,
  tokens: Tokens,
  context: Context,
): Promise<MessageSigner> {
  if (cms === undefined) {
    const agents = await agentsSigner(args, options.key, context);
    tokens.atEnd(() => agents?.close());
    const sending = agents ?? (await signerAt(options.key, tokens, context));
    return {
      publicKey: sending.publicKey,
      async sign(current, rulesHash) {
        const sender = await senderOf(sending, options, current);
        return { sender: { ...sender, ...defined({ rulesHash }) } };
      },
    };
  }
  const identity = await signerAt(options.key, tokens, context);
  const { publicKey } = identity;
  const { certificateToSignWith } = await import("../../find/own-certificate.js");
  const own = await certificateToSignWith(identity, cms.certificates, context);
  return {
    publicKey,
    async sign() {
      const key = await identity.unlock();
      return { cms: { signer: { ...own, key, signingTimeMs: Date.now() } } };
    },
  };
}
