/** A host for ssh(1): OpenSSH's server on this machine, with its own keys and configuration. */
import { execFileSync, spawn, spawnSync, type ChildProcess } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { until } from "./spawn.js";

const root = join(import.meta.dirname, "../../..");

/** Where scripts/lib/sshd.mjs unpacks it, if it can't be installed. */
const UNPACKED = join(root, ".cache/openssh/usr");

const PROGRAM = ["/usr/sbin/sshd", join(UNPACKED, "sbin/sshd")].find((one) => existsSync(one));

/** Folders of the libraries that were unpacked with it. */
const LIBRARIES = existsSync(join(UNPACKED, "lib"))
  ? readdirSync(join(UNPACKED, "lib")).map((name) => join(UNPACKED, "lib", name))
  : [];

/** Why there is no such host here; undefined: there is one. */
export const noSshd: string | undefined =
  process.platform !== "linux"
    ? "this is not Linux"
    : PROGRAM === undefined
      ? "sshd is not installed; npm run test:tokens gets it"
      : spawnSync("ssh", ["-V"]).status !== 0
        ? "ssh is not installed"
        : undefined;

export class SshHost {
  /** For ssh(1), after the host's name. */
  readonly options: readonly string[];
  readonly #child: ChildProcess;
  readonly #removes: string | undefined;

  private constructor(child: ChildProcess, options: readonly string[], removes?: string) {
    this.#child = child;
    this.options = options;
    this.#removes = removes;
  }

  /**
   * @param folder - for its files
   * @param env - of what is run there
   * @param settings - further lines of sshd_config(5)
   */
  static async start(
    folder: string,
    env: Readonly<Record<string, string>>,
    settings: readonly string[] = [],
  ): Promise<SshHost> {
    const at = (name: string): string => join(folder, name);
    mkdirSync(folder, { mode: 0o700 });
    for (const name of ["host", "user"]) {
      execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", at(name)]);
    }
    const port = await freePort();
    const quoted = Object.entries(env).map(([name, value]) => `"${name}=${value}"`);
    const lines = [
      ...[`Port ${port}`, "ListenAddress 127.0.0.1", "PidFile none", "UsePAM no"],
      ...[`HostKey ${at("host")}`, `AuthorizedKeysFile ${at("user.pub")}`, "StrictModes no"],
      ...["PasswordAuthentication no", "KbdInteractiveAuthentication no", "PermitRootLogin yes"],
      `SetEnv ${quoted.join(" ")}`,
      ...settings,
    ];
    writeFileSync(at("config"), `${lines.join("\n")}\n`);
    const known = readFileSync(at("host.pub"), "utf8");
    writeFileSync(at("known"), `[127.0.0.1]:${port} ${known}`);
    writeFileSync(at("log"), "");
    chmodSync(at("user"), 0o600);
    // As root it wants a folder that a service would have made.
    const made = process.getuid?.() === 0 ? mkdirSync("/run/sshd", { recursive: true }) : undefined;
    const argv = ["-D", "-f", at("config"), "-E", at("log")];
    const libraries = LIBRARIES.length === 0 ? {} : { LD_LIBRARY_PATH: LIBRARIES.join(":") };
    const child = spawn(String(PROGRAM), argv, {
      stdio: "ignore",
      env: { ...process.env, ...libraries },
    });
    await until(() => hasStarted(at("log")) || child.exitCode !== null, "sshd");
    const options = [
      ...["-p", `${port}`, "-l", userInfo().username, "-F", "none", "-i", at("user")],
      ...["-o", `UserKnownHostsFile=${at("known")}`, "-o", "StrictHostKeyChecking=yes"],
      ...["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"],
    ];
    return new SshHost(child, options, made);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Ends it; connections that are open stay so. */
  async stop(): Promise<void> {
    this.#child.kill("SIGTERM");
    await until(() => this.#child.exitCode !== null || this.#child.signalCode !== null, "sshd");
    if (this.#removes !== undefined) rmSync(this.#removes, { recursive: true, force: true });
  }
}

function hasStarted(log: string): boolean {
  return readFileSync(log, "utf8").includes("Server listening");
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" ? (address?.port ?? 0) : 0;
      server.close(() => {
        resolve(port);
      });
    });
  });
}
