/**
 * Who is at the other end of a Unix socket, as the kernel knows (SO_PEERCRED, unix(7)). Node can't
 * ask, so koffi calls getsockopt. Linux only; elsewhere, and without koffi, the modes of the socket
 * and its folder are what keeps others out.
 */
import { endianness } from "node:os";
import type { Socket } from "node:net";
import { loadKoffi } from "../modules/ffi/koffi.js";

/** The process that connected, and its user, at the time it did. */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** Asks who is at the other end; undefined if the kernel does not say. */
export type PeerReader = (socket: Socket) => PeerCredentials | undefined;

/** Undefined where nobody can be asked. */
export async function peerReader(): Promise<PeerReader | undefined> {
  if (process.platform !== "linux") return undefined;
  const getsockopt = await loadGetsockopt();
  if (getsockopt === undefined) return undefined;
  return (socket) => {
    const fd = (socket as { _handle?: { fd?: unknown } | null })._handle?.fd;
    if (typeof fd !== "number" || fd < 0) return undefined;
    const credentials = new DataView(new ArrayBuffer(UCRED_BYTES));
    const length = new DataView(new ArrayBuffer(4));
    length.setInt32(0, UCRED_BYTES, IS_LITTLE);
    const bytes = [Buffer.from(credentials.buffer), Buffer.from(length.buffer)] as const;
    const status = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ...bytes);
    if (status !== 0 || length.getInt32(0, IS_LITTLE) !== UCRED_BYTES) return undefined;
    return {
      pid: credentials.getInt32(0, IS_LITTLE),
      uid: credentials.getUint32(4, IS_LITTLE),
      gid: credentials.getUint32(8, IS_LITTLE),
    };
  };
}

type Getsockopt = (
  fd: number,
  level: number,
  name: number,
  value: Buffer,
  length: Buffer,
) => number;

/** The C library is in the process already: it need not be found by a name. */
async function loadGetsockopt(): Promise<Getsockopt | undefined> {
  try {
    const koffi = await loadKoffi();
    const parameters = ["int", "int", "int", "void *", "void *"];
    const call = koffi.load(null).func("getsockopt", "int", parameters);
    return (...args) => Number(call(...args));
  } catch {
    return undefined;
  }
}

/** struct ucred: pid, uid, gid. */
const UCRED_BYTES = 12;

const IS_LITTLE = endianness() === "LE";

/** asm-generic/socket.h; some architectures have numbers of their own. */
const SOL_SOCKET = process.arch.startsWith("mips") ? 0xffff : 1;
const OWN_NUMBERS: ReadonlyMap<string, number> = new Map([
  ["mips", 18],
  ["mipsel", 18],
  ["ppc", 21],
  ["ppc64", 21],
]);
const SO_PEERCRED = OWN_NUMBERS.get(process.arch) ?? 17;
