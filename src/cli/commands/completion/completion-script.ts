/**
 * `p11seal completion`: scripts for bash and zsh. They ask the program itself what may come next;
 * where it has no answer the shell completes file names.
 */
import { UsageError } from "../../../errors.js";
import type { Arguments } from "../../arguments/arguments.js";
import { COMPLETIONS_REQUEST } from "../../arguments/parse.js";
import type { Context } from "../../command.js";
import { write } from "../../io/io.js";

export async function completionCommand(args: Arguments, { io }: Context): Promise<undefined> {
  const loginShell = io.env["SHELL"]?.endsWith("zsh") === true ? "zsh" : "bash";
  const [shell = loginShell] = args.operands;
  const script = Object.hasOwn(SCRIPTS, shell) ? SCRIPTS[shell] : undefined;
  if (script === undefined) {
    throw new UsageError("ERR_USAGE", `no completion for "${shell}"`, {
      hint: "p11seal completion bash, or p11seal completion zsh",
    });
  }
  await write(io.stdout, script);
}

// yargs adds descriptions to its proposals when SHELL is zsh; only zsh can show them.
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
