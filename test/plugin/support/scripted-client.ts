/** An age client that sends what a test says, and keeps what it gets. */
import { PassThrough, type Writable } from "node:stream";
import { AgeClient } from "../../../src/plugin/age-client.js";
import { encodeStanza, type Stanza, StanzaReader } from "../../../src/plugin/stanza-stream.js";

export function stanza(line: string, body: Uint8Array | string = ""): Stanza {
  const [type = "", ...args] = line.split(" ");
  return { type, args, body: Buffer.from(body) };
}

/** As the client answers a command: by default `ok`, and `unsupported` to what it doesn't know. */
export type Answers = (command: Stanza) => Stanza | undefined;

const KNOWN = ["msg", "confirm", "request-public", "request-secret", "error"];
const RESULTS = ["file-key", "recipient-stanza", "labels"];

export interface Conversation {
  /** What the plugin sent in phase 2, without grease. */
  readonly sent: readonly Stanza[];
  readonly lines: readonly string[];
  readonly greased: number;
}

/** Plays both phases with a plugin in this process. Rejects as `plugin` does. */
export async function converse(
  commands: readonly Stanza[],
  plugin: (client: AgeClient) => Promise<void>,
  answers?: Answers,
): Promise<Conversation> {
  const toPlugin = new PassThrough();
  const toClient = new PassThrough();
  const client = new AgeClient({ input: toPlugin, write: (bytes) => void toClient.write(bytes) });
  const talk = play(commands, toPlugin, toClient, answers);
  try {
    await plugin(client);
  } finally {
    toClient.end();
    await talk;
  }
  return talk;
}

/** Sends `commands` and `done`, then answers until the plugin ends its stream. */
export async function play(
  commands: readonly Stanza[],
  toPlugin: Pick<Writable, "write">,
  fromPlugin: AsyncIterable<Uint8Array>,
  answers: Answers = () => undefined,
): Promise<Conversation> {
  for (const one of [...commands, stanza("done")]) toPlugin.write(encodeStanza(one));
  const sent: Stanza[] = [];
  let greased = 0;
  const reader = new StanzaReader(fromPlugin);
  for (;;) {
    const command = await reader.next();
    if (command === undefined) return { sent, lines: sent.map(lineOf), greased };
    const isKnown = [...KNOWN, ...RESULTS, "done"].includes(command.type);
    if (isKnown) sent.push(command);
    else greased++;
    const answer = answers(command) ?? stanza(isKnown ? "ok" : "unsupported");
    if (command.type !== "done") toPlugin.write(encodeStanza(answer));
  }
}

/** The words of a stanza, and its body as text. */
export function lineOf({ type, args, body }: Stanza): string {
  const words = [type, ...args].join(" ");
  return body.length === 0 ? words : `${words}; ${Buffer.from(body).toString("utf8")}`;
}
