/** Who signs the messages of one command: as a sender in p11seal's own format, or as CMS has it. */
import { defined } from "../../../defined.js";
import type { CmsSealOptions, Sender } from "../../../envelope/seal-options.js";
import type { SigningPublicKey } from "../../../keys/key.js";
import type { Context } from "../../command.js";
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
 * Finds the key, and its certificate for CMS; no PIN is asked for.
 *
 * @throws as `signerAt`, `certificateToSignWith`
 */
export async function signerOf(
  options: SigningOptions,
  cms: CmsChoices | undefined,
  tokens: Tokens,
  context: Context,
): Promise<MessageSigner> {
  const identity = await signerAt(options.key, tokens, context);
  const { publicKey } = identity;
  if (cms === undefined) {
    return {
      publicKey,
      async sign(current, rulesHash) {
        const sender = await senderOf(identity, options, current);
        return { sender: { ...sender, ...defined({ rulesHash }) } };
      },
    };
  }
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
