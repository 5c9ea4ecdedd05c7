"""Runs a program at a new pseudo-terminal and acts as its user.

argv[1] is JSON: argv, cwd, env (added to ours; null removes), stdin and stdout (paths, or null for the terminal),
steps: [text to wait for, text to type or name of a signal to send or {"makes": path of a file to make}]. Prints JSON: what
the terminal showed, how the program ended, and the terminal's local modes before and after.
"""
import json
import os
import pty
import select
import signal
import sys
import termios
import time

play = json.loads(sys.argv[1])
pid, master = pty.fork()
if pid == 0:
    os.chdir(play["cwd"])
    for fd, path, flags in ((0, play["stdin"], os.O_RDONLY), (1, play["stdout"], os.O_WRONLY | os.O_CREAT)):
        if path is not None:
            os.dup2(os.open(path, flags, 0o600), fd)
    given = {**os.environ, **play["env"]}
    env = {name: value for name, value in given.items() if value is not None}
    os.execvpe(play["argv"][0], play["argv"], env)

before = termios.tcgetattr(master)[3]
shown = b""
seen = 0
deadline = time.monotonic() + 50


def read_some():
    global shown
    if time.monotonic() > deadline:
        os.kill(pid, 9)
        sys.exit("waited in vain; the terminal showed: " + repr(shown))
    if select.select([master], [], [], 0.05)[0]:
        try:
            part = os.read(master, 65536)
        except OSError:  # The program has ended, and nobody holds the terminal.
            return False
        if part == b"":
            return False
        shown += part
    return True


def wait_for_raw_mode():
    """A person types after reading, and the program reads keys soon after its prompt: at once, if the machine is not busy.
    What comes before that would be echoed, or dropped."""
    time.sleep(0.1)
    patience = time.monotonic() + 5
    while termios.tcgetattr(master)[3] & termios.ECHO and time.monotonic() < patience:
        time.sleep(0.02)


for wanted, typed in play["steps"]:
    while shown.find(wanted.encode(), seen) < 0:
        if not read_some():
            sys.exit("ended before showing %r; the terminal showed: %r" % (wanted, shown))
    seen = shown.find(wanted.encode(), seen) + len(wanted)
    if isinstance(typed, dict):
        open(typed["makes"], "x").close()
        continue
    if typed.endswith("\r"):
        wait_for_raw_mode()
    else:
        time.sleep(0.1)
    if typed in ("SIGTERM", "SIGHUP"):
        os.kill(pid, getattr(signal, typed))
    else:
        os.write(master, typed.encode())

# The modes of the slave can be read while the master is open.
while True:
    done, status = os.waitpid(pid, os.WNOHANG)
    if done == pid:
        break
    read_some()
# An agent that asked here puts them back once it notices that the program is gone.
deadline = time.monotonic() + 5
while (after := termios.tcgetattr(master)[3]) != before and time.monotonic() < deadline:
    time.sleep(0.02)
while select.select([master], [], [], 0.05)[0] and read_some():
    pass
print(json.dumps({
    "shown": shown.decode("utf-8", "replace"),
    "status": os.waitstatus_to_exitcode(status),
    "modesKept": before == after,
}))
