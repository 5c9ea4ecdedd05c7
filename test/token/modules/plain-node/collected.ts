/**
 * Child of ffi-cryptoki.test.ts: calls a module after all that nothing refers to was collected. The
 * library must be there still.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { CKM } from "../../../../src/token/modules/constants.js";
import { loadBinding } from "../../../../src/token/modules/load-binding.js";
import { plainMechanism, pssMechanism, template } from "../../../../src/token/modules/template.js";

const [path = ""] = process.argv.slice(2);
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;
const native = (await loadBinding()).newModule();
native.load(path);
const session = native.C_OpenSession(Buffer.alloc(8), 4);
const lengths: number[] = [];
const salts: unknown[] = [];
for (let round = 1; round <= 20; round += 1) {
  const wanted = template({ LABEL: "x".repeat(round), ID: new Uint8Array(round) });
  const derived = native.C_DeriveKeyAsync(session, plainMechanism(CKM.RSA_PKCS), session, wanted);
  collect();
  // Whoever got the memory that was freed too soon writes to it.
  Array.from({ length: 500 }, () => Buffer.alloc(48, 0xff));
  lengths.push((await derived).readUInt32LE());
  native.C_SignInit(session, pssMechanism(), session);
  collect();
  Array.from({ length: 500 }, () => Buffer.alloc(24, 0xff));
  salts.push(native.C_Sign(session, Buffer.alloc(1), Buffer.alloc(1))[0]);
  await sleep(1);
}
process.stdout.write(JSON.stringify({ lengths, salts }));
