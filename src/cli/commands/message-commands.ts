/**
 * The commands about messages: the ones that people wait for, in scripts a thousand times. They are
 * a program of their own (`run-messages.ts`, and `open` and `seal` have one each), since Node takes
 * longer to read the code of all commands than to seal a small file.
 */
import type { CommandSet } from "../command.js";
import { DOCTOR } from "./doctor/doctor-commands.js";
import { INSPECT } from "./inspect/inspect-commands.js";
import { OPEN } from "./open/open-commands.js";
import { RESEAL } from "./reseal/reseal-commands.js";
import { REWRAP } from "./rewrap/rewrap-commands.js";
import { SEAL } from "./seal/seal-commands.js";

export const MESSAGE_COMMANDS: CommandSet = {
  commands: [SEAL, OPEN, INSPECT, REWRAP, RESEAL, DOCTOR].flatMap(({ commands }) => commands),
};
