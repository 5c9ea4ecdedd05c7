/**
 * A receiver with a policy: one sender is trusted, messages are recent, and each is accepted once.
 *
 *   node examples/receive-with-a-policy.mjs alice.key zoe.pem seen report.p11s report.txt
 *
 * `seen` is a folder with an empty file for each message that was accepted. This policy fits on a
 * page; `p11seal open --from` and receive-once.mjs do more. Their ledger also refuses gaps and old
 * serial numbers, notices when it was put back to an earlier state, and delivers a message that a
 * crash interrupted.
 */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { open, P11SealError, parsePublicKey, PolicyError, softwareIdentity } from "p11seal";

const [keyFile = "", senderFile = "", seen = "", message = "", output = ""] = process.argv.slice(2);

const HOUR = 60 * 60 * 1000;

const alice = softwareIdentity(await readFile(keyFile), keyFile);
const trusted = parsePublicKey(await readFile(senderFile), senderFile).publicKey;
const trustedId = createHash("sha256").update(trusted.spki).digest("hex");
await mkdir(seen, { recursive: true, mode: 0o700 });

/**
 * Called when the signature was found to be valid, and before any private key is used. What is
 * refused here never gets near a token, and costs no PIN.
 *
 * @param {import("p11seal").SenderInfo | undefined} sender undefined: nobody signed
 */
async function authenticate(sender) {
  if (sender === undefined) throw new PolicyError("UNSIGNED", "the message is not signed");
  if (sender.keyId !== trustedId) throw new PolicyError("STRANGER", "signed by an unknown key");
  const age = Date.now() - sender.createdMs;
  if (age > 24 * HOUR) throw new PolicyError("OLD", "the message is older than a day");
  if (age < -HOUR) throw new PolicyError("FUTURE", "the message is dated in the future");
  if (sender.expiresMs !== undefined && sender.expiresMs < Date.now()) {
    throw new PolicyError("EXPIRED", "the sender set an end to the message's life; it has passed");
  }
  if (existsSync(join(seen, sender.messageId))) refuseReplay();
}

/** @param {unknown} [cause] */
function refuseReplay(cause) {
  throw new PolicyError("REPLAYED", "the message was accepted before", { cause });
}

const part = `${output}.${process.pid}.part`;
try {
  const { plaintext, info } = await open(createReadStream(message), {
    identities: [alice],
    authenticate,
  });
  // At the end of the plaintext the sender's signature over the body is checked, too.
  await pipeline(plaintext.node(), createWriteStream(part, { mode: 0o600 }));
  // Now the message is known to be whole and the sender's: it is accepted. "wx" makes the file or
  // fails, so that of two processes that open the same message only one goes on.
  await writeFile(join(seen, info.messageId), "", { flag: "wx" }).catch((error) => {
    if (error.code !== "EEXIST") throw error;
    refuseReplay(error);
  });
  await rename(part, output);
  console.log(`accepted message ${info.messageId}`);
} catch (error) {
  await rm(part, { force: true });
  if (!(error instanceof P11SealError)) throw error;
  console.error(`${error.code}: ${error.message}`);
  process.exitCode = 1;
}
