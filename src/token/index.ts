/** The door of `src/token`: what the rest of the project may use. */
export { TokenAccess, type TokenAccessOptions } from "./access.js";
export { TokenProcess, type TokenProcessOptions } from "./process/token-process.js";
export type { Diagnosis, KeyDiagnosis, ModuleDiagnosis, TokenDiagnosis } from "./diagnosis.js";
export type { Plan, PlanStep } from "./use/plan.js";
export { pinFromSource, pinFromUri } from "./session/pin.js";
export { type DevelopmentTokenOptions, initDevelopmentToken } from "./session/softhsm.js";
export type * from "./service.js";
export type * from "./values.js";
export { formatUri, isPkcs11Uri, parseUri, type Pkcs11Uri } from "./uri.js";
