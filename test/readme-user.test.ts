/**
 * README's tour, typed word for word by an ordinary user on a machine without SoftHSM: one shell,
 * every block, in a copy of the repository of the user's own. It needs root to become that user
 * and to hide SoftHSM, and Debian's archive to fetch it from; elsewhere it is left out.
 */
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect } from "@jest/globals";
import { itIf } from "./support/missing.js";

const root = join(import.meta.dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "p11seal-user-tour-"));
const clone = join(folder, "p11seal");

const NEEDED = [
  ...["package.json", "package-lock.json", "tsconfig.json", "tsconfig.build.json"],
  ...["src", "scripts"],
];
/** An empty folder over each of these hides the system's SoftHSM. */
const HIDDEN = [
  "/usr/lib/softhsm",
  `/usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu/softhsm`,
];
/** Becomes the user nobody, with nothing set. */
const AS_NOBODY = "setpriv --reuid=65534 --regid=65534 --clear-groups env -i";

const [, tour = ""] =
  /^## A five-minute tour\n(.*?)^## /ms.exec(readFileSync(join(root, "README.md"), "utf8")) ?? [];
const lines = [...tour.matchAll(/^```(?:sh)?\n(.*?)^```$/gms)].flatMap(([, block = ""]) =>
  block.split("\n").filter((line) => line !== ""),
);

/** With SoftHSM hidden. */
const shell = (script: string): { status: number | null; output: string } => {
  const hide = HIDDEN.filter((path) => existsSync(path)).map(
    (path) => `mount -t tmpfs none ${path}`,
  );
  const text = [...hide, script].join(" && ");
  const done = spawnSync("unshare", ["-m", "bash", "-c", text], { cwd: folder, encoding: "utf8" });
  return { status: done.status, output: `${done.stdout}${done.stderr}` };
};

const isReady =
  process.platform === "linux" &&
  process.getuid?.() === 0 &&
  shell(`${AS_NOBODY} /usr/bin/test -r ${join(root, "node_modules", "typescript", "package.json")}`)
    .status === 0 &&
  shell("apt-get download libsofthsm2").status === 0;

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe("README's tour", () => {
  itIf(isReady, "needs root, mount namespaces and packages to download")(
    "is typed as it stands by an ordinary user without SoftHSM",
    () => {
      for (const name of NEEDED) cpSync(join(root, name), join(clone, name), { recursive: true });
      symlinkSync(join(root, "node_modules"), join(clone, "node_modules"));
      // A status other than the one that the line's comment promises ends the script.
      const checked = lines.flatMap((line) => {
        const wanted = /# exit status (\d)/.exec(line)?.[1] ?? "0";
        return [
          line,
          `s=$?; [ $s = ${wanted} ] || { printf '%s\\n' ${quoted(line)} $s; exit 99; }`,
        ];
      });
      const script = ["shopt -s expand_aliases", ...checked, 'echo "SoftHSM: $P11SEAL_SOFTHSM2"'];
      writeFileSync(join(folder, "tour.sh"), `${script.join("\n")}\n`);
      const node = join(process.execPath, "..");
      const ended = shell(
        `chown -RP 65534:65534 . && cd p11seal && ` +
          `${AS_NOBODY} HOME=${folder} PATH=${node}:/usr/bin:/bin bash ../tour.sh`,
      );
      expect(ended).toMatchObject({ status: 0 });
      expect(ended.output).toContain(`SoftHSM: ${clone}/.cache/softhsm/`);
    },
    300_000,
  );
});

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
