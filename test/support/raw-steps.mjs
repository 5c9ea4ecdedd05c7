/**
 * Steps on a token that p11seal itself does not offer, such as importing a key, in a separate
 * process: modules read their environment at process start, and the tested code must not check
 * itself. Steps come as JSON on standard input, results go as JSON to standard output.
 *
 * Bytes are `{ "hex": "…" }`. Templates were checked by src/token/modules/template.ts on the
 * other side.
 */
import fs from "node:fs";
import pkcs11js from "pkcs11js";

/** @typedef {{ type: number, value: boolean | number | { hex: string } }} PlainAttribute */
/**
 * @typedef {{ do: "create", template: PlainAttribute[] } | { do: "generate", mechanism: number,
 *   publicHalf: PlainAttribute[], privateHalf: PlainAttribute[] } | { do: "destroy", template:
 *   PlainAttribute[] } | { do: "count", template: PlainAttribute[] }} Step
 */

const [USER, READ_WRITE, OS_LOCKING_OK] = [1, 6, 2];

/** @type {{ module: string, parameters?: string, label: string, pin: string, steps: Step[] }} */
const { module, parameters, label, pin, steps } = JSON.parse(fs.readFileSync(0, "utf8"));

const native = new pkcs11js.PKCS11();
native.load(module);
native.C_Initialize({
  flags: OS_LOCKING_OK,
  // pkcs11js loses the last byte.
  ...(parameters === undefined ? {} : { libraryParameters: `${parameters} ` }),
});
const slot = native
  .C_GetSlotList(true)
  .find((one) => native.C_GetTokenInfo(one).label.replace(/[\0 ]+$/, "") === label);
if (slot === undefined) throw new Error(`no token ${label}`);
const session = native.C_OpenSession(slot, READ_WRITE);
native.C_Login(session, USER, pin);
const results = steps.map((step) => {
  try {
    return { ok: run(step) };
  } catch (error) {
    return { error: String(/** @type {Error} */ (error).message) };
  }
});
native.C_Logout(session);
native.C_CloseSession(session);
native.C_Finalize();
fs.writeSync(1, JSON.stringify(results));

/** @param {Step} step */
function run(step) {
  switch (step.do) {
    case "create":
      native.C_CreateObject(session, nativeTemplate(step.template));
      return 1;
    case "generate":
      native.C_GenerateKeyPair(
        session,
        { mechanism: step.mechanism },
        nativeTemplate(step.publicHalf),
        nativeTemplate(step.privateHalf),
      );
      return 1;
    case "destroy": {
      const found = find(step.template);
      for (const object of found) native.C_DestroyObject(session, object);
      return found.length;
    }
    case "count":
      return find(step.template).length;
  }
}

/** @param {PlainAttribute[]} wanted */
function find(wanted) {
  native.C_FindObjectsInit(session, nativeTemplate(wanted));
  const found = [];
  for (;;) {
    const some = native.C_FindObjects(session, 100);
    if (some.length === 0) break;
    found.push(...some);
  }
  native.C_FindObjectsFinal(session);
  return found;
}

/** @param {PlainAttribute[]} attributes */
function nativeTemplate(attributes) {
  return attributes.map(({ type, value }) => ({
    type,
    value: typeof value === "object" ? Buffer.from(value.hex, "hex") : value,
  }));
}
