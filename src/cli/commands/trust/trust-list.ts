/** `p11seal trust list`: the authorities. */
import {
  authoritiesPath,
  certificateFingerprint,
  readAuthorities,
} from "../../../records/authorities.js";
import { formatMoment } from "../../../records/directory/directory.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { certificateData, certificateLine } from "../../find/certificates.js";
import { homeOf } from "../../io/home.js";
import { write } from "../../io/io.js";
import { json, table } from "../../io/table.js";

export async function trustListCommand(
  args: Arguments,
  { io, report }: Context,
): Promise<undefined> {
  const home = homeOf(io);
  const authorities = await readAuthorities(home);
  const nowMs = Date.now();
  const status = ({ notBeforeMs, notAfterMs }: Validity): string =>
    nowMs < notBeforeMs ? "not-yet-valid" : nowMs > notAfterMs ? "expired" : "valid";
  const data = authorities.map(({ name, certificate, source, addedMs }) => ({
    name,
    ...certificateData(certificate),
    fingerprint: certificateFingerprint(certificate),
    source,
    added: formatMoment(addedMs),
    status: status(certificate),
  }));
  const rows = authorities.map(({ name, certificate, source }) => [
    name,
    certificateLine(certificate),
    status(certificate).replaceAll("-", " "),
    source,
    certificateFingerprint(certificate),
  ]);
  const text = args.flag("json") ? json({ authorities: data }) : table(rows, io.stdout.columns);
  await write(io.stdout, text);
  if (authorities.length === 0) report.note(`no authority in ${authoritiesPath(home)}`);
  return undefined;
}

interface Validity {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}
