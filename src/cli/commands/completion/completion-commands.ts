/** `p11seal completion`, as its users see it. */
import type { CommandSet } from "../../command.js";
import { general } from "../shared-options.js";

export const COMPLETION: CommandSet = {
  commands: [
    {
      name: "completion",
      operands: "[shell]",
      describe: "Print a completion script for bash, zsh or fish",
      options: { ...general },
      examples: [
        ["completion bash > ~/.local/share/bash-completion/completions/p11seal", "for bash"],
        ["completion zsh > ~/.zfunc/_p11seal", "for zsh, with that folder in fpath"],
        ["completion fish > ~/.config/fish/completions/p11seal.fish", "for fish"],
      ],
      load: async () => (await import("./completion-script.js")).completionCommand,
    },
  ],
};
