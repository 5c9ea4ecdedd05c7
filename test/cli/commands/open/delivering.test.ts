/** What a power cut can't take once the ledger says that a message was delivered. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "@jest/globals";
import { calls } from "../../../support/recorded-calls.js";
import type { Delivery } from "../../../../src/cli/commands/open/delivering.js";
import type { Admission } from "../../../../src/cli/commands/open/admission.js";
import type { Output } from "../../../../src/cli/io/output.js";

const { deliverAdmitted } = await import("../../../../src/cli/commands/open/delivering.js");
const { fileOutput } = await import("../../../../src/cli/io/outputs.js");
const { deliveryState, describeDelivery } =
  await import("../../../../src/records/ledger/delivery.js");

const above = mkdtempSync(join(tmpdir(), "p11seal-delivering-"));
afterAll(() => {
  rmSync(above, { recursive: true, force: true });
});

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(above, "f-"));
  for (const name of ["plaintexts", "receipts"]) mkdirSync(join(folder, name));
});

const durable = (path: string): Promise<Output> =>
  fileOutput(join(folder, path), { force: false, mode: "private", inputs: [], durable: true });

const toPipe: Output = {
  name: "stdout",
  forgets: true,
  write: () => Promise.resolve(),
  prepare: () => Promise.resolve(),
  place: () => undefined,
  displace: () => undefined,
  close: () => Promise.resolve(),
};

/** Of a message whose plaintext is empty, with its receipt written. */
async function deliver(output: Output): Promise<void> {
  const receipt = await durable("receipts/r");
  await receipt.write(Buffer.from("receipt"));
  await receipt.prepare();
  const opened = {
    intoFile: () => Promise.resolve(true),
    async *chunksFor() {
      // No bytes.
    },
  };
  const reservation = {
    commit: () =>
      Promise.resolve({
        witness: undefined,
        delivered: () => {
          calls.push("ledger: delivered");
          return Promise.resolve();
        },
      }),
  };
  const delivery: unknown = {
    ...{ opened, output, receipt, hash: undefined, task: { source: "m" } },
    settings: { threads: 1, stream: false },
    log: { opened: () => Promise.resolve() },
    context: { io: { stdout: {} }, report: { note: () => undefined } },
  };
  const admission: unknown = { required: () => ({ reservation, sender: {} }), admitted: {} };
  calls.length = 0;
  await deliverAdmitted(delivery as Delivery, admission as Admission);
  await receipt.close();
}

describe("on the disk before the ledger says that a message was delivered:", () => {
  it("the names of its receipt and its plaintext, each in its own folder", async () => {
    const output = await durable("plaintexts/p");
    await deliver(output);
    expect(calls.slice(-5)).toEqual([
      ...["name r", "name p", "flush receipts", "flush plaintexts"],
      "ledger: delivered",
    ]);
    await output.close();
  });

  it("the name of its receipt, where the plaintext goes to a pipe", async () => {
    await deliver(toPipe);
    expect(calls.slice(-3)).toEqual(["name r", "flush receipts", "ledger: delivered"]);
  });

  it("the plaintext's name, where the run that gave it was killed", async () => {
    const output = await durable("plaintexts/p");
    await output.write(Buffer.from("content"));
    await output.prepare();
    const { paths } = output;
    if (paths === undefined) throw new TypeError("a file has paths");
    const delivery = describeDelivery(paths);
    calls.length = 0;
    expect(deliveryState(delivery)).toBe("waiting");
    expect(calls).toEqual([]);
    output.place({ reversible: false });
    calls.length = 0;
    expect(deliveryState(delivery)).toBe("placed");
    expect(calls).toEqual(["flush plaintexts"]);
    await output.close();
  });
});
