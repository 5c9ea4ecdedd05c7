/**
 * The environment of the token's process: without PINs, and while Node starts also without what would
 * only slow it. What was taken away for that is put back before anything can look for it: a command
 * that prints a PIN may be a Node program too.
 */
import { withoutPins } from "../session/pin-variables.js";

type Environment = Readonly<Record<string, string | undefined>>;

/** What Node looks at when it starts: a file of certificates to read whole, where to keep code. */
const LOOKED_AT = ["NODE_EXTRA_CA_CERTS", "NODE_COMPILE_CACHE"] as const;

/** What they were, as JSON. */
const BEFORE = "p11seal_environment_before";

let codeFolder: string | undefined;

/** The process keeps its compiled code there too. */
export function keepCodeIn(folder: string): void {
  codeFolder = folder;
}

/** What to start the process with. */
export function childEnvironment(env: Environment): Record<string, string | undefined> {
  const made = withoutPins(env);
  const before = LOOKED_AT.map((name) => [name, made[name]] as const);
  for (const [name] of before) made[name] = undefined;
  if (codeFolder !== undefined) made["NODE_COMPILE_CACHE"] = codeFolder;
  made[BEFORE] = JSON.stringify(Object.fromEntries(before));
  return made;
}

/** In the process: the environment as it was. */
export function restoreEnvironment(env: Record<string, string | undefined>): void {
  const before = JSON.parse(env[BEFORE] ?? "{}") as Environment;
  for (const name of [...LOOKED_AT, BEFORE]) {
    // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- the environment has no other way
    if (before[name] === undefined) delete env[name];
    else env[name] = before[name];
  }
}
