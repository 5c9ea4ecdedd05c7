/** Whether a token may hide keys until somebody logs in. */
import type { TokenInfo } from "./values.js";

/**
 * Private objects may be hidden until login also where CKF_LOGIN_REQUIRED is not set (PKCS#11 v2.40
 * §2.4, §3.2): it speaks of functions. Only a token without a PIN hides none.
 */
export function mayHideKeys({
  loginRequired,
  pin,
}: Pick<TokenInfo, "loginRequired" | "pin">): boolean {
  return loginRequired || pin !== "not-set";
}
