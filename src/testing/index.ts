/**
 * Throw-away tokens for tests, of p11seal and of any other program that uses PKCS#11. Each is a
 * SoftHSM token behind a module that fails on demand and can behave like other tokens. It needs no
 * test runner, and nothing else in the package loads it.
 *
 * @packageDocumentation
 */
export { PROFILE_NAMES } from "./profile-names.js";
export { testToken, whyNoTestToken, type TestToken, type TestTokenOptions } from "./test-token.js";
export type { Call, CallAttribute } from "./calls.js";
export type { Fault, FaultOptions, Faults, FailOptions, PadAnswer, PadOptions } from "./faults.js";
export type { FindOptions } from "./find-softhsm.js";
export type { PkcsFunction } from "./functions.js";
export type { TestKeyOptions, TestKeyType, TestKeyUse } from "./make-keys.js";
export type { Profile, ProfileName, TemplateRule } from "./profiles.js";
export { tokenFixture, type TokenTest, withToken } from "./with-token.js";
export { wrapModule, type WrappedModule, type WrapOptions } from "./wrapped-module.js";
