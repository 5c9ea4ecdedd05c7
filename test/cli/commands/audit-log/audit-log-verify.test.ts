/**
 * `p11seal audit-log verify`: changes to the log are found, printed, and shown by the exit status.
 */
import { appendFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "@jest/globals";
import { appendAudit, auditFiles } from "../../../../src/records/audit/audit-log.js";
import { hex } from "../../../records/support/messages.js";
import { temporaryFolder } from "../../support/folder.js";
import { run, type Outcome } from "../../support/run.js";

const folder = temporaryFolder();
let homes = 0;
let home = "";

beforeEach(async () => {
  homes++;
  home = join(folder, `home${homes}`);
  for (const messageId of ["a", "b", "c", "d"].map((text) => hex(text, 32))) {
    await appendAudit(
      auditFiles(home),
      { event: "open", outcome: "opened", messageId },
      Date.now(),
    );
  }
});

function verify(...options: string[]): Promise<Outcome> {
  return run(["audit-log", "verify", ...options], { env: { P11SEAL_HOME: home } });
}

/** Replaces the log's lines. */
function edit(change: (lines: string[]) => string[]): void {
  const { log } = auditFiles(home);
  const lines = readFileSync(log, "utf8").trimEnd().split("\n");
  writeFileSync(
    log,
    change(lines)
      .map((line) => `${line}\n`)
      .join(""),
  );
}

const headIn = ({ stdout }: Outcome): string =>
  /^head +(\d+:[0-9a-f]{64})$/m.exec(stdout.toString("utf8"))?.[1] ?? "";

describe("an audit log", () => {
  it("that is whole is found so, and its head can be noted", async () => {
    const outcome = await verify();
    expect(outcome).toMatchObject({ status: 0, stderr: "p11seal: no problem was found\n" });
    expect(headIn(outcome)).toMatch(/^4:/);
    expect((await verify("--expected", headIn(outcome))).status).toBe(0);
  });

  it.each<[string, (lines: string[]) => string[], string]>([
    ["removed", ([a = "", , c = "", d = ""]) => [a, c, d], "ERR_AUDIT_MISSING"],
    ["removed at the end", (lines) => lines.slice(0, 3), "ERR_AUDIT_MISSING"],
    [
      "changed",
      (lines) => lines.map((line, i) => (i === 1 ? line.replace("opened", "denied") : line)),
      "ERR_AUDIT_CHANGED",
    ],
    ["reordered", ([a = "", b = "", c = "", d = ""]) => [a, c, b, d], "ERR_AUDIT_ORDER"],
    ["inserted", ([a = "", ...rest]) => [a, "anything", ...rest], "ERR_AUDIT_FORM"],
  ])(
    "with a line %s ends with status 4, and each problem has its line",
    async (_what, change, code) => {
      edit(change);
      const told = await verify();
      expect(told.status).toBe(4);
      expect(told.stdout.toString("utf8")).toMatch(new RegExp(`^line \\d +${code} `, "m"));
      const inJson = await verify("--json");
      expect(inJson.status).toBe(4);
      const { problems } = JSON.parse(inJson.stdout.toString("utf8")) as {
        problems: { code: string }[];
      };
      expect(problems.map((problem) => problem.code)).toContain(code);
      expect(JSON.parse(inJson.stderr)).toMatchObject({
        error: { code: "ERR_AUDIT_LOG", exit: 4 },
      });
    },
  );

  it("whose head is gone ends with status 4", async () => {
    rmSync(auditFiles(home).head);
    expect((await verify()).status).toBe(4);
  });

  it("that was rewritten as a whole is detected by a head noted elsewhere", async () => {
    const noted = headIn(await verify());
    const { log, head } = auditFiles(home);
    rmSync(log);
    rmSync(head);
    for (let i = 0; i < 4; i++) {
      const event = { event: "open", outcome: "opened", messageId: hex(`other ${i}`, 32) } as const;
      await appendAudit(auditFiles(home), event, Date.now());
    }
    expect((await verify()).status).toBe(0);
    expect((await verify("--expected", noted)).status).toBe(4);
  });

  it("that a crash cut within a line is not called tampered with", async () => {
    appendFileSync(auditFiles(home).log, '{"n":5,"time":"20');
    const outcome = await verify();
    expect(outcome.status).toBe(0);
    expect(outcome.stderr).toContain("line 5: cut short by a crash");
  });

  it("that does not exist yet is empty, unless a head was noted", async () => {
    const noted = headIn(await verify());
    home = join(folder, "nowhere");
    const outcome = await verify();
    expect(outcome).toMatchObject({ status: 0, stderr: "p11seal: the audit log is empty\n" });
    expect((await verify("--expected", noted)).status).toBe(4);
  });

  it.each(["4", `4:${"0".repeat(63)}`, `04:${"0".repeat(64)}`, `x:${"0".repeat(64)}`])(
    "is not compared with %s, which is no head",
    async (expected) => {
      expect((await verify("--expected", expected)).status).toBe(2);
    },
  );
});
