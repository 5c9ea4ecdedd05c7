/**
 * Names a process so that another one can later see whether it still runs: by the machine, its
 * boot, the PID namespace, the PID, and when the process began. A PID alone means nothing after a
 * reboot, in another container, or once the kernel has reused it.
 *
 * A machine is known by its host name and its machine id (machine-id(5)). A host name alone does
 * not tell a reboot from another machine: containers on two machines often have the same one.
 */
import { createHash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { errno } from "./system-error.js";

/** This process, as text that fits into a column or a file's name. */
export function thisProcess(): string {
  return (self ??= formatOwner({
    host: createHash("sha256").update(`${hostname()} ${machineId()}`).digest("hex").slice(0, 12),
    boot: bootId(),
    space: pidSpace(),
    pid: process.pid,
    start: processState(process.pid)?.start ?? "0",
  }));
}

/**
 * Whether that process still runs; `undefined` if that can't be seen from here (another machine or
 * container, or a system that does not tell when a process began).
 */
export function isRunning(text: string): boolean | undefined {
  const owner = parseOwner(text);
  const me = parseOwner(thisProcess());
  if (owner === undefined || me === undefined) return undefined;
  const sameBoot = owner.boot === me.boot;
  // Two host names in one boot: containers of one kernel, or a machine that was renamed.
  if (owner.host !== me.host && (!sameBoot || me.boot === NONE)) return undefined;
  if (!sameBoot) return machineId() === NONE ? undefined : false;
  if (owner.space !== me.space) return undefined;
  return runsHere(owner);
}

// ── Details ──

interface Owner {
  /** Start of the SHA-256 of host name and machine id. */
  readonly host: string;
  /** Start of the kernel's boot id; `0` if there is none. */
  readonly boot: string;
  /** Number of the PID namespace; `0` if there is none. */
  readonly space: string;
  readonly pid: number;
  /** When the process began, in the kernel's clock ticks since boot; `0` if unknown. */
  readonly start: string;
}

const NONE = "0";
const OWNER = /^([0-9a-f]{12})-([0-9a-f]{1,12})-([0-9]{1,12})-([0-9]{1,10})-([0-9]{1,20})$/;

let self: string | undefined;

function formatOwner({ host, boot, space, pid, start }: Owner): string {
  return [host, boot, space, pid, start].join("-");
}

function parseOwner(text: string): Owner | undefined {
  const [, host, boot, space, pid, start] = OWNER.exec(text) ?? [];
  if (host === undefined || boot === undefined || space === undefined) return undefined;
  return { host, boot, space, pid: Number(pid), start: start ?? NONE };
}

function runsHere({ pid, start }: Owner): boolean | undefined {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: the process exists, but belongs to somebody else.
    if (errno(error) === "ESRCH") return false;
  }
  const state = processState(pid);
  if (state === undefined || start === NONE) return undefined;
  return state.start === start && !state.ended;
}

/**
 * proc(5), /proc/PID/stat: field 3 is the state, 22 the start. Field 2, a name, may hold anything.
 */
function processState(pid: number): { start: string; ended: boolean } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [state = ""] = fields;
    const start = fields[19] ?? "";
    return /^[0-9]+$/.test(start) ? { start, ended: /^[ZXx]$/.test(state) } : undefined;
  } catch {
    return undefined;
  }
}

function machineId(): string {
  try {
    const id = readFileSync("/etc/machine-id", "latin1").trim();
    return /^[0-9a-f]{32}$/.test(id) ? id : NONE;
  } catch {
    return NONE;
  }
}

function bootId(): string {
  try {
    const id = readFileSync("/proc/sys/kernel/random/boot_id", "latin1").replaceAll("-", "");
    return /^[0-9a-f]{12}/.exec(id)?.[0] ?? NONE;
  } catch {
    return NONE;
  }
}

function pidSpace(): string {
  try {
    return /[0-9]{1,12}/.exec(readlinkSync("/proc/self/ns/pid"))?.[0] ?? NONE;
  } catch {
    return NONE;
  }
}
