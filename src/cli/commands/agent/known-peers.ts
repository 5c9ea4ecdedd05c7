/** Who may connect to a socket of the agent's. */
import type { AgentOptions } from "../../../agent/agent.js";
import { peerReader } from "../../../token/process/peer-credentials.js";

/** Other users get no byte, where the kernel says who connects; root may become any user. */
export async function knownPeers(): Promise<Pick<AgentOptions, "peerOf" | "peers">> {
  const read = await peerReader();
  if (read === undefined) return { peers: "the socket's mode" };
  const uid = process.geteuid?.();
  const peerOf: AgentOptions["peerOf"] = (socket) => {
    const peer = read(socket);
    return peer?.uid === uid ? peer : "refused";
  };
  return { peerOf, peers: "the kernel" };
}
