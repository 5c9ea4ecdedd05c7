/**
 * A pinentry program, which asks for a PIN or for consent in a window, or at a terminal that it is
 * told (pinentry manual, "Pinentry's Assuan Protocol"). It is never told which key a PIN is for
 * (SETKEYINFO), nor allowed an external cache, so it keeps no PIN.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { Cancelled, TokenError } from "../errors.js";
import { printable } from "../printable.js";
import { Assuan, AssuanFault, AssuanRefusal } from "./assuan.js";
import { onInterrupt } from "./interrupts.js";

export interface PinentryOptions {
  /** Its name, which is looked for in PATH, or an absolute path. */
  readonly program: string;
  /** Without PINs. `DISPLAY` and the like decide whether there is a window. */
  readonly env: Record<string, string | undefined>;
  /** A terminal for it to ask at where there is no display. */
  readonly terminal?: string | undefined;
  /** The type of that terminal, as in `TERM`. */
  readonly terminalType?: string | undefined;
  readonly stderr?: "ignore" | "inherit" | number;
  /** How long a person may take; by default 5 minutes. */
  readonly answerMs?: number | undefined;
  /** How long the program itself may take; by default 10 seconds. */
  readonly programMs?: number | undefined;
}

export interface PinentryQuestion {
  /** What is asked, and why: several lines. Text from outside in it is made safe to show. */
  readonly description: string;
  /** Short, before the field for the PIN. */
  readonly prompt?: string | undefined;
  /** Why it is asked again. */
  readonly error?: string | undefined;
}

export class Pinentry {
  readonly #child: ChildProcess;
  readonly #assuan: Assuan;
  readonly #answerMs: number;
  readonly #programMs: number;
  readonly #done: () => void;

  private constructor(child: ChildProcess, assuan: Assuan, options: PinentryOptions) {
    this.#child = child;
    this.#assuan = assuan;
    this.#answerMs = options.answerMs ?? ANSWER_MS;
    this.#programMs = options.programMs ?? PROGRAM_MS;
    // SIGTERM, so that it restores a terminal that it has changed.
    this.#done = onInterrupt(() => child.kill("SIGTERM"));
  }

