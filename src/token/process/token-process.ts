/**
 * Tokens through a process of their own. The vendor's module runs there. If it crashes, aborts or
 * never returns, this process gets an error within a time limit and goes on. A process that ended
 * is replaced at the next request.
 */
import { ChildConnection } from "./ipc.js";
import { childFor } from "./start-ahead.js";
import { TokenClient, type TokenClientOptions } from "./token-client.js";

export interface TokenProcessOptions extends TokenClientOptions {
  /** Environment of the process, which gets it without the variables that hold a PIN. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The process's program; by default the one beside this file. */
  readonly program?: string | undefined;
}

export class TokenProcess extends TokenClient {
  constructor(options: TokenProcessOptions) {
    const { env, program, trace } = options;
    super(options, {
      parent: process.pid,
      connect: () =>
        new ChildConnection(childFor(env, program), (line) => {
          trace?.(line);
        }),
    });
  }
}
