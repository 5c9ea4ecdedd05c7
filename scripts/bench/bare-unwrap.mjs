/**
 * `bare-unwrap.mjs MODULE LABEL PIN PUBLIC_KEY COUNT`: what a token's part of opening costs, and
 * nothing else: one login, then for each message C_UnwrapKey, the read of the key's value,
 * C_DestroyObject.
 */
import crypto from "node:crypto";
import fs from "node:fs";
import pkcs11js from "pkcs11js";

const [file = "", label = "", pin = "", pem = "", count = "0"] = process.argv.slice(2);
const {
  CKA_CLASS: CLASS,
  CKA_EXTRACTABLE: EXTRACTABLE,
  CKA_KEY_TYPE: KEY_TYPE,
  CKA_SENSITIVE: SENSITIVE,
  CKA_VALUE: VALUE,
} = pkcs11js;
const publicKey = crypto.createPublicKey(fs.readFileSync(pem));
const padding = crypto.constants.RSA_PKCS1_OAEP_PADDING;
const wrapped = crypto.publicEncrypt(
  { key: publicKey, padding, oaepHash: "sha1" },
  crypto.randomBytes(32),
);

const module = new pkcs11js.PKCS11();
module.load(file);
module.C_Initialize();
const slot = module
  .C_GetSlotList(true)
  .find((one) => module.C_GetTokenInfo(one).label.trim() === label);
if (slot === undefined) throw new Error(`no token ${label}`);
const session = module.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION);
module.C_Login(session, pkcs11js.CKU_USER, pin);
module.C_FindObjectsInit(session, [{ type: CLASS, value: pkcs11js.CKO_PRIVATE_KEY }]);
const [key] = module.C_FindObjects(session, 1);
module.C_FindObjectsFinal(session);
if (key === undefined) throw new Error("no private key");

const mechanism = {
  mechanism: pkcs11js.CKM_RSA_PKCS_OAEP,
  parameter: {
    type: pkcs11js.CK_PARAMS_RSA_OAEP,
    hashAlg: pkcs11js.CKM_SHA_1,
    mgf: pkcs11js.CKG_MGF1_SHA1,
    source: 1,
  },
};
const template = [
  { type: CLASS, value: pkcs11js.CKO_SECRET_KEY },
  { type: KEY_TYPE, value: pkcs11js.CKK_GENERIC_SECRET },
  { type: pkcs11js.CKA_TOKEN, value: false },
  { type: SENSITIVE, value: false },
  { type: EXTRACTABLE, value: true },
];
for (let i = 0; i < Number(count); i++) {
  const secret = module.C_UnwrapKey(session, mechanism, key, wrapped, template);
  module.C_GetAttributeValue(session, secret, [{ type: VALUE }]);
  module.C_DestroyObject(session, secret);
}
module.C_Finalize();
