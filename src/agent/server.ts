/**
 * The agent's end of its socket. It bounds what anybody who reaches the socket can cost: the number
 * of connections, the length of a frame and the time it takes, one request at a time on each
 * connection. What is not a request ends its connection, without an answer.
 */
import { createServer, type Server, type Socket } from "node:net";
import { defined } from "../defined.js";
import { TokenError } from "../errors.js";
import { frameOf, FrameReader } from "./frames.js";
import {
  decodeRequest,
  encodeMessage,
  PROTOCOL_VERSION,
  type Answer,
  type ReaderNotice,
  type Request,
} from "./protocol.js";

/** Who is at the other end, as the kernel says. */
export interface Peer {
  readonly pid: number;
  readonly uid: number;
}

/** Whoever sent a request. */
export interface Client {
  /** Undefined where the kernel can't be asked. */
  readonly peer: Peer | undefined;
  /** Aborted when the client has gone: nobody wants the answer any more. */
  readonly gone: AbortSignal;
  /**
   * Tells the client whether a person is waited for; its time limits pause meanwhile. `reader`: the
   * person is to type a PIN there.
   */
  readonly awaitsPerson: (waiting: boolean, reader?: ReaderNotice) => void;
}

export type Handler = (
  request: Exclude<Request, { kind: "hello" }>,
  client: Client,
) => Promise<Answer>;

export interface ServerOptions {
  readonly handle: Handler;
  /** What `hello` says that this socket is good for: kinds of request. Others are refused. */
  readonly capabilities: readonly string[];
  /** Who is at the other end; `"refused"`: somebody who gets no byte. */
  readonly peerOf?: ((socket: Socket) => Peer | "refused" | undefined) | undefined;
  readonly bounds?: Bounds | undefined;
}

export interface Bounds {
  readonly connections: number;
  /** How many of these may have a request of another host's, all such hosts together. */
  readonly elsewhere: number;
  /** A frame that has begun must end within so many milliseconds. */
  readonly frameMs: number;
  /** A connection without a request for so long ends. */
  readonly idleMs: number;
}

const BOUNDS: Bounds = { connections: 64, elsewhere: 32, frameMs: 10_000, idleMs: 60_000 };

/** How often a client hears that its request is still being worked on. */
export const WAIT_MS = 2000;

/** A server that listens nowhere yet (`listening.ts`). */
export interface AgentServer {
  readonly server: Server;
  /** Listens no more, and ends every connection. */
  readonly close: () => void;
}

export function agentServer(options: ServerOptions): AgentServer {
  const open = new Set<Socket>();
  const elsewhere = { underWay: 0 };
  const { connections } = options.bounds ?? BOUNDS;
  const server = createServer((socket) => {
    const peer = options.peerOf?.(socket);
    if (peer === "refused" || open.size >= connections) {
      socket.destroy();
      return;
    }
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    new Conversation(socket, peer, options, elsewhere);
  });
  // A connection that could not be taken, as without descriptors left, ends no agent.
  server.on("error", () => undefined);
  const close = (): void => {
    server.close();
    for (const socket of open) socket.destroy();
  };
  return { server, close };
}

