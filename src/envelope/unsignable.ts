import { PolicyError } from "../errors.js";

/** The error for what a sender's key is not to sign for a program, by way of an agent. */
export function unsignable(detail: string): PolicyError {
  return new PolicyError("ERR_AGENT_CORE", `the agent does not sign this description: ${detail}`, {
    hint: "use the token itself: --no-agent",
  });
}
