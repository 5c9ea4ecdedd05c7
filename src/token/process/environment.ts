/**
 * The environment of the token's process. It has no PINs, and while Node starts it also lacks what
 * would only slow that down. The process restores the latter before anything can look for it: a
 * command that prints a PIN may be a Node program too.
 */
import { withoutPins } from "../session/pin-variables.js";

type Environment = Readonly<Record<string, string | undefined>>;

/** What Node reads when it starts: a file of certificates, and the folder of its compiled code. */
const LOOKED_AT = ["NODE_EXTRA_CA_CERTS", "NODE_COMPILE_CACHE"] as const;

/** The variable that holds their values, as JSON, until the process has started. */
const BEFORE = "p11seal_environment_before";

/** The environment to start the process with. */
export function childEnvironment(env: Environment): Record<string, string | undefined> {
  const made = withoutPins(env);
  const before = LOOKED_AT.map((name) => [name, made[name]] as const);
  for (const [name] of before) made[name] = undefined;
  made[BEFORE] = JSON.stringify(Object.fromEntries(before));
  return made;
}

/** Called in the process: restores the environment. */
export function restoreEnvironment(env: Record<string, string | undefined>): void {
  const before = JSON.parse(env[BEFORE] ?? "{}") as Environment;
  for (const name of [...LOOKED_AT, BEFORE]) {
    // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- there is no other way
    if (before[name] === undefined) delete env[name];
    else env[name] = before[name];
  }
}
