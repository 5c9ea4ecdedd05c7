/**
 * `p11seal completion`: scripts for bash, zsh and fish. They ask the program itself what may come
 * next; where it has no answer the shell completes file names.
 */
import { UsageError } from "../../../errors.js";
import type { Arguments } from "../../arguments/arguments.js";
import { FILES_TOO } from "../../arguments/completions.js";
import { COMPLETIONS_REQUEST } from "../../arguments/parse.js";
import type { Context } from "../../command.js";
import { write } from "../../io/io.js";

export async function completionCommand(args: Arguments, { io }: Context): Promise<undefined> {
  const loginShell = /(?:zsh|fish)$/.exec(io.env["SHELL"] ?? "")?.[0] ?? "bash";
  const [shell = loginShell] = args.operands;
  const script = Object.hasOwn(SCRIPTS, shell) ? SCRIPTS[shell] : undefined;
  if (script === undefined) {
    throw new UsageError("ERR_USAGE", `no completion for "${shell}"`, {
      hint: "there are p11seal completion bash, zsh and fish",
    });
  }
  await write(io.stdout, script);
}

// yargs adds descriptions to its proposals when SHELL is zsh; bash can't show them.
const SCRIPTS: Readonly<Record<string, string>> = {
  bash: `# p11seal completion for bash
_p11seal() {
  local line=$COMP_LINE words=() i part typed last cut files= reply
  COMPREPLY=()
  # bash breaks words at "=" and "@" as well: what no blank separates is one word.
  for ((i = 0; i <= COMP_CWORD; i++)); do
    part=\${COMP_WORDS[i]}
    if ((i > 0)) && [[ $line != [[:blank:]]* ]]; then
      words[\${#words[@]}-1]+=$part
    else
      words+=("$part")
    fi
    line=\${line#"\${line%%[![:blank:]]*}"}
    line=\${line#"$part"}
  done
  typed=\${words[\${#words[@]}-1]}
  last=\${COMP_WORDS[COMP_CWORD]}
  [[ $last == [=@:] ]] && last=
  cut=\${typed%"$last"}
  while IFS= read -r reply; do
    if [[ $reply == ${FILES_TOO} ]]; then
      files=1
    elif [[ -n $reply && $reply == "$typed"* ]]; then
      COMPREPLY+=("\${reply#"$cut"}")
    fi
  done < <(SHELL=bash p11seal ${COMPLETIONS_REQUEST} "\${words[@]}" 2>/dev/null)
  if [[ -n $files ]]; then
    compopt -o filenames 2>/dev/null
    while IFS= read -r reply; do
      COMPREPLY+=("$reply")
    done < <(compgen -f -- "$last")
  fi
}
complete -o bashdefault -o default -F _p11seal p11seal
`,
  zsh: `#compdef p11seal
_p11seal() {
  local -a proposals
  local files
  proposals=("\${(@f)$(SHELL=zsh p11seal ${COMPLETIONS_REQUEST} "\${(@)words[1,CURRENT]}" 2>/dev/null)}")
  files=\${proposals[(r)${FILES_TOO}]}
  proposals=("\${(@)proposals:#${FILES_TOO}}")
  if (( \${#\${proposals:#}} )); then
    _describe 'p11seal' proposals
    [[ -n $files ]] || return
  fi
  [[ $PREFIX == --*=* ]] && compset -P 1 '*='
  _files
}
if [[ "\${zsh_eval_context[-1]}" == loadautofunc ]]; then
  _p11seal "$@"
else
  compdef _p11seal p11seal
fi
`,
  fish: `# p11seal completion for fish
function __p11seal_files
    set -l option (string match -r -- '^--[^=]+=' $argv[1])
    for path in (__fish_complete_path (string replace -r -- '^--[^=]+=' '' $argv[1]))
        echo "$option$path"
    end
end
function __p11seal_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l proposals (SHELL=zsh p11seal ${COMPLETIONS_REQUEST} $words "$current" 2>/dev/null)
    set -l fitting (string match -v -- ${FILES_TOO} $proposals)
    # A proposal and its description: fish wants a tab between them.
    string replace -r -- '^([^:]+):' '$1\\t' $fitting
    if test (count $fitting) -eq 0; or contains -- ${FILES_TOO} $proposals
        __p11seal_files "$current"
    end
end
complete -c p11seal -f -a '(__p11seal_complete)'
`,
};
