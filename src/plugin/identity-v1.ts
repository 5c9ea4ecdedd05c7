/**
 * The state machine `identity-v1` (c2sp.org/age-plugin, "Unwrapping"): from the stanzas of file
 * headers to file keys. A client ends with the first `error` it gets, also if another identity of
 * its user would have opened the file. So there is none for what is merely not ours.
 */
import { AuthenticationError, P11SealError, TokenError } from "../errors.js";
import type { Secret } from "../secret.js";
import { type AgeClient, requireShape } from "./age-client.js";
import { malformed, type Stanza } from "./stanza-stream.js";

/** What can open files, given identities. Nothing is asked of a token before `unwrap`. */
export interface FileKeyOpener {
  /** Takes an identity string. @throws P11SealError one that is not the plugin's, or malformed */
  addIdentity(text: string): void;
  /** Whether the type is known. @throws P11SealError a stanza of a known type that is malformed */
  isKnown(stanza: Stanza): boolean;
  /**
   * The file key of well-formed stanzas of known types, all from one file. Undefined if none of
   * them is for a key that an identity reaches.
   *
   * @throws StanzaRefused
   */
  unwrap(stanzas: readonly Stanza[]): Promise<Secret | undefined>;
  /** Ends sessions and modules. */
  close(): Promise<void>;
}

/** A stanza that is for a key of ours, and gave no file key. */
export class StanzaRefused extends Error {
  readonly stanza: Stanza;
  /** Index of the identity that reaches the key. */
  readonly identity: number;
  override readonly cause: P11SealError;

  constructor(stanza: Stanza, identity: number, cause: P11SealError) {
    super(cause.message, { cause });
    this.stanza = stanza;
    this.identity = identity;
    this.cause = cause;
  }
}

/**
 * Talks to the client until `done`.
 *
 * @throws FormatError `ERR_PLUGIN_PROTOCOL`
 */
export async function identityV1(client: AgeClient, opener: FileKeyOpener): Promise<void> {
  try {
    const { identities, files } = await readRequest(client);
    await client.grease();
    if (await takeIdentities(identities, client, opener)) {
      for (const [index, stanzas] of files) await openFile(index, stanzas, client, opener);
    }
  } finally {
    // The client interrupts this process as soon as it has read `done`.
    await opener.close();
  }
  await client.done();
}

interface Request {
  readonly identities: readonly string[];
  /** The stanzas of each file, by its index. */
  readonly files: ReadonlyMap<number, readonly Stanza[]>;
}

async function readRequest(client: AgeClient): Promise<Request> {
  const identities: string[] = [];
  const files = new Map<number, Stanza[]>();
  let latest = 0;
  for await (const command of client.commands()) {
    if (command.type === "add-identity") {
      requireShape(command, 1);
      identities.push(...command.args);
    } else if (command.type === "recipient-stanza") {
      const [number = "", type, ...args] = command.args;
      if (type === undefined) throw malformed("recipient-stanza has no stanza");
      if (!/^(?:0|[1-9]\d{0,8})$/.test(number)) throw malformed("a file index is not a number");
      const index = Number(number);
      if (index < latest) throw malformed("file indices do not ascend");
      latest = index;
      const stanzas = files.get(index) ?? [];
      stanzas.push({ type, args, body: command.body });
      files.set(index, stanzas);
    }
    // All other commands are of a version to come, or there to see that they are ignored.
  }
  return { identities, files };
}

/** False if one of them is refused: then no file is opened, with none of them. */
async function takeIdentities(
  identities: readonly string[],
  client: AgeClient,
  opener: FileKeyOpener,
): Promise<boolean> {
  let areValid = true;
  for (const [at, text] of identities.entries()) {
    try {
      opener.addIdentity(text);
    } catch (error) {
      areValid = false;
      await client.refuse(["identity", `${at}`], forPeople(error));
    }
  }
  return areValid;
}

async function openFile(
  file: number,
  stanzas: readonly Stanza[],
  client: AgeClient,
  opener: FileKeyOpener,
): Promise<void> {
  const known: Stanza[] = [];
  let areWhole = true;
  for (const [at, stanza] of stanzas.entries()) {
    try {
      if (opener.isKnown(stanza)) known.push(stanza);
    } catch (error) {
      areWhole = false;
      await client.refuse(["stanza", `${file}`, `${at}`], forPeople(error));
    }
  }
  if (!areWhole || known.length === 0) return;
  try {
    const key = await opener.unwrap(known);
    if (key === undefined) return;
    await client.deliver("file-key", [`${file}`], key.expose());
    key.wipe();
  } catch (error) {
    if (!(error instanceof StanzaRefused)) throw error;
    await client.refuse(whatFailed(file, stanzas, error), error.cause);
  }
}

/** The stanza if it is to blame, or else the identity. */
function whatFailed(file: number, stanzas: readonly Stanza[], error: StanzaRefused): string[] {
  const { stanza, identity, cause } = error;
  if (cause instanceof AuthenticationError) {
    return ["stanza", `${file}`, `${stanzas.indexOf(stanza)}`];
  }
  return cause instanceof TokenError ? ["identity", `${identity}`] : ["internal"];
}

/** One of our errors. Others are faults of the program, and end it. */
function forPeople(error: unknown): P11SealError {
  if (error instanceof P11SealError) return error;
  throw error;
}
