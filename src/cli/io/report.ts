/**
 * What a run tells a person, or with `--json` a program, besides its results. The one place that
 * writes to stderr and chooses exit statuses. Foreign text is made safe to show.
 */
import { defined } from "../../defined.js";
import {
  AuthenticationError,
  Cancelled,
  NoMatchError,
  P11SealError,
  PolicyError,
  TokenError,
  UnsupportedError,
  UsageError,
} from "../../errors.js";
import { printable, printableJson } from "../../printable.js";
import { BrokenPipe, type Io } from "./io.js";

/** Documented in docs/cli.md. Their meanings never change. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  noMatch: 3,
  notAuthentic: 4,
  token: 5,
  policy: 6,
  /** Of many files, some are left that the same run may well get done when it is repeated. */
  someLeft: 7,
  /** 128 + SIGINT, as shells have it. */
  cancelled: 130,
} as const;

/** The exit status of a run that ends with this error. */
export function exitStatus(error: unknown): number {
  if (error instanceof Cancelled) return EXIT.cancelled;
  return STATUSES.find(([kind]) => error instanceof kind)?.[1] ?? EXIT.failed;
}

/**
 * The error that another run of this program reported with `--json`, as its last line; undefined:
 * it reported none.
 */
export function reportedError(stderr: string): P11SealError | undefined {
  const line = stderr.trimEnd().split("\n").at(-1) ?? "";
  try {
    const { error } = JSON.parse(line) as { error?: Partial<Description & { exit: number }> };
    if (error?.code === undefined || error.message === undefined) return undefined;
    const { code, message, hint, fn, ckr, exit } = error;
    const Kind = STATUSES.find(([, status]) => status === exit)?.[0] ?? UnsupportedError;
    return new Kind(code, message, defined({ hint, fn, ckr }));
  } catch {
    return undefined;
  }
}

/** How a run failed, as the audit log records it: an error's code, `cancelled` or `interrupted`. */
export function outcomeOf(error: unknown): string {
  if (error instanceof P11SealError) return error.code;
  return error instanceof Cancelled ? "cancelled" : "interrupted";
}

export interface ReportOptions {
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly json: boolean;
}

/** What a report needs of `Io`. */
interface ReportIo {
  readonly stderr: { write(text: string): unknown };
  readonly env: Io["env"];
}

/** Writes to stderr, as the options of this run ask. */
export class Report {
  readonly #io: ReportIo;
  readonly #options: ReportOptions;
  #concealed = new Set<string>();
  #makeWay: (() => void) | undefined;

  constructor(io: ReportIo, options: ReportOptions) {
    this.#io = io;
    this.#options = options;
  }

  /** A report that keeps its lines until `release`, and from then on writes them at once. */
  aside(): { readonly report: Report; readonly release: () => void } {
    let kept: string[] | undefined = [];
    const write = (text: string): void => {
      if (kept === undefined) this.#write(text);
      else kept.push(text);
    };
    const report = new Report({ stderr: { write }, env: this.#io.env }, this.#options);
    report.#concealed = this.#concealed;
    const release = (): void => {
      for (const text of kept ?? []) this.#write(text);
      kept = undefined;
    };
    return { report, release };
  }

  get quiet(): boolean {
    return this.#options.quiet;
  }

  get verbose(): boolean {
    return this.#options.verbose;
  }

  /** Something worth knowing that is not an error. Left out with `--quiet`. */
  note(text: string): void {
    if (!this.#options.quiet) this.#line(`p11seal: ${text}`);
  }

  /** What a person has to do now, also with `--quiet`: a question is not left out either. */
  request(text: string): void {
    this.#line(`p11seal: ${text}`);
  }

  /** How something is done. Only with `--verbose`. */
  trace(text: string): void {
    if (this.#options.verbose) this.#line(`p11seal: ${text}`);
  }

  /** Calls `makeWay` before each line; returns how to end that. */
  beforeLines(makeWay: () => void): () => void {
    this.#makeWay = makeWay;
    return () => {
      this.#makeWay = undefined;
    };
  }

  /** From now on this string is replaced in texts we don't control: foreign errors and stacks. */
  conceal(secret: string): void {
    if (secret !== "") this.#concealed.add(secret);
  }

  /** Reports an error and returns its exit status. `about` is the file it concerns. */
  failure(error: unknown, about?: string): number {
    const status = exitStatus(error);
    if (error instanceof Cancelled || error instanceof BrokenPipe) return status;
    const description = this.#describe(error);
    const { hint } = description;
    const message = about === undefined ? description.message : `${about}: ${description.message}`;
    if (this.#options.json) {
      this.#write(printableJson({ error: { ...description, message, exit: status } }) + "\n");
    } else {
      this.#line(`p11seal: ${message}`);
      if (hint !== undefined) this.#line(`hint: ${hint}`);
    }
    if (this.#io.env["P11SEAL_DEBUG"] === "1") this.#stack(error);
    return status;
  }

  #describe(error: unknown): Description {
    if (!(error instanceof P11SealError)) {
      return { code: "ERR_UNEXPECTED", message: `unexpected: ${this.#blot(messageOf(error))}` };
    }
    const { code, message, hint } = error;
    const { fn, ckr } = error instanceof TokenError ? error : {};
    return { code, message, ...defined({ hint, fn, ckr }) };
  }

  #stack(error: unknown): void {
    for (let link = error, depth = 0; isErrorLike(link) && depth < 8; link = link.cause, depth++) {
      for (const line of this.#blot(link.stack ?? messageOf(link)).split("\n")) this.#line(line);
    }
  }

  #blot(text: string): string {
    let result = text;
    for (const secret of this.#concealed) result = result.replaceAll(secret, "[secret]");
    return result;
  }

  #line(text: string): void {
    this.#write(printable(text) + "\n");
  }

  #write(text: string): void {
    this.#makeWay?.();
    this.#io.stderr.write(text);
  }
}

interface Description {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  readonly fn?: string;
  readonly ckr?: string;
}

/** What every error has, whichever realm it was made in. */
interface ErrorLike {
  readonly message?: unknown;
  readonly stack?: string;
  readonly cause?: unknown;
}

function isErrorLike(value: unknown): value is ErrorLike {
  return typeof value === "object" && value !== null && "message" in value;
}

function messageOf(error: unknown): string {
  const message = isErrorLike(error) ? error.message : error;
  return typeof message === "string" ? message : "something that is not an error was thrown";
}

const STATUSES = [
  [UsageError, EXIT.usage],
  [NoMatchError, EXIT.noMatch],
  [AuthenticationError, EXIT.notAuthentic],
  [TokenError, EXIT.token],
  [PolicyError, EXIT.policy],
] as const;
