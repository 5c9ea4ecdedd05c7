/** Variables in the forms that CI systems and shells read. */
import { UsageError } from "../../../errors.js";

export const ENV_FORMS = ["github", "gitlab", "sh"] as const;

export type EnvForm = (typeof ENV_FORMS)[number];

/**
 * A line for each variable: for the file `GITHUB_ENV` names, for GitLab's dotenv reports, or for a
 * shell's `eval`.
 *
 * @throws UsageError for a value with a line break, which those files can't have
 */
export function envLines(form: EnvForm, variables: Readonly<Record<string, string>>): string {
  return Object.entries(variables)
    .map(([name, value]) => {
      if (form === "sh") return `export ${name}='${value.replaceAll("'", `'\\''`)}'\n`;
      if (!/[\r\n]/.test(value)) return `${name}=${value}\n`;
      throw new UsageError("ERR_USAGE", `the value of ${name} has a line break`, {
        hint: "use --env sh",
      });
    })
    .join("");
}
