/** Several clients of one server: what they share, and what they never share. */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import { verifySignature } from "../../../src/keys/signing.js";
import type { ClientEnd, Listener, ServerEnd } from "../../../src/token/process/connection.js";
import { Conversation } from "../../../src/token/process/conversation.js";
import { SentPins } from "../../../src/token/process/sent-pins.js";
import { TokenClient, type TokenClientOptions } from "../../../src/token/process/token-client.js";
import { TokenServer } from "../../../src/token/process/token-server.js";
import type { FromClient, FromServer } from "../../../src/token/process/wire.js";
import { parseUri } from "../../../src/token/uri.js";
import type { PinRequest } from "../../../src/token/values.js";
import { oaepEncrypt } from "../../../src/wrap/rsa-oaep.js";
import { TEST_KEYS } from "../../support/keys.js";
import {
  freshToken,
  importKey,
  SOFTHSM_MODULE,
  type TestToken,
  USER_PIN,
} from "../../support/softhsm.js";
import { decryptOaep, sign } from "../../support/private-key.js";

const LIMIT_MS = 30_000;

let token: TestToken;
const open: TokenClient[] = [];

beforeAll(async () => {
  token = await freshToken("clients");
  const privateHalf = { UNWRAP: true, DERIVE: false, SIGN: false, DECRYPT: false };
  await importKey(token, TEST_KEYS.rsa2048, { label: "rsa", id: randomBytes(8), privateHalf });
  await importKey(token, TEST_KEYS.p256, {
    ...{ label: "asks", id: randomBytes(8) },
    privateHalf: { ...privateHalf, UNWRAP: false, SIGN: true, ALWAYS_AUTHENTICATE: true },
  });
});

afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

/** A carrier within this process: what is sent arrives later, cloned. */
function connected(server: TokenServer): ClientEnd & { drop(): void } {
  let client: Listener<FromServer> | undefined;
  let served: Listener<FromClient> | undefined;
  let isOpen = true;
  const close = (): void => {
    if (!isOpen) return;
    isOpen = false;
    served?.closed({ happened: "left" });
    client?.closed({ happened: "left" });
  };
  const carry = <T>(message: T, to: () => Listener<T> | undefined): void => {
    const copy = structuredClone(message);
    setImmediate(() => {
      if (isOpen) to()?.heard(copy);
    });
  };
  const serverEnd: ServerEnd = {
    send: (message) => {
      carry(message, () => client);
    },
    listen: (listener) => {
      served = listener;
    },
  };
  server.accept(serverEnd);
  return {
    send: (message) => {
      carry(message, () => served);
    },
    listen: (listener) => {
      client = listener;
    },
    ref: () => undefined,
    unref: () => undefined,
    close,
    destroy: close,
    drop: close,
  };
}

interface Client {
  readonly tokens: TokenClient;
  readonly asked: PinRequest[];
  readonly traced: string[];
  /** Ends the connection as a client's death does. */
  readonly die: () => void;
}

function clientOf(server: TokenServer, options: Partial<TokenClientOptions> = {}): Client {
  const asked: PinRequest[] = [];
  const traced: string[] = [];
  let drop = (): void => undefined;
  const tokens = new TokenClient(
    {
      modules: [SOFTHSM_MODULE],
      home: "/nonexistent",
      pin: (request) => {
        asked.push(request);
        return Promise.resolve(USER_PIN);
      },
      ...options,
    },
    {
      connect: () => {
        const connection = connected(server);
        drop = () => {
          connection.drop();
        };
        return connection;
      },
    },
  );
  open.push(tokens);
  return {
    tokens,
    asked,
    traced,
    die: () => {
      drop();
    },
  };
}

/** Wraps a secret under the token's RSA key and has the client unwrap it. */
async function unwraps({ tokens }: Client): Promise<boolean> {
  const key = await tokens.findKey({ ...parseUri(token.uri), object: "rsa" });
  if (key.publicKey === undefined) throw new Error("no public key");
  const secret = randomBytes(32);
  const ciphertext = oaepEncrypt(key.publicKey.object, secret, { hash: "sha1" });
  const privateKey = await tokens.identity(key).unlock();
  const found = await decryptOaep(privateKey, ciphertext, "sha1");
  return found !== null && secret.equals(found.expose());
}

