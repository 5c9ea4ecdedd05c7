/** Several messages in one run: they are opened concurrently, but it looks sequential. */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { type SetFaults, softHsmBehind } from "../../../support/behind-shim.js";
import { publicPem, TEST_KEYS } from "../../../support/keys.js";
import {
  freshToken,
  importKey,
  SOFTHSM_MODULE,
  type TestToken,
  USER_PIN,
} from "../../../support/softhsm.js";
import { temporaryFolder } from "../../support/folder.js";
import { p11seal, type Ended } from "../../support/spawn.js";

const COUNT = 12;

const folder = temporaryFolder();
let token: TestToken;
let runs = 0;

beforeAll(async () => {
  token = await freshToken("several");
  const key = { label: "exchange", id: Uint8Array.of(1), privateHalf: { UNWRAP: true } };
  await importKey(token, TEST_KEYS.rsa2048, key);
  writeFileSync(join(folder, "alice.pem"), publicPem(TEST_KEYS.rsa2048));
  writeFileSync(join(folder, "bob.pem"), publicPem(TEST_KEYS.p256));
  for (const [recipient, names] of [
    ["alice", Array.from({ length: COUNT }, (_, n) => `${n}`)],
    ["bob", ["foreign"]],
  ] as const) {
    for (const name of names) {
      writeFileSync(join(folder, name), `message ${name}\n`);
      const argv = ["seal", "-r", `${recipient}.pem`, "--oaep", "sha1", "-o", `${name}.p11s`, name];
      expect(await p11seal(argv, { cwd: folder })).toMatchObject({ status: 0 });
    }
  }
  const argv = ["seal", "-r", "alice.pem", "--oaep", "sha1", "-o", "wrapped.p11s", "0.p11s"];
  expect(await p11seal(argv, { cwd: folder })).toMatchObject({ status: 0 });
});

interface Several extends Ended {
  /** Where the plaintext was written. */
  readonly into: string;
  readonly log: readonly { readonly outcome: string; readonly path?: string }[];
}

/** Opens copies of messages; missing `names` are made from `contents`. */
async function openAll(
  names: readonly string[],
  options: {
    fault?: SetFaults;
    pin?: string;
    more?: readonly string[];
    prepare?: (into: string) => void;
  } = {},
): Promise<Several> {
  runs += 1;
  const into = join(folder, `run-${runs}`);
  mkdirSync(into);
  for (const name of names) {
    if (existsSync(join(folder, `${name}.p11s`))) {
      copyFileSync(join(folder, `${name}.p11s`), join(into, `${name}.p11s`));
    }
  }
  options.prepare?.(into);
  const home = join(folder, `home-${runs}`);
  const { fault, pin = USER_PIN, more = [] } = options;
  const argv = ["open", "-i", token.uri, "--pin-source", "env:PIN", ...more];
  const env = {
    ...{ PIN: pin, P11SEAL_HOME: home },
    P11SEAL_MODULE: fault === undefined ? SOFTHSM_MODULE : (await softHsmBehind(fault)).module,
  };
  const files = names.map((name) => `${name}.p11s`);
  const finished = await p11seal([...argv, ...files], { cwd: into, env });
  const lines = existsSync(join(home, "audit.jsonl"))
    ? readFileSync(join(home, "audit.jsonl"), "utf8").trim().split("\n")
    : [];
  return { ...finished, into, log: lines.map((line) => JSON.parse(line) as Several["log"][0]) };
}

const all = Array.from({ length: COUNT }, (_, n) => `${n}`);

/** Names of messages that were opened correctly. Anything else there is a fault. */
function opened(into: string): string[] {
  const names = readdirSync(into).filter((name) => !name.endsWith(".p11s"));
  for (const name of names) {
    expect(readFileSync(join(into, name), "utf8")).toBe(`message ${name}\n`);
  }
  return names.sort((a, b) => Number(a) - Number(b));
}

