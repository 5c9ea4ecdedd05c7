/**
 * A service that seals: whatever is posted to it comes back as a message that only the holder of
 * one key can open. It needs the public key and nothing else: no token, no PIN, no secret to
 * protect.
 *
 *   node examples/seal-in-a-service.mjs office.pem 8080
 *   curl --data-binary @report.txt http://127.0.0.1:8080 > report.p11s
 */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { pipeline } from "node:stream/promises";
import { parsePublicKey, requireRecipient, seal } from "p11seal";

const [keyFile = "office.pem", port = "8080"] = process.argv.slice(2);

// Done once, at the start: a key that can't be used stops the service here, not at the first
// request.
const file = parsePublicKey(await readFile(keyFile), keyFile);
const recipient = {
  publicKey: requireRecipient(file),
  // Which OAEP hash the holder's token can undo, if the key file says so.
  ...(file.oaep && { oaep: file.oaep }),
};

/**
 * @param {import("node:http").IncomingMessage} request
 * @param {import("node:http").ServerResponse} response
 */
async function answer(request, response) {
  if (request.method !== "POST") {
    response.writeHead(405, { allow: "POST" }).end();
    return;
  }
  const sealed = await seal(request, { recipients: [recipient] });
  response.writeHead(200, { "content-type": "application/octet-stream" });
  // Sealed as it arrives, at the pace of the slower side: memory holds a few segments of a request,
  // whatever its size.
  await pipeline(sealed.stream().node(), response);
}

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    console.error(error.message);
    // A message that ends too early can't be opened, so a client that misses this loses nothing.
    response.destroy();
  });
});

server.listen(Number(port), "127.0.0.1", () => {
  const address = /** @type {import("node:net").AddressInfo} */ (server.address());
  console.log(`listening on http://127.0.0.1:${address.port}`);
});
