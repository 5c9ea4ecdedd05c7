/** Starts a peer of any kind. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { GpgsmProgram } from "./gpgsm.js";
import type { Holders } from "./holders.js";
import { BouncyCastleProgram, MonoProgram } from "./line-programs.js";
import { NssProgram } from "./nss.js";
import { OpenSslProgram } from "./openssl.js";
import type { CmsPeer, CmsProgram } from "./peer.js";
import { Workplace } from "./workplace.js";

const KINDS = {
  openssl: OpenSslProgram,
  nss: NssProgram,
  gpgsm: GpgsmProgram,
  bouncycastle: BouncyCastleProgram,
  mono: MonoProgram,
} as const;

/** In a folder of its own below `folder`. */
export function startPeer(peer: CmsPeer, folder: string, holders: Holders): Promise<CmsProgram> {
  const own = join(folder, peer.name.replace(/\W/g, "-"));
  mkdirSync(own, { mode: 0o700 });
  return KINDS[peer.kind].start(peer, new Workplace(peer, own), holders);
}
