/** Each test has a token of its own, also one that fails. */
import assert from "node:assert/strict";
import { verify } from "node:crypto";
import test from "node:test";
import { withToken } from "p11seal/testing";
import { sign } from "../sign.mjs";

const data = Buffer.from("release 1.0");
const options = /** @type {const} */ ({ keys: { release: "ec:p256" } });

test(
  "the signature is the key's",
  withToken(options, (_t, token) => {
    const signature = sign({ module: token.module, pin: token.pin, key: "release" }, data);
    const key = { key: token.pem("release"), dsaEncoding: /** @type {const} */ ("ieee-p1363") };
    assert.ok(verify("SHA256", data, key, signature));
  }),
);

test(
  "a PIN is sent once, also when it is wrong",
  withToken(options, (_t, token) => {
    assert.throws(() => sign({ module: token.module, pin: "0000", key: "release" }, data), {
      message: /CKR_PIN_INCORRECT/,
    });
    assert.equal(token.calls().filter(({ fn }) => fn === "C_Login").length, 1);
  }),
);

test(
  "a token that fails is reported",
  withToken(options, (_t, token) => {
    token.faults.fail("C_Sign", { rv: "CKR_DEVICE_ERROR" });
    assert.throws(() => sign({ module: token.module, pin: token.pin, key: "release" }, data), {
      message: /CKR_DEVICE_ERROR/,
    });
  }),
);

test(
  "a token that was pulled is reported",
  withToken(options, (_t, token) => {
    token.faults.pull();
    assert.throws(() => sign({ module: token.module, pin: token.pin, key: "release" }, data), {
      message: "no token is present",
    });
  }),
);
