/**
 * p11seal/token: keys on hardware tokens, by way of PKCS#11 modules.
 *
 * @packageDocumentation
 */
export { TokenAccess, type TokenAccessOptions } from "./access.js";
export { TokenProcess, type TokenProcessOptions } from "./process/token-process.js";
export type {
  Diagnosis,
  KeyDiagnosis,
  ModuleDiagnosis,
  TokenDiagnosis,
  UnreadDiagnosis,
} from "./diagnosis.js";
export type { ConfigurationFault } from "./modules/configuration.js";
export type { SystemPaths } from "./modules/well-known.js";
export type { Plan, PlanOperation, PlanStep } from "./use/plan.js";
export type { QuirkInfo } from "./use/quirks.js";
export { pinFromSource, pinFromUri } from "./session/pin.js";
export { type DevelopmentTokenOptions, initDevelopmentToken } from "./session/softhsm.js";
export type * from "./service.js";
export type * from "./values.js";
export type { Place } from "../terminal/person.js";
export { formatUri, isPkcs11Uri, parseUri, type ObjectType, type Pkcs11Uri } from "./uri.js";
