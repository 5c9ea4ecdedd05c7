/**
 * One client of the server: its requests, its PINs, the keys it named, and its wish for trace
 * lines.
 *
 * Clients share what PKCS#11 gives to a process as a whole (v2.40 §5.4, §5.6): modules are
 * initialized once, and finalized when the last client lets go; a token that is logged in is so for
 * all. Nothing else is shared. A PIN is asked of the client whose request needs it, and is neither
 * sent nor kept for another one's. The module does not check a second client's PIN while the first
 * one's login lasts.
 */
import type { ServerEnd } from "./connection.js";
import { ClientPins } from "./client-pins.js";
import { Operations } from "./operations.js";
import { type FromClient, pack, packError, type Request } from "./wire.js";

export interface ClientSessionOptions {
  readonly env: Record<string, string | undefined>;
  /** Descriptor that commands which print a PIN get as their stderr. */
  readonly commandStderr: number;
  /** Told when a request begins (1) and ends (-1). */
  readonly underWay: (change: 1 | -1) => void;
}

export class ClientSession {
  readonly #client: ServerEnd;
  readonly #options: ClientSessionOptions;
  readonly #pins: ClientPins;
  #operations: Operations | undefined;
  #isFinished = false;

  constructor(client: ServerEnd, options: ClientSessionOptions) {
    const { env, commandStderr } = options;
    const say = client.send.bind(client);
    this.#client = client;
    this.#options = options;
    this.#pins = new ClientPins({ say, env, commandStderr });
    client.listen({
      heard: (message) => {
        this.#hear(message);
      },
      closed: () => {
        void this.#end();
      },
    });
  }

  /** The client has closed its modules: nothing is left to do for it. */
  get isFinished(): boolean {
    return this.#isFinished;
  }

  #hear(message: FromClient): void {
    switch (message.kind) {
      case "start":
        this.#operations ??= new Operations(message, {
          env: this.#options.env,
          pin: this.#pins.ask,
          atPad: this.#pins.atPad,
          say: this.#client.send.bind(this.#client),
        });
        break;
      case "request":
        if (this.#operations !== undefined) void this.#serve(this.#operations, message);
        break;
      case "pin":
        this.#pins.answered(message);
        break;
      case "withdraw":
        this.#pins.withdrawn(message.id);
        break;
      default:
        throw new TypeError("a message of no known kind");
    }
  }

  async #serve(operations: Operations, request: Request): Promise<void> {
    const { id } = request;
    let told: { readonly path?: string } = {};
    this.#options.underWay(1);
    try {
      const value = await operations.run(request, (path) => {
        told = { path };
      });
      this.#isFinished ||= request.method === "close";
      this.#client.send({ kind: "result", id, value: pack(value), ...told });
    } catch (error) {
      const packed = this.#pins.blotted(packError(error));
      this.#client.send({ kind: "failure", id, error: packed, ...told });
    } finally {
      this.#options.underWay(-1);
    }
  }

  async #end(): Promise<void> {
    this.#pins.clientLost();
    const operations = this.#operations;
    this.#operations = undefined;
    try {
      await operations?.close();
    } catch {
      // Nobody is left to be told.
    }
  }
}