class Conversation {
  readonly #socket: Socket;
  readonly #options: ServerOptions;
  /** Requests of other hosts on all connections. */
  readonly #elsewhere: { underWay: number };
  readonly #frames = new FrameReader();
  readonly #gone = new AbortController();
  readonly #client: Client;
  #isGreeted = false;
  #isBusy = false;
  #isPersonAwaited = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    socket: Socket,
    peer: Peer | undefined,
    options: ServerOptions,
    elsewhere: { underWay: number },
  ) {
    this.#socket = socket;
    this.#options = options;
    this.#elsewhere = elsewhere;
    const awaitsPerson: Client["awaitsPerson"] = (waiting, reader) => {
      this.#isPersonAwaited = waiting;
      this.#send({ kind: "wait", person: waiting, ...defined({ reader }) });
    };
    this.#client = { peer, gone: this.#gone.signal, awaitsPerson };
    socket.on("data", (chunk: Buffer) => {
      this.#read(chunk);
    });
    socket.on("error", () => undefined);
    socket.once("close", () => {
      clearTimeout(this.#timer);
      this.#gone.abort();
    });
    this.#limitTime();
  }

  #read(chunk: Uint8Array): void {
    const hadBegun = this.#frames.isWaiting;
    try {
      for (const frame of this.#frames.push(chunk)) this.#take(decodeRequest(frame));
    } catch (error) {
      if (!(error instanceof TokenError)) throw error;
      this.#socket.destroy();
      return;
    }
    // A frame's time is not prolonged by its bytes: whoever sends one a second gets no further.
    if (this.#frames.isWaiting !== hadBegun) this.#limitTime();
  }

  #take(request: Request): void {
    // A second request before the answer to the first, or before the client has read it.
    if (this.#isBusy || this.#socket.writableNeedDrain) throw outOfTurn();
    if (request.kind === "hello") {
      if (this.#isGreeted) throw outOfTurn();
      const { capabilities } = this.#options;
      this.#isGreeted = request.version === PROTOCOL_VERSION;
      this.#send({ kind: "hello", version: PROTOCOL_VERSION, capabilities: [...capabilities] });
      return;
    }
    if (!this.#isGreeted) throw outOfTurn();
    this.#isBusy = true;
    this.#limitTime();
    if (isOfOtherHost(request)) this.#answerElsewhere(request);
    else void this.#answer(request);
  }

  /** Other hosts leave connections to programs here, however many they are. */
  #answerElsewhere(request: Exclude<Request, { kind: "hello" }>): void {
    const { elsewhere: most } = this.#options.bounds ?? BOUNDS;
    if (this.#elsewhere.underWay >= most) {
      this.#send(TOO_MANY);
      this.#socket.destroySoon();
      return;
    }
    this.#elsewhere.underWay += 1;
    void this.#answer(request).finally(() => {
      this.#elsewhere.underWay -= 1;
    });
  }

  async #answer(request: Exclude<Request, { kind: "hello" }>): Promise<void> {
    const ticking = setInterval(() => {
      this.#send({ kind: "wait", person: this.#isPersonAwaited });
    }, WAIT_MS);
    const { capabilities, handle } = this.#options;
    try {
      const answer = capabilities.includes(request.kind)
        ? await handle(request, this.#client)
        : refusal(request.kind, capabilities);
      this.#send(answer);
    } catch {
      // The handler answers with errors. One that nobody foresaw says nothing to a client.
      this.#socket.destroy();
    } finally {
      clearInterval(ticking);
      this.#isBusy = false;
      this.#isPersonAwaited = false;
      this.#limitTime();
    }
  }

  /** Nothing is kept of the key that an answer may have. */
  #send(answer: Answer): void {
    const message = encodeMessage(answer);
    const frame = frameOf(message);
    message.fill(0);
    if (answer.kind === "key") answer.key.fill(0);
    this.#socket.write(frame, () => frame.fill(0));
  }

  /** Ends the connection if what comes next takes too long. A request may take its time. */
  #limitTime(): void {
    clearTimeout(this.#timer);
    if (this.#isBusy || this.#socket.destroyed) return;
    const { frameMs, idleMs } = this.#options.bounds ?? BOUNDS;
    this.#timer = setTimeout(
      () => this.#socket.destroy(),
      this.#frames.isWaiting ? frameMs : idleMs,
    );
  }
}

function isOfOtherHost(request: Request): boolean {
  return request.kind === "open" && request.remote !== undefined;
}

const TOO_MANY: Answer = {
  kind: "error",
  name: "PolicyError",
  code: "ERR_AGENT_BUSY",
  message: "too many requests of other hosts are under way",
  hint: "wait a moment, or open it where the token is",
};

function outOfTurn(): TokenError {
  return new TokenError("ERR_AGENT_PROTOCOL", "a request out of turn");
}

function refusal(kind: string, capabilities: readonly string[]): Answer {
  return {
    kind: "error",
    name: "PolicyError",
    code: "ERR_AGENT_REFUSED",
    message: `this agent's socket is not for "${kind}"`,
    hint: `it is for: ${capabilities.join(", ")}; for the rest, ask where the agent itself runs`,
  };
}
