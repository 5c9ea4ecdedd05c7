/** What the shells propose, and the scripts that ask for it. */
import { spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { appendFileSync, chmodSync, cpSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { ALL_COMMANDS } from "../../../src/cli/commands/all-commands.js";
import { temporaryFolder } from "../support/folder.js";
import { pemOf, rootAuthority } from "../../support/certificates.js";
import { run } from "../support/run.js";
import { PROGRAM, startProgram } from "../support/spawn.js";
import { itIf } from "../../support/missing.js";

const commands = ALL_COMMANDS.commands.map((spec) => ({ ...spec, words: spec.name.split(" ") }));

describe("completion", () => {
  const bin = temporaryFolder();
  const home = temporaryFolder();
  const proposals = async (...words: string[]): Promise<string[]> => {
    const env = { P11SEAL_HOME: home };
    const { status, stdout, stderr } = await run(["--get-yargs-completions", "p11seal", ...words], {
      env,
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    return stdout
      .toString("utf8")
      .split("\n")
      .filter((line) => line !== "");
  };

  it("proposes commands, and those within a group", async () => {
    expect(await proposals("")).toEqual(expect.arrayContaining(["seal", "open", "tokens", "keys"]));
    expect(await proposals("keys", "")).toEqual(
      expect.arrayContaining(["generate", "list", "export", "delete", "audit"]),
    );
  });

  it.each(commands)("proposes every option of $name", async ({ words, options }) => {
    const proposed = await proposals(...words, "-");
    for (const [name, { alias }] of Object.entries(options)) {
      expect(proposed).toContain(`--${name}`);
      if (alias !== undefined) expect(proposed).toContain(`-${alias}`);
    }
    expect(proposed.filter((option) => /^--.$/.test(option))).toEqual([]);
  });

  it("proposes the values of an option that has a list of them", async () => {
    expect(await proposals("keys", "export", "--format", "")).toEqual([
      "pem",
      "der",
      "jwk",
      "ssh",
      "capi",
      "cert",
      "age",
      "age-identity",
    ]);
  });

  it("leaves the names of files to the shell", async () => {
    expect(await proposals("seal", "-r", "alice.pem", "")).toEqual([]);
  });

  it.each(["bash", "zsh", "fish"])("has a script for %s that asks the program", async (shell) => {
    const { status, stdout } = await run(["completion", shell]);
    expect(status).toBe(0);
    expect(stdout.toString("utf8")).toContain("p11seal --get-yargs-completions");
  });

  beforeAll(async () => {
    symlinkSync(PROGRAM, join(bin, "p11seal"));
    const add = async (list: string, name: string): Promise<void> => {
      const file = join(bin, `${name}.pem`);
      const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      writeFileSync(file, publicKey.export({ type: "spki", format: "pem" }));
      const { status } = await run([list, "add", name, file], { env: { P11SEAL_HOME: home } });
      expect(status).toBe(0);
    };
    await add("senders", "sally");
    await add("senders", "sam@example");
    await add("custodians", "vault");
    await add("recipients", "rita");
    await add("recipients", "rob@example");
    writeFileSync(join(home, "recipients"), `ruth = ${join(bin, "rita.pem")}\n`, { mode: 0o600 });
  });

  it("proposes authorities where an option or an operand is one", async () => {
    const ca = join(bin, "ca.pem");
    writeFileSync(ca, pemOf("CERTIFICATE", rootAuthority().certificate.der));
    const added = await run(["trust", "add", "our-ca", ca], { env: { P11SEAL_HOME: home } });
    expect(added).toMatchObject({ status: 0 });
    expect(await proposals("trust", "remove", "")).toEqual(["our-ca"]);
    expect(await proposals("verify", "--trust", "o")).toEqual(["our-ca", ":files"]);
  });

  it("proposes senders where an option or an operand is one", async () => {
    const senders = ["sally", "sam@example"];
    expect(await proposals("open", "--from", "")).toEqual(["any", ...senders]);
    expect(await proposals("open", "-q", "m.p11s", "--from", "sal")).toEqual(["sally"]);
    expect(await proposals("open", "--from=sa")).toEqual(senders.map((name) => `--from=${name}`));
    expect(await proposals("receipt", "verify", "--by", "")).toEqual(senders);
    expect(await proposals("senders", "remove", "")).toEqual(senders);
    expect(await proposals("senders", "show", "-q", "--", "sam")).toEqual(["sam@example"]);
    expect(await proposals("senders", "remove", "sally", "")).toEqual([]);
    expect(await proposals("capi", "verify", "--signer", "")).toEqual([...senders, ":files"]);
  });

  it("proposes custodians where an option or an operand is one", async () => {
    expect(await proposals("open", "--custodian", "")).toEqual(["vault"]);
    expect(await proposals("doctor", "--custodian", "v")).toEqual(["vault"]);
    expect(await proposals("custodians", "remove", "")).toEqual(["vault"]);
    expect(await proposals("custodians", "show", "va")).toEqual(["vault"]);
  });

  it("proposes recipients of both lists, and says that files fit as well", async () => {
    const both = ["rita", "rob@example", "ruth"];
    expect(await proposals("seal", "-r", "")).toEqual([...both, ":files"]);
    expect(await proposals("seal", "-qr", "ru")).toEqual(["ruth", ":files"]);
    expect(await proposals("seal", "-r", "rita", "--recipient=r")).toEqual([
      ...both.map((name) => `--recipient=${name}`),
      ":files",
    ]);
    expect(await proposals("seal", "-r", "nobody")).toEqual([]);
    expect(await proposals("recipients", "remove", "ro")).toEqual(["rob@example"]);
    expect(await proposals("capi", "send", "--to", "rit")).toEqual(["rita", ":files"]);
    expect(await proposals("seal", "-r", "rita", "")).toEqual([]);
    expect(await proposals("seal", "--nonsense", "")).toEqual([]);
  });

  it("proposes nothing from a list that is damaged or that others can change", async () => {
    const other = join(bin, "other");
    cpSync(home, other, { recursive: true });
    const inOther = async (...words: string[]): Promise<string> => {
      const argv = ["--get-yargs-completions", "p11seal", ...words];
      const { stdout, stderr } = await run(argv, { env: { P11SEAL_HOME: other } });
      return stdout.toString("utf8") + stderr;
    };
    writeFileSync(join(other, "recipients.toml"), 'name = "$(touch x)');
    expect(await inOther("seal", "-r", "")).toBe("ruth\n:files\n");
    chmodSync(join(other, "recipients"), 0o666);
    expect(await inOther("seal", "-r", "")).toBe("");
    expect(await inOther("open", "--from", "sal")).toBe("sally\n");
    chmodSync(other, 0o777);
    expect(await inOther("open", "--from", "sal")).toBe("");
  });

  it("proposes the values of an option after an equals sign", async () => {
    expect(await proposals("keys", "export", "--format=j")).toContain("--format=jwk");
    expect(await proposals("seal", "--output=n")).toEqual([]);
  });

  it("works in bash, which breaks words at = and @", async () => {
    const script = `source <(p11seal completion bash)
      t() {
        COMP_LINE=$1; COMP_WORDS=("\${@:2}"); COMP_CWORD=$(($# - 2)); COMPREPLY=()
        _p11seal; echo "\${COMPREPLY[@]}"
      }
      t "p11seal ins" p11seal ins
      t "p11seal keys export --format j" p11seal keys export --format j
      t "p11seal keys export --format=j" p11seal keys export --format = j
      t "p11seal seal note" p11seal seal note
      t "p11seal open --id" p11seal open --id
      t "p11seal open --from " p11seal open --from ""
      t "p11seal open --from=" p11seal open --from =
      t "p11seal open --from sam@e" p11seal open --from sam @ e
      t "p11seal seal  -r ri" p11seal seal -r ri`;
    const env = { PATH: `${bin}:${process.env["PATH"] ?? ""}`, P11SEAL_HOME: home };
    const { ended } = startProgram("bash", ["-c", script], { env, cwd: bin });
    expect(await ended).toMatchObject({ status: 0, stderr: "" });
    expect((await ended).stdout.toString("utf8").split("\n")).toEqual([
      "inspect",
      "jwk",
      "jwk",
      "",
      "--identity",
      "any sally sam@example",
      "any sally sam@example",
      "example",
      "rita rita.pem",
      "",
    ]);
  });

  it("completes the name of a file that is not UTF-8 byte for byte in bash, and passes it on so", async () => {
    const there = join(bin, "odd");
    mkdirSync(there);
    writeFileSync(Buffer.from(`${there}/odd\xff.pem`, "latin1"), "");
    const script = `source <(p11seal completion bash)
      COMP_LINE="p11seal seal -r odd"; COMP_WORDS=(p11seal seal -r odd); COMP_CWORD=3
      cd odd; _p11seal; compgen -o default -- odd | od -An -tx1
      p11seal seal -r "$(compgen -f -- odd)" < /dev/null`;
    const env = { PATH: `${bin}:${process.env["PATH"] ?? ""}`, P11SEAL_HOME: home };
    const { ended } = startProgram("bash", ["-c", script], { env, cwd: bin });
    const { status, stdout, stderr } = await ended;
    expect(stdout.toString("utf8").replaceAll(/\s+/g, "")).toBe("6f6464ff2e70656d0a");
    expect(status).toBe(2);
    expect(stderr).toContain("an argument is not UTF-8");
  });

  it("proposes no name of a list that is not UTF-8, and says nothing of it", async () => {
    const other = join(bin, "not-utf8");
    cpSync(home, other, { recursive: true });
    appendFileSync(join(other, "recipients.toml"), Buffer.from("# caf\xe9\n", "latin1"));
    const argv = ["--get-yargs-completions", "p11seal", "seal", "-r", ""];
    const { status, stdout, stderr } = await run(argv, { env: { P11SEAL_HOME: other } });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout.toString("utf8")).not.toContain("\u{fffd}");
  });

  const hasFish = spawnSync("fish", ["--version"]).status === 0;
  itIf(hasFish, "fish is not installed")("works in fish", async () => {
    const script = `p11seal completion fish | source
      for line in "p11seal ins" "p11seal keys export --format=j" "p11seal open --from s" \
          "p11seal seal -r ri"
        complete -C $line | string replace -r '\\t.*' ''
      end`;
    const env = {
      PATH: `${bin}:${process.env["PATH"] ?? ""}`,
      P11SEAL_HOME: home,
      HOME: bin,
    };
    const { ended } = startProgram("fish", ["--no-config", "-c", script], { env, cwd: bin });
    expect((await ended).stdout.toString("utf8").trim().split("\n")).toEqual([
      "inspect",
      "--format=jwk",
      "sally",
      "sam@example",
      "rita",
      "rita.pem",
    ]);
  });

  it("is for the user's shell by default", async () => {
    const zsh = await run(["completion"], { env: { SHELL: "/usr/bin/zsh" } });
    expect(zsh.stdout.toString("utf8")).toContain("#compdef p11seal");
    const fish = await run(["completion"], { env: { SHELL: "/usr/bin/fish" } });
    expect(fish.stdout.toString("utf8")).toContain("complete -c p11seal");
    const other = await run(["completion"], { env: { SHELL: "/bin/dash" } });
    expect(other.stdout.toString("utf8")).toContain("complete -o bashdefault");
  });
});
