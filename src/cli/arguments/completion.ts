/**
 * Completion for bash and zsh. The scripts ask the program itself, through yargs, what may come next;
 * where it has no answer the shell completes file names.
 */
import { UsageError } from "../../errors.js";
import type { Arguments } from "./arguments.js";
import { write } from "../io/io.js";
import type { Context } from "../command.js";

/** The first argument of a call that asks for completions; the words typed so far follow. */
export const COMPLETIONS_REQUEST = "--get-yargs-completions";

export async function completionCommand(args: Arguments, { io }: Context): Promise<undefined> {
  const [given, ...more] = args.operands;
  const shell = given ?? (io.env["SHELL"]?.endsWith("zsh") === true ? "zsh" : "bash");
  const script = Object.hasOwn(SCRIPTS, shell) ? SCRIPTS[shell] : undefined;
  if (script === undefined || more.length > 0) {
    throw new UsageError("ERR_USAGE", `no completion for "${[shell, ...more].join(" ")}"`, {
      hint: "p11seal completion bash, or p11seal completion zsh",
    });
  }
  await write(io.stdout, script);
}

/**
 * Of what yargs proposes, what is of use: options only once a dash was typed, so that an empty word
 * completes to files; no `--r` beside `-r`.
 */
export function usefulCompletions(proposed: string, words: readonly string[]): string {
  const current = words.at(-1) ?? "";
  return proposed
    .split("\n")
    .filter((line) => line !== "" && (current.startsWith("-") || !line.startsWith("-")))
    .filter((line) => !/^--[A-Za-z](?::|$)/.test(line))
    .map((line) => line + "\n")
    .join("");
}

// yargs describes each proposal where SHELL says zsh, and only zsh can show that.
const SCRIPTS: Readonly<Record<string, string>> = {
  bash: `# p11seal completion for bash
_p11seal() {
  local IFS=$'\\n'
  COMPREPLY=($(compgen -W "$(SHELL=bash p11seal ${COMPLETIONS_REQUEST} \\
    "\${COMP_WORDS[@]:0:COMP_CWORD+1}" 2>/dev/null)" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o bashdefault -o default -F _p11seal p11seal
`,
  zsh: `#compdef p11seal
_p11seal() {
  local -a proposals
  proposals=("\${(@f)$(SHELL=zsh p11seal ${COMPLETIONS_REQUEST} "\${(@)words[1,CURRENT]}" 2>/dev/null)}")
  if (( \${#\${proposals:#}} )); then
    _describe 'p11seal' proposals
  else
    _files
  fi
}
if [[ "\${zsh_eval_context[-1]}" == loadautofunc ]]; then
  _p11seal "$@"
else
  compdef _p11seal p11seal
fi
`,
};
