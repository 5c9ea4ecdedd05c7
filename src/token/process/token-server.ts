/** Serves clients of one process's modules, each through a connection of its own. */
import { setSideBySide } from "../modules/operating.js";
import { ClientSession, type ClientSessionOptions } from "./client-session.js";
import type { ServerEnd } from "./connection.js";

export class TokenServer {
  readonly #options: Omit<ClientSessionOptions, "underWay">;
  /** Requests under way, of all clients. */
  #underWay = 0;

  constructor(options: Omit<ClientSessionOptions, "underWay">) {
    this.#options = options;
    setSideBySide(() => this.#underWay > 1);
  }

  /** Serves a client until its connection closes. */
  accept(client: ServerEnd): ClientSession {
    return new ClientSession(client, {
      ...this.#options,
      underWay: (change) => {
        this.#underWay += change;
      },
    });
  }
}
