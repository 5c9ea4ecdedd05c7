/** The user's data folder (docs/cli.md, "Files"). */
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { UsageError } from "../errors.js";
import { requireOwnFolder, requireOwnPaths } from "./files.js";

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * `P11SEAL_HOME`, or else where the platform keeps such data. The folder may not exist. One that
 * others can write to is refused whole, since any file in it may be theirs. So is one in which they
 * can change the development token: its files say which library runs, and which keys it shows.
 *
 * @throws UsageError `ERR_USAGE`; PolicyError `ERR_UNSAFE_FILE`
 */
export function homeFolder(env: Environment): string {
  const folder = pathOfHome(env);
  requireOwnFolder(folder);
  const softHsm = join(folder, "softhsm");
  requireOwnPaths(
    softHsm,
    DEVELOPMENT_TOKEN.map((name) => join(softHsm, name)),
  );
  return folder;
}

/** As in `token/modules/discover.ts`, which would load more than most commands need. */
const DEVELOPMENT_TOKEN = ["softhsm2.conf", "module", "tokens"] as const;

/** The folder, unchecked: to see if there is one. @throws UsageError `ERR_USAGE` */
export function pathOfHome(env: Environment): string {
  const own = env["P11SEAL_HOME"];
  if (own !== undefined && own !== "") {
    if (!isAbsolute(own)) {
      throw new UsageError("ERR_USAGE", `P11SEAL_HOME is not an absolute path: "${own}"`);
    }
    return own;
  }
  return join(dataFolder(env), "p11seal");
}

function dataFolder(env: Environment): string {
  const home = env["HOME"] ?? homedir();
  if (process.platform === "win32") return env["LOCALAPPDATA"] ?? join(home, "AppData", "Local");
  if (process.platform === "darwin") return join(home, "Library", "Application Support");
  // XDG Base Directory Specification: relative paths are ignored.
  const xdg = env["XDG_DATA_HOME"];
  return xdg !== undefined && isAbsolute(xdg) ? xdg : join(home, ".local", "share");
}
