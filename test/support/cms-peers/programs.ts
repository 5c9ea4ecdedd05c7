/** Starts a peer of any kind. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { startGpgsm } from "./gpgsm.js";
import type { Holders } from "./holders.js";
import { BouncyCastleProgram, MonoProgram } from "./line-programs.js";
import { startNss } from "./nss.js";
import { OpenSslProgram } from "./openssl.js";
import type { CmsPeer, CmsProgram } from "./peer.js";
import { Workplace } from "./workplace.js";

const KINDS = {
  openssl: (work: Workplace, holders: Holders) => OpenSslProgram.start(work, holders),
  nss: startNss,
  gpgsm: startGpgsm,
  bouncycastle: (work: Workplace) => BouncyCastleProgram.start(work),
  mono: (work: Workplace) => MonoProgram.start(work),
} as const;

/** In a folder of its own below `folder`. */
export function startPeer(peer: CmsPeer, folder: string, holders: Holders): Promise<CmsProgram> {
  const own = join(folder, peer.name.replace(/\W/g, "-"));
  mkdirSync(own, { mode: 0o700 });
  return KINDS[peer.kind](new Workplace(peer, own), holders);
}
