/**
 * An exchange key that signs the request for its own certificate and nothing afterwards. NIST SP
 * 800-57 part 1 §5.2 permits that one signature to a key that otherwise has one purpose; no
 * request of PKCS #10 is without it.
 *
 * The key begins as a session object that may sign: if anything fails, or the process ends, it is
 * gone. What stays on the token is a copy without CKA_SIGN that can't be given it again.
 */
import { TokenError } from "../../errors.js";
import { failedWith, origin, refusesTemplate } from "../modules/call.js";
import type { AttributeValues } from "../modules/template.js";
import type { Session } from "../session/session.js";
import { type Draft, without } from "./key-policy.js";

/** The handles of a pair. */
export interface Handles {
  readonly publicKey: Buffer;
  readonly privateKey: Buffer;
}

/**
 * Makes the pair of a draft and its request.
 *
 * @param make - generates a pair
 * @param sign - has the private key, while it may, sign the request
 * @throws TokenError `ERR_MECHANISM`: the token can't take signing away; none of the pair is left
 */
export async function requestingPair(
  session: Session,
  draft: Draft,
  make: (halves: Pick<Draft, "publicHalf" | "privateHalf">) => Promise<Handles>,
  sign: (pair: Handles) => Promise<Uint8Array>,
): Promise<Handles & { readonly request: Uint8Array }> {
  const brief = await make({
    publicHalf: { ...draft.publicHalf, TOKEN: false },
    privateHalf: {
      ...without(draft.privateHalf, ["COPYABLE"]),
      ...{ TOKEN: false, SIGN: true, MODIFIABLE: true },
    },
  });
  const made: Buffer[] = [];
  try {
    const request = await sign(brief);
    const privateKey = copied(session, brief.privateKey, WITHOUT_SIGNING);
    made.push(privateKey);
    if (session.flag(privateKey, "SIGN") !== false) throw keepsSigning();
    const publicKey = copied(session, brief.publicKey, [{ TOKEN: true }]);
    return { publicKey, privateKey, request };
  } catch (error) {
    for (const object of made) session.destroy(object);
    throw error;
  } finally {
    session.destroy(brief.privateKey);
    session.destroy(brief.publicKey);
  }
}

/** The strictest first: SoftHSM knows CKA_COPYABLE and takes no new value for a copy. */
const WITHOUT_SIGNING: readonly AttributeValues[] = [
  { TOKEN: true, SIGN: false, MODIFIABLE: false, COPYABLE: false },
  { TOKEN: true, SIGN: false, MODIFIABLE: false },
];

function copied(session: Session, object: Buffer, ways: readonly AttributeValues[]): Buffer {
  let refusal: TokenError | undefined;
  for (const way of ways) {
    try {
      return session.copy(object, way);
    } catch (error) {
      const mayDiffer = refusesTemplate(error) || failedWith(error, "CKR_GENERAL_ERROR");
      if (!(error instanceof TokenError)) throw error;
      refusal = error;
      if (!mayDiffer) break;
    }
  }
  throw keepsSigning(refusal);
}

/** Why there is no request, and what else a CA may do. */
export function keepsSigning(cause?: TokenError): TokenError {
  const why = cause === undefined ? "" : `: ${cause.message}`;
  return new TokenError(
    "ERR_MECHANISM",
    `the token makes no exchange key that signs its own request and nothing else${why}`,
    { hint: WITHOUT_REQUEST, ...(cause && origin(cause)) },
  );
}

/** How a key that signs nothing gets its certificate. */
export const WITHOUT_REQUEST =
  "a CA can certify the public key without the key's signature, as in: p11seal keys export URI " +
  "-o key.pem; openssl x509 -new -subj … -force_pubkey key.pem -CA ca.pem -CAkey ca.key";
