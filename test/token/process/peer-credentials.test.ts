/** Who connects to a Unix socket, as the kernel says. */
import { spawnSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "@jest/globals";
import { type PeerReader, peerReader } from "../../../src/token/process/peer-credentials.js";
import { temporaryFolder } from "../modules/temporary.js";
import { describeOnLinux, itIf } from "../../support/missing.js";

const path = join(temporaryFolder("peer"), "socket");
const server = createServer({ pauseOnConnect: true });
let read: PeerReader | undefined;

beforeAll(async () => {
  read = await peerReader();
  server.listen(path);
  await once(server, "listening");
});

afterAll(() => {
  server.close();
});

/** The server's end of the next connection. */
const accepted = async (): Promise<Socket> => ((await once(server, "connection")) as [Socket])[0];

describeOnLinux("the other end of a socket", () => {
  it("is this process if it connected itself", async () => {
    const accepting = accepted();
    const client = connect(path);
    const socket = await accepting;
    expect(read?.(socket)).toEqual({
      pid: process.pid,
      uid: process.getuid?.(),
      gid: process.getgid?.(),
    });
    client.destroy();
    socket.destroy();
    await once(socket, "close");
    expect(read?.(socket)).toBeUndefined();
  });

  it("is another process by its number, after it has ended as well", async () => {
    const accepting = accepted();
    const program = `require("node:net").connect(${JSON.stringify(path)}, () => process.exit())`;
    const child = spawn(process.execPath, ["-e", program]);
    const [socket] = await Promise.all([accepting, once(child, "exit")]);
    expect(read?.(socket)).toMatchObject({ pid: child.pid });
    socket.destroy();
  });

  const canBecomeAnother = process.getuid?.() === 0 && spawnSync("setpriv", ["-V"]).status === 0;
  itIf(canBecomeAnother, "needs root and setpriv")("is another user by its number", async () => {
    chmodSync(path, 0o777);
    for (let folder = join(path, ".."); folder.length > 1; folder = join(folder, "..")) {
      if (folder.includes("p11seal")) chmodSync(folder, 0o755);
    }
    const accepting = accepted();
    const program = `require("node:net").connect(${JSON.stringify(path)}, () => process.exit())`;
    const as = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    const child = spawn("setpriv", [...as, process.execPath, "-e", program], { cwd: "/" });
    const [socket] = await Promise.all([accepting, once(child, "exit")]);
    expect(read?.(socket)).toMatchObject({ uid: 65534, gid: 65534 });
    socket.destroy();
  });
});

it("nobody can be asked where koffi is not installed", () => {
  const program = `
    import { register } from "node:module";
    register("data:text/javascript," + encodeURIComponent(
      'export function resolve(name, context, next) {' +
      '  if (name === "koffi") throw new Error("no such package");' +
      '  return next(name, context); }'));
    const { peerReader } = await import("${new URL("../../../dist/token/process/peer-credentials.js", import.meta.url).href}");
    console.log(String(await peerReader()));`;
  const { stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", program]);
  expect(stdout.toString()).toBe("undefined\n");
});
