/** What `doctor` says of temporary files that runs left behind, here and in the data folder. */
import { join } from "node:path";
import { type Leftover, leftoversIn } from "../../../store/leftovers.js";
import type { Context } from "../../command.js";
import { homeOf } from "../../io/home.js";

/** Those in other folders are found when something is written there. */
export function leftBehind({ io }: Context): readonly Leftover[] {
  const home = homeOf(io);
  const folders = [".", home, join(home, "capi"), join(home, "capi", "received")];
  return folders.flatMap(leftoversIn);
}

export function leftBehindLines(leftovers: readonly Leftover[]): string[] {
  if (leftovers.length === 0) return [];
  const shown = leftovers.slice(0, MAX_SHOWN);
  const more = leftovers.length - shown.length;
  return [
    "left behind by runs that were killed:",
    ...shown.map(({ path, state }) => `${path}: ${MEANINGS[state]}`),
    ...(more > 0 ? [`and ${more} more`] : []),
  ];
}

const MAX_SHOWN = 10;

const MEANINGS: Readonly<Record<Leftover["state"], string>> = {
  ended: "unfinished; the next run that writes to this folder removes it",
  unseen: "its run is out of sight (another machine or container); if it has ended, delete it",
  header: "the header of a file that was being overwritten; finish it: p11seal doctor THAT-FILE",
  kept: "perhaps all there is of a message or file; open the message again, else delete it",
};