  /** @throws TokenError `ERR_PIN_SOURCE_FAILED` */
  static async start(options: PinentryOptions): Promise<Pinentry> {
    const { program, env, terminal, terminalType, stderr = "ignore" } = options;
    const child = spawn(program, [], { env, stdio: ["pipe", "pipe", stderr] });
    const started = new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.on("error", reject);
    });
    const assuan = new Assuan(child.stdout as Readable, child.stdin as Writable);
    try {
      await started;
    } catch (error) {
      const { code = "unknown" } = error as NodeJS.ErrnoException;
      throw failed(`"${program}" cannot be run: ${code === "ENOENT" ? "it is not there" : code}`);
    }
    const pinentry = new Pinentry(child, assuan, options);
    try {
      await pinentry.#greet();
      const locale = env["LC_ALL"] ?? env["LC_CTYPE"] ?? env["LANG"];
      await pinentry.#option("ttyname", terminal);
      await pinentry.#option("ttytype", terminal === undefined ? undefined : terminalType);
      await pinentry.#option("lc-ctype", locale);
      await pinentry.#option("lc-messages", env["LC_ALL"] ?? env["LC_MESSAGES"] ?? env["LANG"]);
      await pinentry.#optional("SETTITLE", "p11seal");
      const seconds = Math.ceil(pinentry.#answerMs / 1000);
      await pinentry.#optional("SETTIMEOUT", String(seconds));
    } catch (error) {
      pinentry.close();
      throw error;
    }
    return pinentry;
  }

  /**
   * Asks for a PIN.
   *
   * @throws Cancelled; TokenError `ERR_PIN_MISSING`: nobody answered; `ERR_PIN_FORMAT`: not UTF-8;
   *   `ERR_PIN_SOURCE_FAILED`
   */
  async pin({ description, prompt = "PIN:", error }: PinentryQuestion): Promise<string> {
    await this.#said("SETDESC", description);
    await this.#said("SETPROMPT", prompt);
    if (error !== undefined) await this.#said("SETERROR", error);
    const bytes = await this.#command("GETPIN", undefined, this.#answerMs + GRACE_MS);
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw new TokenError("ERR_PIN_FORMAT", "the PIN is not UTF-8");
    } finally {
      bytes.fill(0);
    }
  }

  /**
   * Asks for consent. False if the person refused, closed the window or did not answer.
   *
   * @throws TokenError `ERR_PIN_SOURCE_FAILED`
   */
  async confirm({ description }: PinentryQuestion): Promise<boolean> {
    await this.#said("SETDESC", description);
    await this.#said("SETOK", "Allow");
    await this.#said("SETCANCEL", "Refuse");
    try {
      await this.#command("CONFIRM", undefined, this.#answerMs + GRACE_MS);
      return true;
    } catch (error) {
      if (error instanceof Cancelled) return false;
      if (error instanceof TokenError && error.code === "ERR_PIN_MISSING") return false;
      throw error;
    }
  }

  /** Ends the program, also in the middle of a question, which then fails. */
  close(): void {
    this.#done();
    if (this.#assuan.isIdle) this.#child.stdin?.end("BYE\n");
    else this.#child.kill("SIGTERM");
    this.#assuan.fail("was ended");
    const clock = setTimeout(() => this.#child.kill("SIGKILL"), CLOSE_MS).unref();
    this.#child.once("close", () => {
      clearTimeout(clock);
    });
    this.#child.unref();
  }

  async #greet(): Promise<void> {
    try {
      await this.#assuan.reply(this.#programMs);
    } catch (error) {
      throw told(error);
    }
  }

  async #said(name: string, text: string): Promise<void> {
    const lines = text.split("\n").map(printable).join("\n");
    await this.#command(name, lines, this.#programMs);
  }

  /** Older programs don't know every option, and some name none. */
  async #option(name: string, value: string | undefined): Promise<void> {
    if (value !== undefined && value !== "") await this.#optional("OPTION", `${name}=${value}`);
  }

  async #optional(name: string, argument: string): Promise<void> {
    try {
      (await this.#assuan.command(name, argument, this.#programMs)).fill(0);
    } catch (error) {
      if (!(error instanceof AssuanRefusal)) throw told(error);
    }
  }

  async #command(name: string, argument: string | undefined, limitMs: number): Promise<Buffer> {
    try {
      return await this.#assuan.command(name, argument, limitMs);
    } catch (error) {
      throw told(error);
    }
  }
}

const ANSWER_MS = 300_000;

const PROGRAM_MS = 10_000;

/** What the program gets, over the person's time, to notice that it is over. */
const GRACE_MS = 5_000;

/** How long it has to restore a terminal. */
const CLOSE_MS = 1_000;

/** Codes of libgpg-error (gpg-error.h, err-codes.h.in). */
const GPG_ERR = { TIMEOUT: 62, CANCELED: 99, NOT_CONFIRMED: 114, FULLY_CANCELED: 198 } as const;

/** What an error of the protocol means here. */
function told(error: unknown): unknown {
  if (error instanceof AssuanFault) return failed(error.message);
  if (!(error instanceof AssuanRefusal)) return error;
  switch (error.code) {
    case GPG_ERR.CANCELED:
    case GPG_ERR.FULLY_CANCELED:
    case GPG_ERR.NOT_CONFIRMED:
      return new Cancelled();
    case GPG_ERR.TIMEOUT:
      return new TokenError("ERR_PIN_MISSING", "nobody answered pinentry in time");
    default:
      // The text beside the code is the program's, and might repeat anything.
      return failed(`reports error ${error.code}`);
  }
}

function failed(how: string): TokenError {
  return new TokenError("ERR_PIN_SOURCE_FAILED", `pinentry ${how}`, {
    hint: "no PIN was sent to the token; a pinentry without a window needs a terminal, or a display",
  });
}