describe("several messages in one run", () => {
  it("are all opened, with one line each in the audit log that says how", async () => {
    const { status, stderr, into, log } = await openAll(all);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(opened(into)).toEqual(all);
    expect(log.map(({ outcome }) => outcome)).toEqual(all.map(() => "opened"));
    for (const { path } of log) expect(path).toBe("C_UnwrapKey CKM_RSA_PKCS_OAEP sha1");
  });

  it("stop, logged, when many are forged: someone may be guessing at the key", async () => {
    const forged = Array.from({ length: 20 }, (_, n) => `forged-${n}`);
    const { status, stderr, into, log } = await openAll([...forged, "0"], {
      prepare(there) {
        const bytes = readFileSync(join(folder, "0.p11s"));
        for (const name of forged) {
          // Within the wrapped key: 256 bytes near the start of the message.
          bytes[200] = (bytes[200] ?? 0) + 1;
          writeFileSync(join(there, `${name}.p11s`), bytes);
        }
      },
    });
    expect(status).toBe(4);
    expect(opened(into)).toEqual([]);
    const outcomes = log.map(({ outcome }) => outcome);
    const failed = outcomes.filter((outcome) => outcome === "ERR_NOT_AUTHENTIC");
    // Those that were under way beside the fifth still end.
    expect(failed.length).toBeGreaterThanOrEqual(5);
    expect(failed.length).toBeLessThanOrEqual(8);
    expect(outcomes.slice(failed.length)).toEqual(["ERR_TOO_MANY_FAILURES"]);
    expect(stderr).toMatch(/5 messages did not open with this key/);
    expect(stderr).toMatch(/\d+ more not opened/);
  });

  it("fail one by one, are reported in order, and do not affect the others", async () => {
    const names = ["0", "missing", "1", "foreign", "2", "bad", "3", "4"];
    const { status, stderr, into, log } = await openAll(names, {
      prepare(there) {
        const bytes = readFileSync(join(folder, "5.p11s"));
        bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
        writeFileSync(join(there, "bad.p11s"), bytes);
        writeFileSync(join(there, "4"), "message 4\n");
      },
    });
    const told = stderr.split("\n").filter((line) => line.startsWith("p11seal: "));
    expect(told.map((line) => line.split(" ")[1])).toEqual([
      ...["missing.p11s:", "foreign.p11s:", "bad.p11s:", "4.p11s:"],
    ]);
    expect(status).toBe(1);
    expect(opened(into)).toEqual(["0", "1", "2", "3", "4"]);
    expect(log.map(({ outcome }) => outcome)).toEqual([
      ...["opened", "opened", "ERR_NO_MATCH", "opened", "ERR_SEGMENT", "opened"],
    ]);
  });

  it("outlive a crash of the token's module: all that it ended are opened once more, alone", async () => {
    const fault: SetFaults = (faults) => faults.crash("C_UnwrapKey", { at: 5, times: 1 });
    const { status, stderr, into, log } = await openAll(all, { fault });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(opened(into)).toEqual(all);
    expect(log.map(({ outcome }) => outcome)).toEqual(all.map(() => "opened"));
  });

  it("end at a module that crashes every time: the second in a row is the last that is tried", async () => {
    const fault: SetFaults = (faults) => faults.crash("C_UnwrapKey");
    const { status, stderr, into, log } = await openAll(all, { fault });
    expect({ status, stderr }).toEqual({ status: 5, stderr: expect.stringContaining("0.p11s") });
    expect(stderr).toContain(`${COUNT - 2} more not opened`);
    expect(opened(into)).toEqual([]);
    expect(log.map(({ outcome }) => outcome)).toEqual(["ERR_TOKEN_CRASHED", "ERR_TOKEN_CRASHED"]);
  });

  it("end where the token stops working: what was opened before is whole, the rest is not there", async () => {
    const fault: SetFaults = (faults) =>
      faults.fail("C_UnwrapKey", { at: 5, rv: "CKR_DEVICE_ERROR" });
    const { status, stderr, into, log } = await openAll(all, { fault });
    const outcomes = log.map(({ outcome }) => outcome);
    expect({ status, last: outcomes.pop() }).toEqual({ status: 5, last: "ERR_PKCS11" });
    expect(outcomes).toEqual(all.slice(0, outcomes.length).map(() => "opened"));
    expect(opened(into)).toEqual(all.slice(0, outcomes.length));
    expect(stderr).toContain(`${COUNT - outcomes.length - 1} more not opened`);
  });

  it("send a wrong PIN once", async () => {
    const { status, stderr, into, log } = await openAll(all, { pin: "wrong-5566" });
    expect(status).toBe(5);
    expect(stderr).toContain(`${COUNT - 1} more not opened`);
    expect(opened(into)).toEqual([]);
    expect(log.map(({ outcome }) => outcome)).toEqual(["ERR_PIN_REFUSED"]);
  });

  it("are opened one after the other where one's plaintext is the next one's message", async () => {
    const { status, stderr, into } = await openAll(["twice.p11s", "twice"], {
      more: ["--force"],
      prepare(there) {
        copyFileSync(join(folder, "wrapped.p11s"), join(there, "twice.p11s.p11s"));
        copyFileSync(join(folder, "1.p11s"), join(there, "twice.p11s"));
      },
    });
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(readFileSync(join(into, "twice"), "utf8")).toBe("message 0\n");
  });
});
