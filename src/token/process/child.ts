/**
 * The program of the token's process: it serves the process that started it and ends with it. A PIN
 * that is typed, read from a file or printed by a command is fetched here and never leaves. A crash
 * of the module ends this process and nothing else.
 */
import { Worker } from "node:worker_threads";
import { restore } from "../../terminal/interrupts.js";
import { isCalling } from "../modules/koffi-library.js";
import { loadBinding } from "../modules/load-binding.js";
import { restoreEnvironment } from "./environment.js";
import { COMMAND_STDERR, connectionToParent } from "./ipc.js";
import { isDeafToDebuggers, leaveMemoryOut } from "./no-core.js";
import { TokenServer } from "./token-server.js";
import type { FromClient } from "./wire.js";

function main(): void {
  process.title = "p11seal token";
  leaveMemoryOut();
  keepDebuggersOut();
  // A message that nobody could have meant, or a bug: the parent reports that this process ended.
  // Its stderr would get a stack, which may quote the message.
  for (const event of ["uncaughtException", "unhandledRejection"] as const) {
    process.on(event, () => {
      restore();
      end(CONFUSED);
    });
  }
  restoreEnvironment(process.env);
  const server = new TokenServer({ env: process.env, commandStderr: COMMAND_STDERR });
  // Ctrl-C reaches the whole process group. The parent decides what it means, and a terminal that
  // is asked for a PIN reports it by itself.
  process.on("SIGINT", () => undefined);
  for (const signal of ["SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => {
      restore();
      end(1);
    });
  }
  process.once("disconnect", () => {
    restore();
    // Without exit handlers of modules: nobody waits any more, and one that hangs would linger.
    if (session.isFinished) process.kill(process.pid, "SIGKILL");
    end(0);
  });
  process.once("message", (first: FromClient) => {
    // `watchParent` can't see that the parent died before it looked. Nothing is begun for it then.
    if (first.kind === "start" && process.ppid !== first.parent) process.exit(0);
  });
  // Heard here before the server hears it. Its thread takes as long to start as a small program:
  // until there is a request, parent and child have better things to do with two processors, and no
  // native call can hang.
  const parent = process.ppid;
  process.on("message", function watchFromNow({ kind }: FromClient) {
    if (kind !== "request") return;
    process.off("message", watchFromNow);
    watchParent(parent);
  });
  const session = server.accept(connectionToParent());
  // Loading the binding takes a while and may as well happen before it is needed.
  loadBinding().catch(() => undefined);
}

/** Exit status after something that was not foreseen. */
const CONFUSED = 70;

/** Ends this process, also while a thread of it waits for a person: Node would join the thread. */
function end(status: number): void {
  if (isCalling()) process.kill(process.pid, "SIGKILL");
  process.exit(status);
}

/** Older Node opens a debugger's port on SIGUSR1 unless there is a handler; it may have already. */
function keepDebuggersOut(): void {
  process.on("SIGUSR1", () => undefined);
  if (isDeafToDebuggers() || !process.features.inspector) return;
  void import("node:inspector").then(({ default: inspector }) => {
    if (inspector.url() !== undefined) inspector.close();
  });
}

/**
 * Ends this process when the parent is gone, even while a native call never returns: the event loop
 * stands still then, but this thread does not. A process that hangs would lock everybody out of a
 * card.
 */
function watchParent(parent: number): void {
  const watch = `setInterval(() => {
    if (process.ppid !== ${parent}) process.kill(process.pid, "SIGKILL");
  }, 1000);`;
  new Worker(watch, { eval: true }).unref();
}

if (process.send !== undefined) main();
