/**
 * Makes a development token and a key on it, and seals and opens a message with that key: what an
 * exchange with hardware looks like, without the hardware. Needs SoftHSM.
 *
 *   node examples/development-token.mjs 'pkcs11:token=dev?pin-source=file:/home/me/dev.pin' \
 *     dev-home /usr/lib/softhsm/libsofthsm2.so
 *
 * `TokenAccess` runs the module in this process, which is well for SoftHSM. A vendor's module may
 * crash and take its process along: open-with-a-token.mjs runs it in another one.
 */
import { randomBytes } from "node:crypto";
import { resolve } from "node:path";
import { open, P11SealError, requireExchange, seal, UsageError } from "p11seal";
import { initDevelopmentToken, parseUri, pinFromUri, TokenAccess } from "p11seal/token";

const [text = "", folder = "", library = ""] = process.argv.slice(2);

/**
 * Where modules may be; by default this machine's usual places.
 *
 * @type {import("p11seal/token").SystemPaths}
 */
const system = { wellKnown: [library], p11KitConfigs: [], p11KitModules: [] };
/** @type {string[]} */
const noted = [];
/** @type {TokenAccess | undefined} */
let tokens;

try {
  const uri = parseUri(text);
  // `commands: true` would also run a program that the URI names after `|`, with `env`.
  const pin = pinFromUri(uri, { commands: false, env: process.env });
  if (uri.token === undefined || pin === undefined) {
    throw new UsageError("NO_TOKEN", "the URI has no token= or no pin-source=");
  }
  const home = resolve(folder);
  const made = await initDevelopmentToken({
    home,
    label: uri.token,
    module: library,
    env: {}, // A SOFTHSM2_CONF in it would put the token elsewhere than in `home`.
    pin,
    // The security officer's PIN could reset the user's. Who forgets that makes a new token.
    soPin: async () => randomBytes(8).toString("hex"),
    system,
  });

  tokens = new TokenAccess({
    home,
    env: {},
    system,
    modules: [library], // No others are tried.
    faulty: new Map(), // Modules to leave out, each with the error to report for it.
    pin,
    // Where the PIN is typed on a reader: what to do before, and after.
    atPad: async ({ token }, work) => {
      noted.push(`type the PIN for ${token.label} on the reader`);
      return work();
    },
    force: false, // true: also when another wrong PIN would lock the token.
    trace: (line) => noted.push(line),
    // For a watchdog: code of a module runs that may never return.
    trying: (path, phase) => noted.push(`${phase} ${path}`),
    loginEnded: (token, refusal) => noted.push(`${token.label}: ${refusal ?? "logged in"}`),
  });
  const { key, certificateRequest } = await tokens.generate(made, {
    type: "ec:p256",
    label: "exchange",
    use: "exchange",
    allowDecrypt: false, // RSA only: true makes a key that can decrypt and not only unwrap.
    // For a request for the key's certificate, PKCS #10 in DER. Only now can the key sign one.
    certificateFor: { subject: "CN=A Trial", mail: ["trial@example.org"] },
  });
  console.log(`made ${key.uri} and a request of ${certificateRequest.length} bytes`);

  const identity = tokens.identity(key);
  const recipients = [{ publicKey: requireExchange(identity.publicKey) }];
  const sealed = await seal(Buffer.from("a trial\n"), { recipients });
  const { plaintext } = await open(sealed.stream(), { identities: [identity] });
  process.stdout.write(await plaintext.bytes());

  // The trial is over. `storeCertificate(key, der)` would have put its certificate beside the key.
  await tokens.deleteKey(key, { certificates: true });
} catch (error) {
  if (!(error instanceof P11SealError)) throw error;
  console.error(`${error.code}: ${error.message}`);
  process.exitCode = 1;
} finally {
  await tokens?.close();
}
