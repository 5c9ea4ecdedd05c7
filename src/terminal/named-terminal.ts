/**
 * The terminal of another process of the same user's, found by its name, as gpg-agent finds one by
 * `GPG_TTY`: a process that has no terminal asks there on behalf of one that has.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { isatty } from "node:tty";
import { TokenError } from "../errors.js";
import { askingAt, type Terminal } from "./terminal.js";

/**
 * The terminal with that name. Only a terminal of this user's is opened (`/dev/pts/N`, `/dev/ttyN`,
 * on macOS `/dev/ttysN`), never by way of a link, and it does not become this process's controlling
 * terminal.
 *
 * @throws TokenError `ERR_PIN_MISSING`
 */
export function terminalNamed(name: string): Terminal {
  const fd = openTerminal(name);
  try {
    // Each stream opens the terminal anew by its name, without making it the controlling one.
    return askingAt(fd, () => openTerminal(name));
  } catch {
    throw noTerminal(name);
  }
}

/**
 * The name of this process's controlling terminal, as in `/dev/pts/3`, for `terminalNamed` in
 * another process; undefined if it has none that is known by such a name, or is in its background.
 */
export function terminalName(
  env: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const name = process.platform === "linux" ? foregroundTerminal() : env["GPG_TTY"];
  return name !== undefined && isTerminalNamed(name) ? name : undefined;
}

/** From proc(5), `/proc/self/stat`: the fields after the program's name. */
function foregroundTerminal(): string | undefined {
  let stat: string;
  try {
    stat = readFileSync("/proc/self/stat", "latin1");
  } catch {
    return undefined;
  }
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [group, device, foreground] = [fields[2], Number(fields[4]), fields[5]];
  if (group !== foreground) return undefined;
  const major = (device >> 8) & 0xfff;
  const minor = (device & 0xff) | ((device >> 12) & 0xfff00);
  // Linux' devices.txt: 4 is virtual consoles, 136 to 143 are Unix98 pseudo-terminals.
  if (major === 4 && minor < 64) return `/dev/tty${minor}`;
  return major >= 136 && major <= 143 ? `/dev/pts/${(major - 136) * 256 + minor}` : undefined;
}

/** Whether `terminalNamed` would open it. */
export function isTerminalNamed(name: string): boolean {
  try {
    closeSync(openTerminal(name));
    return true;
  } catch {
    return false;
  }
}

function openTerminal(name: string): number {
  if (!/^\/dev\/(?:pts\/\d{1,9}|ttys?\d{1,4})$/.test(name)) throw noTerminal(name);
  let fd: number;
  try {
    const { O_RDWR, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK } = constants;
    fd = openSync(name, O_RDWR | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK);
  } catch {
    throw noTerminal(name);
  }
  const { uid } = fstatSync(fd);
  if (uid === process.getuid?.() && isatty(fd)) return fd;
  closeSync(fd);
  throw noTerminal(name);
}

function noTerminal(name: string): TokenError {
  return new TokenError("ERR_PIN_MISSING", `"${name}" is not a terminal of this user's`, {
    hint: "run the command at a terminal, or set another way to ask for a PIN",
  });
}
