/**
 * Child of binding.mjs: measures the binding that P11SEAL_BINDING names, on the token "bench" of
 * the module given, and prints JSON. Its other arguments are the PEM file of the token's RSA key,
 * and `quick` or `whole`.
 */
import { constants, createECDH, createPublicKey, publicEncrypt, randomBytes } from "node:crypto";
import fs from "node:fs";
import { CKK, CKO, CKU, OS_LOCKING_OK, SESSION_FLAG } from "../../dist/token/modules/constants.js";
import { loadBinding } from "../../dist/token/modules/load-binding.js";
import { ecdhMechanism, oaepMechanism, template } from "../../dist/token/modules/template.js";

const [module = "", pem = "", how] = process.argv.slice(2);
const isQuick = how === "quick";
const MIB = 2 ** 20;
/** Derivations after which memory is looked at. */
const MANY = isQuick ? 2_000 : 100_000;

const begun = performance.now();
const binding = await loadBinding();
const loadedMs = performance.now() - begun;

const native = binding.newModule();
native.load(module);
native.C_Initialize({ flags: OS_LOCKING_OK });
const slot = native
  .C_GetSlotList(true)
  .find((one) => native.C_GetTokenInfo(one).label.trim() === "bench");
if (slot === undefined) throw new Error("the token is not there");
const session = native.C_OpenSession(slot, SESSION_FLAG.SERIAL);
native.C_Login(session, CKU.USER, String(process.env["PIN"]));

/** @param {import("../../dist/token/modules/template.js").AttributeValues} values */
function found(values) {
  native.C_FindObjectsInit(session, template(values));
  const [object] = native.C_FindObjects(session, 1);
  native.C_FindObjectsFinal(session);
  if (object === undefined) throw new Error("the token lacks a key");
  return object;
}

const rsa = found({ CLASS: CKO.PRIVATE_KEY, KEY_TYPE: CKK.RSA, LABEL: "rsa" });
const rsaPublic = found({ CLASS: CKO.PUBLIC_KEY, KEY_TYPE: CKK.RSA, LABEL: "rsa" });
const ec = found({ CLASS: CKO.PRIVATE_KEY, KEY_TYPE: CKK.EC, LABEL: "ec" });
const key = createPublicKey(fs.readFileSync(pem));
const padding = constants.RSA_PKCS1_OAEP_PADDING;
const wrapped = publicEncrypt({ key, padding, oaepHash: "sha1" }, randomBytes(32));
const oaep = oaepMechanism({ hash: "sha1" });
const ecdh = ecdhMechanism(createECDH("prime256v1").generateKeys());
const shown = { TOKEN: false, SENSITIVE: false, EXTRACTABLE: true };
const secret = { CLASS: CKO.SECRET_KEY, KEY_TYPE: CKK.GENERIC_SECRET, ...shown };
const [unwrapped, derived] = [template(secret), template({ ...secret, VALUE_LEN: 32 })];

/** The median of five times, microseconds a call. @param {number} count @param {() => void} call */
function each(count, call) {
  const times = [1, 2, 3, 4, 5].map(() => {
    const from = performance.now();
    for (let n = 0; n < count; n += 1) call();
    return ((performance.now() - from) * 1000) / count;
  });
  return `${shortened(times.sort((a, b) => a - b)[2] ?? 0)} µs`;
}

/** @param {number} value */
function shortened(value) {
  return value < 10 ? value.toFixed(1) : value.toFixed(0);
}

function derive() {
  native.C_DestroyObject(session, native.C_DeriveKey(session, ecdh, ec, derived));
}

async function deriveOnThread() {
  native.C_DestroyObject(session, await native.C_DeriveKeyAsync(session, ecdh, ec, derived));
}

/** Resident memory, MiB. */
function residentMiB() {
  globalThis.gc?.();
  return process.memoryUsage.rss() / MIB;
}

/** @param {number} before @param {number} after */
function growth(before, after) {
  const rounded = Math.round(after - before);
  return `${rounded < 0 ? "" : "+"}${rounded === 0 ? 0 : rounded} MiB`;
}

/** @type {Record<string, string>} */
const figures = { "loading it, once": `${shortened(loadedMs)} ms` };
const few = isQuick ? 20 : 1_000;
figures["`C_GetSessionInfo`"] = each(20 * few, () => native.C_GetSessionInfo(session));
const modulus = template({ MODULUS: new Uint8Array() }).map(({ type }) => ({ type }));
figures["`C_GetAttributeValue`, 256 bytes"] = each(10 * few, () =>
  native.C_GetAttributeValue(session, rsaPublic, modulus),
);
const value = template({ VALUE: new Uint8Array() }).map(({ type }) => ({ type }));
figures["RSA-2048 OAEP: unwrap, value, destroy"] = each(few, () => {
  const object = native.C_UnwrapKey(session, oaep, rsa, wrapped, unwrapped);
  native.C_GetAttributeValue(session, object, value);
  native.C_DestroyObject(session, object);
});
figures["P-256: derive, destroy"] = each(few, derive);
const from = performance.now();
for (let n = 0; n < few; n += 1) await deriveOnThread();
figures["the same on a thread"] = `${shortened(((performance.now() - from) * 1000) / few)} µs`;
const before = residentMiB();
for (let n = 0; n < MANY; n += 1) derive();
const between = residentMiB();
const many = MANY.toLocaleString("en");
figures[`memory after ${many} derivations`] = growth(before, between);
for (let n = 0; n < MANY; n += 1) await deriveOnThread();
figures[`memory after ${many} more on threads`] = growth(between, residentMiB());
native.C_CloseSession(session);
native.C_Finalize();

process.stdout.write(JSON.stringify(figures));
