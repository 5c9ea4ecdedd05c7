/**
 * `open` greets an agent while its own code is loaded. Whatever becomes of the command, an agent
 * that does not answer must not keep it, and one that is not wanted must not hear of it.
 */
import { createServer, type Server, type Socket } from "node:net";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import { temporaryFolder } from "../../support/folder.js";
import { p11seal, type Ended } from "../../support/spawn.js";

const folder = temporaryFolder();
const socket = join(folder, "agent.sock");
const home = join(folder, "home");
const clients: Socket[] = [];
let server: Server;

beforeEach(async () => {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  // It takes connections, and never says a word.
  server = createServer((client) => {
    clients.push(client);
    client.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await new Promise((resolve) => server.close(resolve));
});

const open = (...argv: readonly string[]): Promise<Ended> => openIn([], ...argv);
const openIn = (node: readonly string[], ...argv: readonly string[]): Promise<Ended> =>
  p11seal(["open", "--json", ...argv], {
    ...{ cwd: folder, node },
    env: { P11SEAL_HOME: home, P11SEAL_AGENT_SOCK: socket, P11SEAL_SYSTEM_MODULES: "0" },
  });

describe("an agent that does not answer", () => {
  it("keeps no command running that ends without it", async () => {
    const ended = await open("-o", "opened", "missing.p11s", "-i", "missing.key");
    expect(ended).toMatchObject({ status: 1, stderr: expect.stringContaining("ERR_READ") });
    expect(clients).toHaveLength(0);
    const usage = await open("--as-path", "inbox/a", "missing.p11s");
    expect(usage).toMatchObject({ status: 2, stderr: expect.stringContaining("ERR_USAGE") });
    // It was greeted, and left alone: had it been waited for, that would be what is reported.
    expect(clients).toHaveLength(1);
  });

  it("is reported by a command that needs it", async () => {
    writeFileSync(join(folder, "config.toml"), "");
    const ended = open("-o", "opened", "missing.p11s");
    while (clients.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    clients[0]?.destroy();
    expect(await ended).toMatchObject({
      status: 5,
      stderr: expect.stringContaining("ERR_AGENT_LOST"),
    });
  });
});

describe("a command that waits for what can no longer come", () => {
  it("says so, and does not end as if all were well", async () => {
    const preload = join(folder, "never-ref.cjs");
    const code = "require('node:net').Socket.prototype.ref = function () { return this; };";
    writeFileSync(preload, code);
    writeFileSync(join(folder, "note.p11s"), "");
    const ended = await openIn(["--require", preload], "-o", "opened", "note.p11s");
    expect(ended).toMatchObject({ status: 1, stderr: expect.stringContaining("no longer come") });
  });
});

describe("an agent that the settings turn off", () => {
  it("is not greeted", async () => {
    writeFileSync(join(home, "config.toml"), "agent = false\n", { mode: 0o600 });
    const ended = await open("-o", "opened", "missing.p11s");
    expect(ended).toMatchObject({ stderr: expect.stringContaining("ERR_READ") });
    expect(clients).toHaveLength(0);
  });
});
