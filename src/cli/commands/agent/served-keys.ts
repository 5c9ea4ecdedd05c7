/** How many keys an agent serves, in words; and where there are none, why. */
import { TokenError } from "../../../errors.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { withTokens } from "../../find/tokens.js";
import { decisive, troubleText, whyEmpty } from "../../find/troubles.js";

export function keyCount(count: number): string {
  return `${count} ${count === 1 ? "key" : "keys"}`;
}

/** Why there are none, as `keys list` says it. The agent goes on: a token may come later. */
export function whyNoKeys(args: Arguments, context: Context): Promise<string> {
  return withTokens(args, context, async (tokens) => {
    const access = await tokens.access();
    try {
      if ((await access.keys()).length > 0) return "no key that opens messages matches";
      const trouble = decisive(await access.troubles());
      if (trouble !== undefined) return troubleText(trouble);
      return (await whyEmpty({}, access)) ?? "no token shows a key without a login";
    } catch (error) {
      if (error instanceof TokenError) return error.message;
      throw error;
    }
  });
}
