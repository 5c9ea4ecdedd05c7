/** The door of `src/token`: what the rest of the project may use. */
export { TokenAccess, type TokenAccessOptions } from "./access.js";
export { TokenProcess, type TokenProcessOptions } from "./process/token-process.js";
export type { Diagnosis, KeyDiagnosis, ModuleDiagnosis, TokenDiagnosis } from "./doctor.js";
export type { Plan, PlanStep } from "./plan.js";
export { pinFromSource, pinFromUri } from "./pin.js";
export { type DevelopmentTokenOptions, initDevelopmentToken } from "./softhsm.js";
export type * from "./types.js";
export { formatUri, isPkcs11Uri, parseUri, type Pkcs11Uri } from "./uri.js";
