/**
 * Opens a message with a key on a token.
 *
 *   node examples/open-with-a-token.mjs 'pkcs11:token=office;object=exchange' file:office.pin \
 *     report.p11s report.txt
 *
 * The token's module is looked for as the command line does; P11SEAL_MODULE names one.
 */
import { createReadStream, createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { open, P11SealError } from "p11seal";
import { parseUri, pinFromSource, TokenProcess } from "p11seal/token";

const [uri = "", pinSource = "", message = "", output = ""] = process.argv.slice(2);

// The vendor's module runs in a process of its own: if it crashes, this program gets an error.
const tokens = new TokenProcess({
  home: process.env["P11SEAL_HOME"] ?? join(homedir(), ".p11seal"),
  env: process.env,
  // Asked when a message for this key has been found, and once for each token.
  pin: pinFromSource(pinSource),
});

try {
  const opened = await open(createReadStream(message), {
    // A function, so that no token is touched for what is no message.
    identities: async () => [tokens.identity(await tokens.findKey(parseUri(uri)))],
  });
  // Each segment is authentic when it arrives, but the message may have been cut. Only when the
  // whole plaintext is there does it get its name.
  const part = `${output}.${process.pid}.part`;
  try {
    await pipeline(opened.plaintext.node(), createWriteStream(part, { mode: 0o600 }));
    await rename(part, output);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
  console.log(`opened with ${opened.identity.name}`);
} catch (error) {
  if (!(error instanceof P11SealError)) throw error;
  // The code is stable: programs can act on it. The hint is advice for a person.
  console.error(`${error.code}: ${error.message}`);
  if (error.hint !== undefined) console.error(`hint: ${error.hint}`);
  process.exitCode = 1;
} finally {
  await tokens.close();
}