/** Signs with the key that wants the PIN with every use. */
async function signs({ tokens }: Client): Promise<boolean> {
  const key = await tokens.findKey({ ...parseUri(token.uri), object: "asks" });
  const { publicKey } = key;
  if (publicKey === undefined || publicKey.type === "x25519") throw new Error("no signing key");
  const message = randomBytes(20);
  const signature = await sign(await tokens.identity(key, "sign").unlock(), message);
  return verifySignature(publicKey, message, signature);
}

function makeServer(): TokenServer {
  return new TokenServer({ env: process.env, commandStderr: 2 });
}

describe("two clients of one server", () => {
  it("use their keys side by side", async () => {
    const server = makeServer();
    const [first, second] = [clientOf(server), clientOf(server)];
    const done = await Promise.all([1, 2, 3].flatMap(() => [unwraps(first), unwraps(second)]));
    expect(done).toEqual([true, true, true, true, true, true]);
  });

  it("are each asked for a PIN of their own, once", async () => {
    const server = makeServer();
    const [first, second] = [clientOf(server), clientOf(server)];
    for (const client of [first, second, first, second]) expect(await unwraps(client)).toBe(true);
    expect([first.asked.length, second.asked.length]).toEqual([1, 1]);
  });

  it("do not use one another's PIN for a key that wants it with every use", async () => {
    const server = makeServer();
    const first = clientOf(server);
    let asked = 0;
    const second = clientOf(server, {
      pin: () => {
        asked += 1;
        return Promise.resolve("9999");
      },
    });
    expect(await signs(first)).toBe(true);
    await expect(signs(second)).rejects.toMatchObject({ code: "ERR_PIN_REFUSED" });
    expect(await signs(first)).toBe(true);
    expect(first.asked).toHaveLength(1);
    expect(asked).toBeGreaterThan(0);
  });

  it("learn nothing of one another's PIN where PINs are blotted out of errors", async () => {
    const server = makeServer();
    const talk = (): Conversation =>
      new Conversation({
        connection: connected(server),
        start: {
          ...{ kind: "start", modules: [SOFTHSM_MODULE], home: "/nonexistent", force: false },
          ...{ traced: false, faulty: [] },
        },
        trace: () => undefined,
        pins: new SentPins(
          () => Promise.resolve(USER_PIN),
          () => undefined,
        ),
        ...{ proven: new Set<string>(), stepMs: LIMIT_MS },
        lost: () => undefined,
      });
    const [first, second] = [talk(), talk()];
    await first.request({ method: "logIn", args: [parseUri(token.uri)] }, LIMIT_MS);
    // An error that nobody foresaw, with a guess in its message.
    const guess = (client: Conversation): Promise<unknown> =>
      client.request({ method: USER_PIN }, LIMIT_MS).catch((error: unknown) => String(error));
    expect(await guess(first)).toContain("[secret]");
    expect(await guess(second)).toContain(USER_PIN);
    await Promise.all([first.close(), second.close()]);
  });

  it("do not lose their keys when the other one leaves", async () => {
    const server = makeServer();
    const [first, second] = [clientOf(server), clientOf(server)];
    expect(await unwraps(first)).toBe(true);
    expect(await unwraps(second)).toBe(true);
    await first.tokens.close();
    expect(await unwraps(second)).toBe(true);
  });

  it("survive one another: a client that dies while it is asked fails nobody else's login", async () => {
    const server = makeServer();
    let isAsked = (): void => undefined;
    const asked = new Promise<void>((resolve) => {
      isAsked = resolve;
    });
    const first = clientOf(server, {
      pin: () => {
        isAsked();
        return new Promise(() => undefined);
      },
    });
    const second = clientOf(server);
    const lost = unwraps(first).catch((error: unknown) => (error as { code?: string }).code);
    await asked;
    expect(second.asked).toEqual([]);
    first.die();
    expect(await lost).toBe("ERR_TOKEN_CRASHED");
    expect(await unwraps(second)).toBe(true);
    expect(second.asked).toHaveLength(1);
  });

  it("do not hear one another's traces", async () => {
    const server = makeServer();
    const heard: string[] = [];
    const first = clientOf(server, { trace: (line) => heard.push(line) });
    const second = clientOf(server);
    expect(await unwraps(second)).toBe(true);
    await sleep(10);
    expect(heard).toEqual([]);
    expect(await unwraps(first)).toBe(true);
    await sleep(10);
    expect(heard.join("\n")).toContain("C_UnwrapKey");
  });
});
