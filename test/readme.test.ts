/** README's tour, run as written: every `sh` block, line by line, in an empty folder. */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  mkdtempSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, describe, expect, it } from "@jest/globals";

const root = join(import.meta.dirname, "..");
const readme = readFileSync(join(root, "README.md"), "utf8");
const folder = mkdtempSync(join(tmpdir(), "p11seal-tour-"));

const lines = [...readme.matchAll(/^```sh\n(.*?)^```$/gms)].flatMap(([, block = ""]) =>
  block.split("\n").filter((line) => line !== ""),
);

const report = join(folder, "work", "report.p11s");
/** Part of the line that seals the report; and the message it makes. */
const SEALED_LINE = "-o report.p11s";
let sealed = Buffer.alloc(0);

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/**
 * Runs one line, with a `p11seal` on the path and a separate home. Returns its exit status and
 * output.
 */
function run(line: string): { status: number | null; output: string } {
  const bin = join(folder, "bin");
  mkdirSync(bin, { recursive: true });
  const program = join(root, "dist", "cli", "main.js");
  writeFileSync(join(bin, "p11seal"), `#!/bin/sh\nexec "${process.execPath}" "${program}" "$@"\n`);
  chmodSync(join(bin, "p11seal"), 0o755);
  const work = join(folder, "work");
  mkdirSync(work, { recursive: true });
  const env: NodeJS.ProcessEnv = { ...process.env };
  delete env["SOFTHSM2_CONF"];
  const done = spawnSync("bash", ["-c", line], {
    cwd: work,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...env,
      NODE_OPTIONS: "",
      P11SEAL_HOME: join(folder, "home"),
      PATH: `${bin}${delimiter}${process.env["PATH"] ?? ""}`,
    },
  });
  return { status: done.status, output: done.stdout + done.stderr };
}

describe("README's tour", () => {
  it("has lines to run", () => {
    expect(lines.length).toBeGreaterThan(10);
  });

  it.each(lines)("%s", (line) => {
    const wanted = Number(/# exit status (\d)/.exec(line)?.[1] ?? 0);
    const { status, output } = run(line);
    expect({ line, output, status }).toEqual({ line, output, status: wanted });
    if (line.includes(SEALED_LINE)) sealed = readFileSync(report);
  });

  it("tampered with bytes of the report's body, and made the message no longer", () => {
    const tampered = readFileSync(report);
    expect(tampered.length).toBe(sealed.length);
    const changed = [...sealed.keys()].filter((at) => sealed[at] !== tampered[at]);
    const { headerBytes } = JSON.parse(run("p11seal inspect --json report.p11s").output) as {
      headerBytes: number;
    };
    expect(changed.length).toBeGreaterThan(0);
    expect(Math.min(...changed)).toBeGreaterThanOrEqual(headerBytes);
  });

  it("ends with a library example that runs on the key it made", () => {
    const [, code = ""] = /^```js\n(.*?)^```$/ms.exec(readme) ?? [];
    const work = join(folder, "work");
    mkdirSync(join(work, "node_modules"));
    symlinkSync(root, join(work, "node_modules", "p11seal"));
    writeFileSync(join(work, "example.mjs"), `${code}\nconsole.log(message.length > 100);\n`);
    expect(run(`"${process.execPath}" example.mjs`)).toEqual({ status: 0, output: "true\n" });
  });
});
