/**
 * A receiver that keeps the promises of `p11seal open --from`, with the same data folder: one of
 * the trusted senders signed the message, it is fresh, it was not accepted before, and a crash
 * neither loses it nor lets it in twice. What a custodian re-wrapped is taken if `custodians` in
 * config.toml names that custodian.
 *
 *   p11seal senders add zoe zoe.pem
 *   p11seal ledger init
 *   node examples/receive-once.mjs "$P11SEAL_HOME" alice.key report.p11s report.txt
 *
 * The order of the steps is what the promises rest on; docs/library.md explains it.
 */
import { createReadStream, createWriteStream } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { open, P11SealError, softwareIdentity } from "p11seal";
import {
  acceptedCustodians,
  admit,
  appendAudit,
  auditFiles,
  closeHomeLedger,
  openHomeLedger,
  openPolicy,
  passedOnBy,
  placeNew,
  readConfig,
  readDirectory,
  requireOwnFolder,
  requireSigned,
  syncFolder,
  temporaryBeside,
  trustedCustodian,
  trustedSender,
} from "p11seal/records";

const [home = "", keyFile = "", message = "", output = ""] = process.argv.slice(2);

/** Not an error: a run that a crash ended accepted the message, and left its plaintext whole. */
class AlreadyDecrypted extends Error {}

const final = resolve(output);
const temporary = temporaryBeside(final);

// A folder that others can write to may hold their senders, their ledger.
requireOwnFolder(home);
const config = await readConfig(home);
const policy = openPolicy(config, { from: ["any"] });
if (policy === undefined) throw new TypeError("the policy demands something");
const ledger = await openHomeLedger(home);
/** @type {import("p11seal/records").Reservation | undefined} */
let reservation;
/** @type {import("p11seal").SenderInfo | undefined} */
let signer;

/** @type {import("p11seal/records").DirectoryEntry | undefined} */
let custodian;

/**
 * Called before `authenticate`, and only for a message that a custodian re-wrapped for others.
 *
 * @param {import("p11seal").PassedOn} record
 */
async function passedOn(record) {
  custodian = trustedCustodian(await readDirectory(home, "custodians"), record, {
    accepted: acceptedCustodians(config, []),
    nowMs: Date.now(),
    skewMs: policy?.skewMs,
  });
}

/** @param {import("p11seal").SenderInfo | undefined} sender */
async function authenticate(sender) {
  signer = requireSigned(sender);
  const nowMs = Date.now();
  const senders = await readDirectory(home, "senders");
  trustedSender(senders, signer, { from: policy?.from ?? "any", nowMs });
  // From here on this process, and no other, may open the message.
  const rules = { windowMs: policy?.windowMs, skewMs: policy?.skewMs };
  const output = { temporary, final };
  reservation = await admit(signer, ledger, { nowMs, ...rules, output, custodian });
  const { redelivery } = reservation;
  if (redelivery?.kind === "waiting" && redelivery.output.final === final) {
    throw new AlreadyDecrypted(redelivery.output.temporary);
  }
}

/**
 * Accepts the message whose whole plaintext is on the disk under `from`, and names it.
 *
 * @param {string} from
 */
async function deliver(from) {
  const acceptance = await reservation?.commit({ temporary: from, final });
  if (acceptance === undefined) throw new TypeError("nothing is reserved");
  await note("opened", acceptance.witness);
  placeNew(from, final);
  await syncFolder(dirname(final));
  await acceptance.delivered();
}

/**
 * @param {string} outcome
 * @param {import("p11seal/records").LedgerWitness} [witness]
 */
async function note(outcome, witness) {
  if (signer === undefined) return;
  const { messageId, keyId, passedOn } = signer;
  const about = {
    ...{ event: /** @type {const} */ ("open"), outcome, messageId, sender: keyId },
    ...(witness && { ledger: witness }),
  };
  await appendAudit(
    auditFiles(home),
    passedOn === undefined ? about : { ...about, passedOn: passedOnBy(passedOn) },
    Date.now(),
  );
}

try {
  const { plaintext } = await open(createReadStream(message), {
    passedOn,
    authenticate,
    // Called once the message was admitted: what is refused never gets near a key.
    identities: async () => [softwareIdentity(await readFile(keyFile), keyFile)],
  });
  const file = createWriteStream(temporary, { flags: "wx", mode: 0o600, flush: true });
  // The stream ends only if the whole message was its sender's.
  await pipeline(plaintext.node(), file);
  await deliver(temporary);
  console.log(`accepted message ${signer?.messageId}`);
} catch (error) {
  if (error instanceof AlreadyDecrypted) {
    await deliver(error.message);
    console.log(`delivered message ${signer?.messageId}`);
  } else {
    await rm(temporary, { force: true });
    if (!(error instanceof P11SealError)) throw error;
    await note(error.code);
    console.error(`${error.code}: ${error.message}`);
    process.exitCode = 1;
  }
} finally {
  await reservation?.release();
  await closeHomeLedger(home, ledger);
}
