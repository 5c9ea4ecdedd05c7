/** The token's process gives away no memory, and nonsense on the channel ends in a code. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "@jest/globals";
import { TokenProcess } from "../../../src/token/process/token-process.js";
import { temporaryFolder } from "../modules/temporary.js";
import { describeOnLinux } from "../../support/missing.js";

const folder = temporaryFolder("hardening");
const BUILT = new URL("../../../dist/token/process/start-ahead.js", import.meta.url).href;

/** Starts the token's process below a shell with a limit, and says what `look` sees in it. */
async function looked(look: string, before = ""): Promise<string> {
  const program = `
    const BUILT = ${JSON.stringify(BUILT)};
    const { childFor } = await import(BUILT);
    ${before}
    const fs = await import("node:fs");
    const child = childFor(process.env, undefined);
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text) => (stderr += text));
    const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    for (let i = 0; i < 200; i++) {
      await wait(25);
      const title = fs.readFileSync("/proc/" + child.pid + "/cmdline", "utf8");
      if (title.startsWith("p11seal token")) break;
    }
    await wait(100);
    ${look}
    child.kill("SIGKILL");
    process.exit(0);`;
  const node = [process.execPath, "--input-type=module", "-e", program];
  const raised = 'ulimit -S -c "$(ulimit -H -c)" 2>/dev/null; exec "$@"';
  const shell = spawn("/bin/sh", ["-c", raised, "sh", ...node], { stdio: ["ignore", "pipe", 2] });
  let out = "";
  shell.stdout?.setEncoding("utf8").on("data", (text: string) => (out += text));
  await once(shell, "close");
  return out;
}

describeOnLinux("the token's process", () => {
  it("writes no core file, and leaves memory out of a dump that goes to a program", async () => {
    const seen = await looked(`
      console.log(fs.readFileSync("/proc/" + child.pid + "/limits", "utf8"));
      console.log("filter", fs.readFileSync("/proc/" + child.pid + "/coredump_filter", "utf8"));`);
    expect(seen).toMatch(/^Max core file size +0 +0 +bytes/m);
    expect(seen).toMatch(/^filter 0+$/m);
  });

  it("opens no debugger's port on SIGUSR1, and lives on", async () => {
    const seen = await looked(`
      process.kill(child.pid, "SIGUSR1");
      await wait(500);
      console.log(JSON.stringify({ stderr, status: child.exitCode, signal: child.signalCode }));`);
    expect(JSON.parse(seen)).toEqual({ stderr: "", status: null, signal: null });
  });

  it("has no variable in its environment that a PIN source names, when it starts or later", async () => {
    const seen = await looked(
      'console.log(fs.readFileSync("/proc/" + child.pid + "/environ", "latin1"));',
      'const { pinSource } = await import(new URL("../session/pin-variables.js", BUILT).href);' +
        'pinSource("env:TOKEN_PIN"); process.env.TOKEN_PIN = "13572468"; process.env.OTHER = "kept";',
    );
    expect(seen).toContain("OTHER=kept");
    expect(seen).not.toContain("TOKEN_PIN");
    expect(seen).not.toContain("13572468");
  });

  it("that hears nonsense ends with a status and says nothing", async () => {
    const seen = await looked(`
      child.send(null);
      await new Promise((resolve) => child.once("exit", resolve));
      console.log(JSON.stringify({ stderr, status: child.exitCode }));`);
    expect(JSON.parse(seen)).toEqual({ stderr: "", status: 70 });
  });
});

describe("a token's process that sends", () => {
  it.each([
    ["nothing", "null"],
    ["a word", '"nonsense"'],
    ["a message of no known kind", '{ kind: "sesame" }'],
    ["a PIN's request that is none", '{ kind: "ask", id: 1 }'],
    ["a login of no token", '{ kind: "login" }'],
    ["a key that is none", '{ kind: "result", id: 1, value: { $spki: new Uint8Array(3) } }'],
    ["an error that is none", '{ kind: "failure", id: 1, error: null }'],
  ])("%s ends with a code", async (_what, message) => {
    const program = join(folder, "nonsense.mjs");
    writeFileSync(
      program,
      `process.on("message", (m) => m.kind === "request" && process.send(${message}));`,
    );
    const tokens = new TokenProcess({
      ...{ program, home: "/nonexistent", env: process.env, pin: () => Promise.resolve("1234") },
    });
    await expect(tokens.tokens()).rejects.toMatchObject({
      ...{ name: "TokenError", code: "ERR_TOKEN_CRASHED" },
    });
    // Nothing is thrown later, outside of any call.
    await sleep(50);
    await tokens.close();
  });
});
