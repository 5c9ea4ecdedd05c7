/** The data folder of one run: found, and looked at by `homeFolder`, once. */
import { homeFolder } from "../../store/home.js";
import type { Io } from "./io.js";

const found = new WeakMap<Io, string>();

/** @throws as `homeFolder` */
export function homeOf(io: Io): string {
  const folder = found.get(io) ?? homeFolder(io.env);
  found.set(io, folder);
  return folder;
}
